/**
 * Every bound of the process that is not a setting, named with its unit. Settings have their defaults in
 * config/schema; a bound is here when no operator should need to move it.
 */
export const LIMITS = {
  /** Length of a session handle: 32 random bytes in base64url. */
  handleLength: 43,
  /** Longest Cookie header that is scanned; longer ones are read as no cookie. */
  cookieHeaderMaxChars: 16_384,
  /** Query parameters read of one URL. */
  queryParametersMax: 100,
  /** Longest value of a query parameter of our own endpoints. */
  queryValueMaxChars: 4_096,
  /** Longest `state` that is looked at. */
  stateMaxChars: 256,
  /** Longest user name of a direct access grant. */
  usernameMaxChars: 320,
  /** Longest password of one. */
  passwordMaxChars: 1_024,
  /** Longest authorization code that is passed on. */
  codeMaxChars: 4_096,
  /** Longest `return_to`. */
  returnToMaxChars: 2_048,
  /** All transaction cookies of one browser together (D-23). */
  transactionCookiesMaxBytes: 4_096,
  /** Longest `request_uri` of a pushed authorization request. */
  requestUriMaxChars: 2_048,
  /** Longest nonce that a provider may ask for in a proof. */
  dpopNonceMaxChars: 1_024,
  /** Origins of one provider whose nonces are remembered. */
  dpopNonceOriginsMax: 16,
  /** Private keys of sessions that a process keeps for proofs towards services; further ones are read again. */
  dpopKeysMax: 10_000,
  /** Largest answer read of a provider: metadata, JWKS, token, userinfo (D-35). */
  idpResponseMaxBytes: 1_048_576,
  /** How long an idle connection to a provider is kept for the next call. */
  idpKeepAliveMs: 2_000,
  /** Keys accepted of one JWKS. */
  jwksKeysMax: 64,
  /** Largest token kept. */
  tokenMaxChars: 16_384,
  /** Longest `kid` that is looked up. */
  keyIdMaxChars: 256,
  /** Validated bearer tokens remembered, all their texts together. */
  bearerCacheMaxChars: 67_108_864,
  /** Refused bearer tokens remembered, apart from the validated ones. */
  bearerRefusedMax: 4_096,
  /** How long a refusal is remembered. */
  bearerRefusedTtlMs: 10_000,
  /** Longest proof of possession that a caller may send. */
  dpopProofMaxChars: 8_192,
  /** Longest `jti` of one. */
  dpopJtiMaxChars: 512,
  /** How far a caller's clock may be ahead. */
  dpopClockSkewMs: 30_000,
  /** Proofs remembered so that none is used twice, in one process. */
  dpopProofsMax: 100_000,
  /** Bearer tokens being validated at once; more are refused as overload. */
  bearerValidationsMax: 1_000,
  /** Validations of bearer tokens that may end in a refusal, at once; beyond: 503 before any check. */
  bearerRefusalsBurst: 1_000,
  /** The same in a second: one signature takes 60 to 200 µs. */
  bearerRefusalsPerSecond: 250,
  /** Refusals after which a client is no longer one of those whom half of these are kept for. */
  bearerClientRefusalsBurst: 20,
  /** So many of them are forgiven it in a second. */
  bearerClientRefusalsPerSecond: 5,
  /** Clients whose refusals are counted; beyond that the one is forgotten whose last refusal is longest ago. */
  bearerClientsMax: 4_096,
  /** Headers of valid bearer tokens whose meaning is remembered. */
  bearerHeadersMax: 64,
  /** Opaque tokens whose provider is being asked, above which further ones are refused as overload. */
  bearerIntrospectionsMax: 64,
  /** Logout tokens of providers being judged at once; more are refused as overload. */
  logoutTokensMax: 64,
  /** Unknown sessions of front-channel logouts that one process remembers in a second, for logins under way. */
  frontchannelMarksPerSecond: 20,
  /** Outages of one of a provider's endpoints in a row, after which its calls fail at once for a while. */
  breakerFailures: 10,
  /** That while: short, because what comes back is wanted back. */
  breakerPauseMs: 2_000,
  /** Endpoints of one provider that are told apart. */
  breakerEndpointsMax: 32,
  /** Pause after a failed read of a JWKS: no caller's token makes us ask a dead provider more often. */
  jwksRetryMs: 2_000,
  /** Cool-down between JWKS refetches for an unknown `kid`. */
  jwksCooldownMs: 30_000,
  /** Refreshes under way in one process, waiting ones included; above it tokens stay as they are. */
  refreshesMax: 1_024,
  /** Sessions whose pause after a failed refresh is remembered; others find it in the store. */
  refreshPausesMax: 10_000,
  /** Least time between two refreshes of one session. */
  refreshIntervalMinMs: 1_000,
  /** The same, where a caller asks for a refresh although the token is good. */
  refreshForcedIntervalMs: 10_000,
  /** How long a lease outlasts the total deadline of the provider's calls (D-19). */
  leaseSlackMs: 5_000,
  /** Sessions and callers whose token of one service is remembered in one process; others find it in the store. */
  serviceTokensMax: 20_000,
  /** The same: length of these tokens together. */
  serviceTokensMaxChars: 33_554_432,
  /** How long a login waits for tokens of services. */
  eagerTokensMs: 3_000,
  /** How long a refreshed token waits for a store that is down before it is given up. */
  refreshStoreMs: 60_000,
  /** Name and value of one cookie that we set. */
  cookieMaxBytes: 4_096,
  /** Sealed record of one session in the store. */
  sessionRecordMaxBytes: 262_144,
  /** Hot reads that may wait for the store, where limits.pending_store_reads does not say. */
  pendingStoreReads: 20_000,
  /** Sessions of the memory store; the oldest end above it. */
  memorySessionsMax: 100_000,
  /** Consumed states, tombstones and ids that the memory store remembers. */
  memoryMarksMax: 200_000,
  /** Decoded sessions remembered by their sealed bytes (D-13). */
  decodeMemoEntriesMax: 10_000,
  /** Parsed verify option strings (D-02). */
  verifyOptionsMax: 1_000,
  /** Identity headers in total above which a log line warns once (D-05). */
  identityHeadersWarnBytes: 4_096,
  /** Body of our own POST endpoints (logout form, later form_post). */
  ownBodyMaxBytes: 16_384,
  /**
   * Declared body of a refused request that is read and dropped. A connection that ends while its client still sends is
   * reset, and the answer is lost on the way: a script would see a network error in the place of the 401.
   */
  discardedBodyMaxBytes: 16_777_216,
  /** Segments of a canonical path. */
  pathSegmentsMax: 256,
  /** User-Agent and certificate texts whose meaning is remembered, of each kind. */
  bindingTextsRemembered: 1_000,
  /** Refusals of one code that are kept ready to be sent. */
  problemVariantsMax: 16,
  /** Peers whose trust is remembered. */
  peersRemembered: 1_000,
  /** Keys that one rate limit counts in one process; beyond that the count that ends first is forgotten. */
  rateKeysMax: 20_000,
  /** Samples in one request to the telemetry sink. */
  telemetryBatchMax: 50,
  /** Labels of one sample. */
  telemetrySampleLabelsMax: 8,
  /** Different names that the sink counts in one process. */
  telemetryNamesMax: 100,
  /** Different labels of one name. */
  telemetryLabelsMax: 16,
  /** Series that the sink keeps in one process, besides one for the overflow of each name. */
  telemetrySeriesMax: 2_000,
  /** Addresses read of one X-Forwarded-For header. */
  forwardedForMax: 32,
  /** The names of services are resolved again so often. */
  serviceResolveMs: 10_000,
  /** Waiting for a WebSocket's client before its service is paused (D-31). */
  webSocketClientBytes: 65_536,
  /** Waiting for a WebSocket's service, one message more, before the socket is closed with 1013 (D-31). */
  webSocketServiceBytes: 1_048_576,
  /** How often limits and signs of life of WebSockets and long answers are looked at. */
  liveSweepMs: 1_000,
  /** Their sessions are read again so often while the store does not tell of changes (D-32). */
  livePollMs: 10_000,
  /** Their sessions that are read again at once, when anything may have changed. */
  liveRereads: 256,
  /** From this age on an answer ends with its session; an event stream from its head on. */
  longAnswerMs: 10_000,
  /** A client may take so long to read what precedes its close frame. */
  webSocketGoodbyeMs: 5_000,
  /** Connections of the HTTP/2 listener in one process; a gateway needs a handful. */
  http2Connections: 1_000,
  /** Streams at once on one of them; gateways open another connection above it. */
  http2Streams: 512,
  /** Memory of one connection: 512 streams with 32 KiB of headers each are half of it. */
  http2ConnectionMemoryMiB: 32,
  /** Header fields of one request, pseudo-header fields included. */
  http2HeaderFields: 128,
  /** Entries of one SETTINGS frame. */
  http2SettingsEntries: 32,
  /** Resets by the peer that one connection may have saved up: all its streams several times over. */
  http2ResetsBurst: 2_048,
  /** Resets a second beyond that; above it the connection ends (rapid reset, CVE-2023-44487). */
  http2ResetsPerSecond: 1_000,
  /** PING frames a second on one connection. */
  http2PingsPerSecond: 100,
  /** SETTINGS frames a second on one connection. */
  http2SettingsPerSecond: 20,
  /** What a connection may send in a second beyond one header list and one first window for each stream it opens. */
  http2BytesPerSecond: 1_048_576,
  /** A stream that is neither answered nor read in this time is reset: closed windows hold no memory. */
  http2StreamMs: 30_000,
  /** A connection without a stream for this long is closed with GOAWAY; gateways let go after 90 s themselves. */
  http2IdleMs: 180_000,
  /** The same before its first stream. */
  http2FirstStreamMs: 30_000,
  /** Time for the TLS handshake. */
  http2HandshakeMs: 10_000,
} as const;
