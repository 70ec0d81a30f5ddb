import type { KeyObject } from 'node:crypto';
import type { Clock } from './clock.ts';
import type { SessionSettings } from './config/types.ts';
import { hmacBase64url, type KeyRing, randomToken, sealFingerprint } from './crypto.ts';
import type { IdentityHeaders } from './identity.ts';
import { LIMITS } from './limits.ts';
import type { NewSession, Session, Sessions } from './services.ts';
import { locatorOf, openPart, type SessionCold, type SessionHot, sealPart } from './session.ts';
import type { SessionStore, StoredHot } from './store.ts';

/** What sessions are made of. */
export type SessionsOptions = {
  readonly store: SessionStore;
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly settings: SessionSettings;
  readonly identity: IdentityHeaders;
  /** How long an ended user or provider session is remembered: a login's life plus clock skew (D-18). */
  readonly tombstoneTtlMs: number;
  /** Failures off the critical path (a lost touch); never thrown. */
  onBackgroundError(error: unknown): void;
};

/**
 * Sessions over a store: seals and opens records, keeps the limits, slides the idle limit off the critical path.
 *
 * A bounded memo remembers decoded records by (locator, nonce, tag): the same stored bytes are opened once. It is
 * coherent by construction, because a changed record has another nonce (D-13).
 */
export function createSessions(options: SessionsOptions): Sessions {
  const { store, ring, clock, settings } = options;
  const decode = createDecoder(options);
  const touch = createToucher(options);
  return {
    async find(handle, slide) {
      const now = clock.now();
      const locator = locatorOf(handle);
      const stored = await store.readHot(locator, now);
      const session = stored === undefined ? undefined : decode(handle, locator, stored);
      if (session === undefined || !isWithinLimits(session, now)) return undefined;
      if (slide) touch(session, now);
      return session;
    },
    create: (creation) => createSession(options, decode, creation),
    async readCold(handle) {
      const locator = locatorOf(handle);
      const stored = await store.readAll(locator, clock.now());
      if (stored?.cold === undefined) return undefined;
      return openPart(ring, handle, locator, 'c', stored.cold) as SessionCold | undefined;
    },
    async replace(session) {
      await store.destroy({ locator: session.locator, ...indexKeysOf(ring, session) });
    },
    async end(session) {
      const now = clock.now();
      const keys = indexKeysOf(ring, session);
      await store.destroy({ locator: session.locator, ...keys });
      if (keys.providerSessionKey !== undefined) {
        await store.destroyByProviderSession(keys.providerSessionKey, now, options.tombstoneTtlMs);
      }
    },
    async endAllOfUser(issuer, subject) {
      let ended = 0;
      for (const id of ring.ids) {
        const { subjectKey } = indexKeys(ring, id, issuer, subject, undefined);
        ended += (await store.destroyBySubject(subjectKey, clock.now(), options.tombstoneTtlMs)).length;
      }
      return ended;
    },
  };

  /** The store's expiry is a safety net; these limits hold by our own clock (D-16). */
  function isWithinLimits(session: Session, now: number): boolean {
    const idleMs = Math.min(session.hot.idleMs, settings.idleMs);
    return now < session.hot.absoluteAt && now - session.lastSeenAt < idleMs;
  }
}

type Decoder = (handle: string, locator: string, stored: StoredHot) => Session | undefined;

function createDecoder({ ring, identity }: SessionsOptions): Decoder {
  const memo = new Map<string, Session>();
  return (handle, locator, stored) => {
    const key = locator + sealFingerprint(stored.hot);
    const known = memo.get(key);
    if (known !== undefined) {
      return known.lastSeenAt === stored.lastSeenAt ? known : remember(memo, key, { ...known, ...seen(stored) });
    }
    const hot = openPart(ring, handle, locator, 'h', stored.hot) as SessionHot | undefined;
    if (hot === undefined) return undefined;
    const publicId = publicIdOf(ring, hot.indexKeyId, locator);
    const headers = identity.build({ hot, publicId });
    return remember(memo, key, { locator, publicId, hot, headers, ...seen(stored) });
  };
}

function seen(stored: StoredHot): { revision: number; lastSeenAt: number } {
  return { revision: stored.revision, lastSeenAt: stored.lastSeenAt };
}

function remember(memo: Map<string, Session>, key: string, session: Session): Session {
  if (memo.size >= LIMITS.decodeMemoEntriesMax && !memo.has(key)) {
    const oldest = memo.keys().next();
    if (!oldest.done) memo.delete(oldest.value);
  }
  memo.set(key, session);
  return session;
}

/** Touch at most once per tenth of the idle window, one at a time per session, never awaited (D-17). */
function createToucher({ store, onBackgroundError }: SessionsOptions): (session: Session, now: number) => void {
  const running = new Set<string>();
  return (session, now) => {
    const { idleMs, absoluteAt } = session.hot;
    if (now - session.lastSeenAt <= idleMs / 10 || running.has(session.locator)) return;
    running.add(session.locator);
    store
      .touch(session.locator, now, Math.min(now + idleMs, absoluteAt))
      .catch(onBackgroundError)
      .finally(() => running.delete(session.locator));
  };
}

async function createSession(options: SessionsOptions, decode: Decoder, creation: NewSession) {
  const { store, ring, clock, settings } = options;
  const now = clock.now();
  const handle = randomToken();
  const locator = locatorOf(handle);
  const absoluteAt = now + settings.absoluteMs;
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
    now,
    expiresAt: Math.min(now + settings.idleMs, absoluteAt),
    absoluteAt,
    ...indexKeys(ring, ring.writerId, issuer, subject, hot.sid),
    startedAt: creation.startedAt,
    maxPerSubject: settings.maxPerUser,
  });
  if (outcome === 'ended') return undefined;
  const session = decode(handle, locator, { revision: 1, lastSeenAt: now, hot: sealed });
  if (session === undefined) throw new TypeError('a record just sealed does not open');
  return { handle, session };
}

/** Keyed hashes, so that a copy of the store tells nobody which user has sessions (D-12, D-27). */
function indexKeys(ring: KeyRing, keyId: string, issuer: string, subject: string, sid: string | undefined) {
  const key = indexKeyOf(ring, keyId);
  return {
    subjectKey: hmacBase64url(key, `sub|${issuer}|${subject}`),
    providerSessionKey: sid === undefined ? undefined : hmacBase64url(key, `sid|${issuer}|${sid}`),
  };
}

function indexKeysOf(ring: KeyRing, { hot }: Session) {
  return indexKeys(ring, hot.indexKeyId, hot.principal.issuer, hot.principal.subject, hot.sid);
}

function publicIdOf(ring: KeyRing, keyId: string, locator: string): string {
  return hmacBase64url(indexKeyOf(ring, keyId), `public|${locator}`).slice(0, 22);
}

/** A key that left the ring falls back to the writer: such a session no longer opens, only its name is asked for. */
function indexKeyOf(ring: KeyRing, keyId: string): KeyObject {
  const key = ring.find(keyId, 'index') ?? ring.find(ring.writerId, 'index');
  if (key === undefined) throw new TypeError('the writing key is not in the ring');
  return key;
}
