/** Bearer tokens that callers bring themselves (SPEC §7). */
export type BearerSettings = {
  /** False: the Authorization header of a request is ignored. */
  readonly enabled: boolean;
  /** One entry for each issuer. */
  readonly issuers: readonly BearerIssuer[];
  /** Validated tokens remembered; 0 = each request validates its token. */
  readonly cacheEntries: number;
  /** Proofs of tokens that are bound to a key (RFC 9449). */
  readonly dpop: { readonly proofMaxAgeMs: number; readonly nonce: boolean };
};

/** Whose tokens are accepted, and what they must look like. */
export type BearerIssuer = {
  /** Exact `iss`. */
  readonly issuer: string;
  /** Provider whose keys sign. */
  readonly provider: string;
  /** `aud` must contain one of these; not empty. */
  readonly audiences: readonly string[];
  readonly algs: readonly string[];
  /** Accepted `typ`, lower case, without `application/`. */
  readonly types: readonly string[];
  readonly requiredScopes: readonly string[];
  readonly clockSkewMs: number;
  /** Its provider is asked about each token too, and about opaque ones if it is the only issuer (RFC 7662). */
  readonly introspection: boolean;
  /** How long such an answer is believed; 0 = each request asks. */
  readonly introspectionCacheMs: number;
  /** Provider whose claim mapping is used. */
  readonly claimsLike: string;
};
