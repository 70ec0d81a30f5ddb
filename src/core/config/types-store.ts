/** Where sessions live. */
export type StoreSettings = {
  readonly retryAfterMs: number;
  /** undefined = `l1.mode: none`: each look-up asks the store. */
  readonly l1: L1Settings | undefined;
} & ({ readonly kind: 'memory' } | { readonly kind: 'redis'; readonly redis: RedisSettings });

/** The cache of decoded sessions in the process. */
export type L1Settings = {
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** PING of the invalidation channel; a lost invalidation is outlived by at most two of them. */
  readonly heartbeatMs: number;
};

/** One Redis or Valkey server. */
export type RedisSettings = {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** undefined = plain TCP. File contents, not names. */
  readonly tls: TlsSettings | undefined;
  readonly keyPrefix: string;
  readonly connectTimeoutMs: number;
  readonly commandTimeoutMs: number;
};

/** TLS towards a server of ours; PEM texts. */
export type TlsSettings = {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly serverName: string | undefined;
};
