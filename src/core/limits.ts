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
  /** Longest authorization code that is passed on. */
  codeMaxChars: 4_096,
  /** Longest `return_to`. */
  returnToMaxChars: 2_048,
  /** All transaction cookies of one browser together (D-23). */
  transactionCookiesMaxBytes: 4_096,
  /** Largest answer read of a provider: metadata, JWKS, token, userinfo (D-35). */
  idpResponseMaxBytes: 1_048_576,
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
  /** Bearer tokens being validated at once; more are refused as overload. */
  bearerValidationsMax: 1_024,
  /** Pause after a failed read of a JWKS: no caller's token makes us ask a dead provider more often. */
  jwksRetryMs: 2_000,
  /** Cool-down between JWKS refetches for an unknown `kid`. */
  jwksCooldownMs: 30_000,
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
  /** Segments of a canonical path. */
  pathSegmentsMax: 256,
  /** Addresses read of one X-Forwarded-For header. */
  forwardedForMax: 32,
} as const;
