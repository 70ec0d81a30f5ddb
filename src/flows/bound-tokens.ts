import type { Clock } from '../core/clock.ts';
import { createDpopKey, type DpopKey } from '../core/dpop-key.ts';
import { LIMITS } from '../core/limits.ts';
import type { ServiceToken, Session, SessionOver } from '../core/services.ts';
import type { RefreshRecords } from './refresh-record.ts';

/** Session tokens that are bound to a key (RFC 9449), ready to be sent with proofs. */
export type BoundTokens = {
  /**
   * The session's own access token. The key is read from the cold part of the record the first time.
   * @returns undefined if the record has no key: nobody can prove anything with the token.
   * The promise rejects with store_unavailable.
   */
  find(handle: string, session: Session): ServiceToken | Promise<ServiceToken | SessionOver | undefined>;
};

/** What they are made with. */
type Services = { readonly clock: Clock; readonly records: Pick<RefreshRecords, 'read'> };

/**
 * A session has one key for its whole life, so it is remembered by the session's locator, the oldest go first. It is only
 * asked for with a session that was found alive.
 */
export function createBoundTokens({ clock, records }: Services): BoundTokens {
  const keys = new Map<string, DpopKey>();
  const remember = (locator: string, key: DpopKey): void => {
    for (const oldest of keys.keys()) {
      if (keys.size < LIMITS.dpopKeysMax) break;
      keys.delete(oldest);
    }
    keys.set(locator, key);
  };
  return {
    find(handle, session) {
      const { locator, hot } = session;
      const known = keys.get(locator);
      if (known !== undefined) return boundToken(hot.accessToken, known, clock);
      return records.read(handle, locator).then((record) => {
        if (record === undefined) return { kind: 'ended', reason: 'unknown_session' };
        const { dpopKey } = record.cold;
        if (dpopKey === undefined) return undefined;
        const key = createDpopKey(dpopKey);
        remember(locator, key);
        return boundToken(hot.accessToken, key, clock);
      });
    },
  };
}

function boundToken(accessToken: string, key: DpopKey, clock: Clock): ServiceToken {
  return {
    kind: 'token',
    authorization: `DPoP ${accessToken}`,
    // Identity headers never hold a bound token.
    headersWith: (headers) => headers,
    proofs: { make: (method, url, nonce) => key.proof({ method, url, accessToken, nonce, now: clock.now() }) },
  };
}
