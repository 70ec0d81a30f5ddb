import type { Clock } from '../core/clock.ts';
import type { KeyRing } from '../core/crypto.ts';
import { isSallyportError } from '../core/errors.ts';
import type { Timers } from '../core/lease.ts';
import { LIMITS } from '../core/limits.ts';
import { openPart, type SessionCold, type SessionHot, sealPart } from '../core/session.ts';
import type { SessionStore } from '../core/store.ts';
import { type Backoff, formatBackoff, parseBackoff } from './refresh-backoff.ts';

/** A session's whole record, opened. */
export type RefreshRecord = {
  /** What it was read at: whatever is written is written there, or not at all (D-18). */
  readonly revision: number;
  readonly hot: SessionHot;
  readonly cold: SessionCold;
  readonly backoff: Backoff;
  /** Sealed service tokens by field hash. */
  readonly tokens: ReadonlyMap<string, Buffer>;
};

/** A change of the record; absent members stay as they are. */
export type RecordChange = {
  readonly hot?: SessionHot;
  readonly cold?: SessionCold;
  readonly backoff?: Backoff;
};

/** What became of a change. `superseded`: somebody else's refresh is in the record, and stays. */
export type Written = { readonly kind: 'written'; readonly record: RefreshRecord } | { readonly kind: Lost };

/** Why a change has no place to go. */
export type Lost = 'gone' | 'superseded';

/** Reads and writes the records of sessions for a refresh. */
export type RefreshRecords = {
  /** Undefined: the session is over. @throws store_unavailable */
  read(handle: string, locator: string): Promise<RefreshRecord | undefined>;
  /**
   * Write at the revision that was read. Where the revision has moved on, but the tokens are still those of `record`,
   * something else was written and the change is made there. So is a rotation while the record holds the refresh token
   * that was spent for it: whatever else has come meanwhile, its successor is the only good one. While the store is down, a change of the tokens is tried
   * again: the refresh token that it holds may be the only good one.
   * @throws store_unavailable after LIMITS.refreshStoreMs, or once `isClosing`.
   */
  write(handle: string, locator: string, record: RefreshRecord, change: RecordChange): Promise<Written>;
};

/** What records are read and written with. */
export type RecordServices = {
  readonly store: SessionStore;
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly timers: Timers;
  /** The process ends: nothing is tried again. */
  isClosing(): boolean;
};

/** Short, so that nobody spends the old refresh token when the store is back. */
const RETRY_MS = 25;

/** Records over a store. */
export function createRefreshRecords(services: RecordServices): RefreshRecords {
  return {
    read: (handle, locator) => readRecord(services, handle, locator),
    write: (handle, locator, record, change) => writeRecord(services, handle, locator, record, change),
  };
}

async function readRecord(
  { store, ring, clock }: RecordServices,
  handle: string,
  locator: string,
): Promise<RefreshRecord | undefined> {
  const stored = await store.readAll(locator, clock.now());
  if (stored === undefined) return undefined;
  const hot = openPart(ring, handle, locator, 'h', stored.hot) as SessionHot | undefined;
  const cold = stored.cold && (openPart(ring, handle, locator, 'c', stored.cold) as SessionCold | undefined);
  if (hot === undefined) return undefined;
  const { revision, tokens } = stored;
  const none: SessionCold = { refreshToken: undefined, idToken: undefined };
  return { revision, hot, cold: cold ?? none, backoff: parseBackoff(stored.backoff), tokens };
}

async function writeRecord(
  services: RecordServices,
  handle: string,
  locator: string,
  record: RefreshRecord,
  change: RecordChange,
): Promise<Written> {
  const until = services.clock.now() + LIMITS.refreshStoreMs;
  let wanted = change;
  const movesOn = !holds(record, { ...record, ...change });
  for (let base = record; ; ) {
    try {
      const sealed = sealChange(services.ring, handle, locator, wanted);
      const outcome = await services.store.update(locator, base.revision, sealed, services.clock.now());
      if (outcome === 'gone') return { kind: 'gone' };
      if (outcome === 'written')
        return { kind: 'written', record: { ...base, ...wanted, revision: base.revision + 1 } };
      const found = await readRecord(services, handle, locator);
      if (found === undefined) return { kind: 'gone' };
      // The answer to an earlier attempt was lost, not the write.
      if (movesOn && holds(found, { ...record, ...wanted })) return { kind: 'written', record: found };
      if (isSuccessor(found, record, wanted))
        wanted = { cold: { ...found.cold, refreshToken: wanted.cold?.refreshToken } };
      else if (!holds(found, record)) return { kind: 'superseded' };
      base = found;
    } catch (error) {
      if (!movesOn || !isOutage(error) || services.isClosing() || services.clock.now() >= until) throw error;
      await new Promise<void>((resolve) => void services.timers.schedule(RETRY_MS, resolve));
    }
  }
}

function sealChange(ring: KeyRing, handle: string, locator: string, { hot, cold, backoff }: RecordChange) {
  return {
    ...(hot && { hot: sealPart(ring, handle, locator, 'h', hot) }),
    ...(cold && { cold: sealPart(ring, handle, locator, 'c', cold) }),
    ...(backoff && { backoff: formatBackoff(backoff) }),
  };
}

/**
 * A rotation of the very refresh token that is still in the record. The access token there may be another by now: that
 * of an earlier holder who stored the refresh token, stood still, and came back to store the rest.
 */
function isSuccessor(found: RefreshRecord, record: RefreshRecord, { hot, cold }: RecordChange): boolean {
  const { refreshToken: spent } = record.cold;
  const isRotation = hot === undefined && cold?.refreshToken !== undefined && cold.refreshToken !== spent;
  return isRotation && found.cold.refreshToken === spent;
}

/** The same tokens: nobody else's refresh lies between the two. */
function holds(found: RefreshRecord, wanted: RefreshRecord): boolean {
  return found.hot.accessToken === wanted.hot.accessToken && found.cold.refreshToken === wanted.cold.refreshToken;
}

function isOutage(error: unknown): boolean {
  return isSallyportError(error) && error.code === 'store_unavailable';
}
