/** What a WebSocket route allows. */
export type WebSocketSettings = {
  /** Names that may be offered to the service. */
  readonly subprotocols: readonly string[];
  /** Largest message in either direction. */
  readonly messageMaxBytes: number;
  /** A side that is silent for so long, pings unanswered too, is taken for gone. */
  readonly idleMs: number;
  /** Where the service reads its token: the Authorization header, or a cookie of this name. */
  readonly tokenIn: { readonly kind: 'authorization' } | { readonly kind: 'cookie'; readonly name: string };
  /** Messages of the client extend the session. */
  readonly countsAsActivity: boolean;
};
