import type { Clock } from '../core/clock.ts';
import type { ServiceTokenSettings } from '../core/config/types-token.ts';
import { type KeyRing, sha256Base64url } from '../core/crypto.ts';
import { SallyportError } from '../core/errors.ts';
import { openPart, sealPart } from '../core/session.ts';
import type { SessionStore } from '../core/store.ts';
import type { RefreshRecord } from './refresh-record.ts';
import type { ObtainedToken, TokenFailure } from './service-token-check.ts';

/** What a session's record holds of one service's token. */
export type FiledToken = {
  readonly token: ObtainedToken | undefined;
  /** The last attempt failed: nobody tries again before `until`, ms since the epoch (D-19). */
  readonly failure: FiledFailure | undefined;
};

/** A failure that all processes respect. */
export type FiledFailure = TokenFailure & {
  readonly until: number;
  /** In a row. */
  readonly failures: number;
};

/** Nothing was ever asked for. */
const NOTHING_FILED: FiledToken = { token: undefined, failure: undefined };

/** Writes that meet another's before one gives up; each of them lets somebody else's through. */
const CONFLICTS_MAX = 200;

/** What records are opened and sealed with. */
export type TokenRecordServices = {
  readonly store: SessionStore;
  readonly ring: KeyRing;
  readonly clock: Clock;
};

/**
 * The name of a token's field in a session's record (D-12): a hash of everything that decides which token it is and
 * who may get it, so that no service finds another's.
 */
export function fieldOf({ source, audience, scopes, requireAny, requireAll }: ServiceTokenSettings): string {
  const lists = [scopes, requireAny, requireAll].map((list) => [...list].sort());
  return sha256Base64url(JSON.stringify([source, audience ?? null, ...lists]));
}

/** The token of a field; nothing if there is none, or if it does not open. */
export function openToken(
  ring: KeyRing,
  handle: string,
  locator: string,
  { tokens }: Pick<RefreshRecord, 'tokens'>,
  field: string,
): FiledToken {
  const sealed = tokens.get(field);
  const opened = sealed && (openPart(ring, handle, locator, `t:${field}`, sealed) as Partial<FiledToken> | undefined);
  return opened === undefined ? NOTHING_FILED : { token: opened.token, failure: opened.failure };
}

/**
 * File a token, whatever else is being written: other fields do not concern it. False: the session is over.
 * @throws store_unavailable
 */
export async function fileToken(
  { store, ring, clock }: TokenRecordServices,
  handle: string,
  locator: string,
  revision: number,
  field: string,
  filed: FiledToken,
): Promise<boolean> {
  const change = { tokens: new Map([[field, sealPart(ring, handle, locator, `t:${field}`, filed)]]) };
  let at = revision;
  for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts += 1) {
    const outcome = await store.update(locator, at, change, clock.now());
    if (outcome !== 'conflict') return outcome === 'written';
    const found = await store.readHot(locator, clock.now());
    if (found === undefined) return false;
    at = found.revision;
  }
  throw new SallyportError('store_unavailable', { detail: 'a session that changes without end' });
}
