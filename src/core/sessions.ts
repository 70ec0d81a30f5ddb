import type { Clock } from './clock.ts';
import type { SessionSettings } from './config/types.ts';
import { type KeyRing, randomToken } from './crypto.ts';
import { deviceOf } from './device.ts';
import type { IdentityHeaders } from './identity.ts';
import type { L1 } from './l1.ts';
import { Late } from './late.ts';
import type { NewSession, Session, Sessions } from './services.ts';
import {
  locatorOf,
  openPart,
  type SessionCold,
  type SessionDescription,
  type SessionHot,
  type SessionOrigin,
  sealDescription,
  sealPart,
} from './session.ts';
import { SessionDecoder } from './sessions-decode.ts';
import { createIndexedSessions, indexKeys, indexKeysOf } from './sessions-index.ts';
import { type SearchHome, SessionSearch } from './sessions-search.ts';
import type { SessionStore } from './store.ts';
import { viewOf } from './store-hot.ts';

/** What sessions are made of. */
export type SessionsOptions = {
  readonly store: SessionStore;
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly settings: Omit<SessionSettings, 'binding'>;
  readonly identity: IdentityHeaders;
  /** Copies of decoded sessions; undefined = each look-up asks the store. */
  readonly l1?: L1 | undefined;
  /** How long an ended user or provider session is remembered: a login's life plus clock skew (D-18). */
  readonly tombstoneTtlMs: number;
  /** Failures off the critical path (a lost touch); never thrown. */
  onBackgroundError(error: unknown): void;
};

/**
 * Sessions over a store: seals and opens records, keeps the limits, slides the idle limit off the critical path. With
 * an L1 a session that is kept there is found without a promise; with or without, the same bytes are opened once.
 */
export function createSessions(options: SessionsOptions): Sessions {
  const { store, ring, clock, settings, l1 } = options;
  const decoder = new SessionDecoder(ring, options.identity);
  const touch = createToucher(options);
  const search = createSearcher(options, decoder, { isWithinLimits, touch });
  const look: Sessions['look'] = (handle, slide, now) => {
    const known = l1?.find(handle, now);
    if (known === undefined) return search(handle, slide, now);
    if (!isWithinLimits(known, now)) {
      // Over by what we know; another process may know better.
      l1?.drop(known.locator);
      return search(handle, slide, now);
    }
    if (slide) touch(known, now);
    return known;
  };
  return {
    look,
    find(handle, slide, now = clock.now()) {
      try {
        const found = look(handle, slide, now);
        return found instanceof Late ? found.promise() : found;
      } catch (error) {
        return Promise.reject(error);
      }
    },
    create: (creation) => createSession(options, decoder, creation),
    async readCold(handle) {
      const locator = locatorOf(handle);
      const stored = await store.readAll(locator, clock.now());
      if (stored?.cold === undefined) return undefined;
      return openPart(ring, handle, locator, 'c', stored.cold) as SessionCold | undefined;
    },
    async replace(session) {
      await store.destroy({ locator: session.locator, ...indexKeysOf(ring, session) });
    },
    ...createIndexedSessions(options),
  };

  /** The store's expiry is a safety net; these limits hold by our own clock (D-16). */
  function isWithinLimits(session: Session, now: number): boolean {
    return now < session.hot.absoluteAt && now - session.lastSeenAt < idleMsOf(session, settings);
  }
}

/** The idle limit in force: the session's own, or that of the settings if they have become stricter. */
function idleMsOf(session: Session, settings: Pick<SessionSettings, 'idleMs'>): number {
  return Math.min(session.hot.idleMs, settings.idleMs);
}

/**
 * Looks sessions up in the store. Who asks for a session that is being looked up gets the same answer, unless it
 * changed meanwhile; the answer goes to the L1 on the same condition.
 */
function createSearcher(
  { store, l1 }: SessionsOptions,
  decoder: SessionDecoder,
  limits: Pick<SearchHome, 'isWithinLimits' | 'touch'>,
): (handle: string, slide: boolean, now: number) => SessionSearch {
  const home: SearchHome = {
    ...limits,
    open(search, stored) {
      const { handle, locator, known } = search;
      const decoded = stored && decoder.decode(handle, locator, stored, known);
      if (decoded === undefined) l1?.abandon(locator, search);
      else l1?.fill(search, decoded.handle, decoded.session, decoded.bytes);
      return decoded?.session;
    },
    abandon: (search) => l1?.abandon(search.locator, search),
  };
  return (handle, slide, now) => {
    const known = decoder.find(handle);
    const locator = known?.session.locator ?? locatorOf(handle);
    const search = new SessionSearch(home, handle, locator, known, slide, now);
    const running = l1?.findLoad(locator, now);
    if (running !== undefined) {
      search.join(running);
      return search;
    }
    store.lookUp(locator, now, search);
    l1?.begin(locator, search);
    return search;
  };
}

/** Touch at most once per tenth of the idle window, one at a time per session, never awaited (D-17). */
function createToucher(options: SessionsOptions): (session: Session, now: number) => void {
  const { store, settings, l1, onBackgroundError } = options;
  const running = new Set<string>();
  return (session, now) => {
    const { idleMs, absoluteAt } = session.hot;
    if (now - session.lastSeenAt <= idleMsOf(session, settings) / 10 || running.has(session.locator)) return;
    running.add(session.locator);
    store
      .touch(session.locator, now, Math.min(now + idleMs, absoluteAt))
      .finally(() => running.delete(session.locator))
      .then((isAlive) => {
        if (isAlive) l1?.replace(session, { ...session, lastSeenAt: now });
        else l1?.drop(session.locator);
      })
      .catch(onBackgroundError);
  };
}

async function createSession(options: SessionsOptions, decoder: SessionDecoder, creation: NewSession) {
  const { store, ring, clock, settings } = options;
  const now = clock.now();
  const handle = randomToken();
  const locator = locatorOf(handle);
  const absoluteAt = Math.min(creation.absoluteAt ?? Number.POSITIVE_INFINITY, now + settings.absoluteMs);
  const hot: SessionHot = {
    ...creation.hot,
    createdAt: now,
    idleMs: settings.idleMs,
    absoluteAt,
    indexKeyId: ring.writerId,
  };
  const sealed = sealPart(ring, handle, locator, 'h', hot);
  const { issuer, subject } = hot.principal;
  const outcome = await store.create({
    locator,
    hot: sealed,
    cold: sealPart(ring, handle, locator, 'c', creation.cold),
    description: sealDescription(ring, locator, describe(hot, creation.from)),
    now,
    expiresAt: Math.min(now + settings.idleMs, absoluteAt),
    absoluteAt,
    ...indexKeys(ring, ring.writerId, issuer, subject, hot.sid),
    startedAt: creation.startedAt,
    maxPerSubject: settings.maxPerUser,
  });
  if (outcome === 'ended') return undefined;
  const decoded = decoder.decode(handle, locator, viewOf({ revision: 1, lastSeenAt: now, hot: sealed }));
  if (decoded === undefined) throw new TypeError('a record just sealed does not open');
  return { handle, session: decoded.session };
}

function describe(hot: SessionHot, from: SessionOrigin = { userAgent: '', address: '' }): SessionDescription {
  const { site, idp, principal, createdAt, absoluteAt } = hot;
  const { username } = principal;
  return { site, idp, username, device: deviceOf(from.userAgent), address: from.address, createdAt, absoluteAt };
}
