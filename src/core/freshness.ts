import type { Session } from './services.ts';

/** What came of waiting for a new access token (SPEC §4). */
export type Renewal =
  | { readonly kind: 'fresh'; readonly session: Session }
  /**
   * The provider is away, or slower than a request may wait: the session stands, but has no token. `session` is it with
   * an empty access token, in its headers too.
   */
  | { readonly kind: 'stale'; readonly session: Session; readonly retryAfterS: number }
  /** The session is over; `reason` is for the log. */
  | { readonly kind: 'ended'; readonly reason: string };

/** Keeps access tokens fresh while sessions are in use. */
export type Freshness = {
  /**
   * Whether the session's access token can be used now. Near its end a renewal begins in the background: nobody waits
   * for it while the token is good.
   * @param now ms since the epoch, if the caller knows it.
   */
  isFresh(handle: string, session: Session, now?: number): boolean;
  /**
   * Wait for a token in the place of one that has expired, at most `refresh.wait_max`. Leaving early harms nothing.
   * @throws store_unavailable
   */
  renew(handle: string, session: Session): Promise<Renewal>;
};

/** Keeps access tokens fresh, also on demand (SPEC §4). */
export type Refresh = Freshness & {
  /**
   * Renew a token that is still good, unless it is as new as LIMITS.refreshForcedIntervalMs, or the provider is to be
   * left alone after a failure. Waits as `renew` does; `fresh` is the session as it is now, renewed or not.
   */
  force(handle: string, session: Session): Promise<Renewal>;
  /** Waits for refreshes under way, so that no refresh token is lost; begins no more. */
  close(): Promise<void>;
};
