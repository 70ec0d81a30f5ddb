/** Where sessions live. */
export type StoreSettings = {
  readonly retryAfterMs: number;
  /** PING of the invalidation channel; a lost invalidation is outlived by at most two of them. */
  readonly heartbeatMs: number;
  /** undefined = `l1.mode: none`: each look-up asks the store. */
  readonly l1: L1Settings | undefined;
} & ({ readonly kind: 'memory' } | { readonly kind: 'redis'; readonly redis: RedisSettings });

/** The cache of decoded sessions in the process. */
export type L1Settings = {
  readonly maxEntries: number;
  readonly maxBytes: number;
};

/** How Redis or Valkey servers form the store. */
export type RedisSettings = RedisNodeSettings & {
  /** How the masters are found; undefined = `mode: single`: the server at `host`. Else `host` is the first to be asked. */
  readonly topology: SentinelSettings | ClusterSettings | undefined;
  /** WAIT after what must not be lost (D-18); undefined = do not wait. */
  readonly waitReplicas: WaitSettings | undefined;
};

/** Sentinels that name the master of one group. */
export type SentinelSettings = {
  readonly mode: 'sentinel';
  readonly master: string;
  /** Each with its own credentials and TLS. */
  readonly sentinels: readonly RedisNodeSettings[];
};

/** A Redis Cluster, found from any of its servers. */
export type ClusterSettings = { readonly mode: 'cluster'; readonly seeds: readonly RedisAddress[] };

/** Replicas that must have a write, and how long to wait for them. */
export type WaitSettings = { readonly count: number; readonly timeoutMs: number };

/** Where a server listens. */
export type RedisAddress = { readonly host: string; readonly port: number };

/** One Redis or Valkey server, and how to talk to it. */
export type RedisNodeSettings = {
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
