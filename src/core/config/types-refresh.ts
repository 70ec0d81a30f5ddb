/** How access tokens are renewed (SPEC §4). */
export type RefreshSettings = {
  /** Renewal begins so long before the end of the token, plus up to `jitterMs`. */
  readonly leadMs: number;
  readonly jitterMs: number;
  /** Longest a request waits for a renewal. */
  readonly waitMaxMs: number;
  readonly backoff: { readonly firstMs: number; readonly maxMs: number };
};
