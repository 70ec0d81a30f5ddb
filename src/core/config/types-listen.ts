/** Where connections are accepted. */
export type Listeners = {
  readonly public: Listen;
  /** Own listener of ForwardAuth; without any, verify shares `public` (D-01). */
  readonly verify: VerifyListen | undefined;
  /** The same over HTTP/2 and TLS (D-36b). */
  readonly verifyH2: Http2Listen | undefined;
  readonly admin: Listen | undefined;
};

/** Where one listener accepts connections. Port 0 = any free port. */
export type Listen = { readonly address: string; readonly port: number };

/** A listener that gateways ask, and which of them are believed. */
export type VerifyListen = Listen & { readonly trustedPeers: 'proxies' | 'all' };

/** The same with its certificate (PEM). */
export type Http2Listen = VerifyListen & { readonly tls: { readonly cert: string; readonly key: string } };
