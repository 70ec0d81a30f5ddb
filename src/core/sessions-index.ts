import type { Clock } from './clock.ts';
import { hmacBase64url, type KeyRing } from './crypto.ts';
import type { ListedSession, Session, Sessions } from './services.ts';
import { openDescription } from './session.ts';
import { indexKeyOf, publicIdOf } from './sessions-decode.ts';
import type { SessionStore } from './store.ts';

/** What the indexes are read with. */
export type IndexOptions = {
  readonly store: SessionStore;
  readonly ring: KeyRing;
  readonly clock: Clock;
  /** How long an ended user or provider session is remembered (D-18). */
  readonly tombstoneTtlMs: number;
};

/**
 * Sessions found by their user or their session at the provider, under every key of the ring: whichever key named them
 * when they were made (D-27).
 */
export function createIndexedSessions(
  options: IndexOptions,
): Pick<Sessions, 'end' | 'endAllOfUser' | 'endProviderSession' | 'list' | 'endListed'> {
  const { store, ring, clock, tombstoneTtlMs } = options;
  const subjectKeyOf = (id: string, issuer: string, subject: string): string =>
    indexKeys(ring, id, issuer, subject, undefined).subjectKey;
  return {
    end: (session) => endSession(options, session),
    async endAllOfUser(issuer, subject) {
      let ended = 0;
      for (const id of ring.ids) {
        const key = subjectKeyOf(id, issuer, subject);
        ended += (await store.destroyBySubject(key, clock.now(), tombstoneTtlMs)).length;
      }
      return ended;
    },
    async endProviderSession(issuer, sid, remember) {
      let ended = 0;
      for (const id of ring.ids) {
        const key = providerSessionKeyOf(ring, id, issuer, sid);
        ended += (await store.destroyByProviderSession(key, clock.now(), remember ? tombstoneTtlMs : 0)).length;
      }
      return ended;
    },
    list: (issuer, subject) => listSessions(options, issuer, subject),
    async endListed(issuer, subject, publicId) {
      const found = (await listSessions(options, issuer, subject)).find((listed) => listed.publicId === publicId);
      if (found === undefined) return undefined;
      for (const id of ring.ids) {
        const subjectKey = subjectKeyOf(id, issuer, subject);
        // Which session at the provider it belongs to is sealed under its cookie: that entry ends by itself.
        await store.destroy({ locator: found.locator, subjectKey, providerSessionKey: undefined });
      }
      return found;
    },
  };
}

async function listSessions(
  { store, ring, clock }: IndexOptions,
  issuer: string,
  subject: string,
): Promise<readonly ListedSession[]> {
  const now = clock.now();
  const lists = ring.ids.map(async (id): Promise<ListedSession[]> => {
    const { subjectKey } = indexKeys(ring, id, issuer, subject, undefined);
    const stored = await store.readDescriptions(await store.listBySubject(subjectKey, now), now);
    return stored.map(({ locator, lastSeenAt, description }) => ({
      locator,
      publicId: publicIdOf(ring, id, locator),
      lastSeenAt,
      description: description && openDescription(ring, locator, description),
    }));
  });
  return (await Promise.all(lists)).flat().sort((a, b) => b.lastSeenAt - a.lastSeenAt);
}

/**
 * End one session and remember its provider session. Under every key of the ring: a login under way names the provider
 * session with the key that writes, whichever key named this one (D-18, D-27).
 */
async function endSession(options: IndexOptions, session: Session): Promise<void> {
  const { store, ring, clock, tombstoneTtlMs } = options;
  const { principal, sid } = session.hot;
  const now = clock.now();
  await store.destroy({ locator: session.locator, ...indexKeysOf(ring, session) });
  if (sid === undefined) return;
  for (const id of ring.ids) {
    const key = providerSessionKeyOf(ring, id, principal.issuer, sid);
    await store.destroyByProviderSession(key, now, tombstoneTtlMs);
  }
}

/** Keyed hashes, so that a copy of the store tells nobody which user has sessions (D-12, D-27). */
export function indexKeys(ring: KeyRing, keyId: string, issuer: string, subject: string, sid: string | undefined) {
  return {
    subjectKey: hmacBase64url(indexKeyOf(ring, keyId), `sub|${issuer}|${subject}`),
    providerSessionKey: sid === undefined ? undefined : providerSessionKeyOf(ring, keyId, issuer, sid),
  };
}

function providerSessionKeyOf(ring: KeyRing, keyId: string, issuer: string, sid: string): string {
  return hmacBase64url(indexKeyOf(ring, keyId), `sid|${issuer}|${sid}`);
}

/** The index keys that name a session. */
export function indexKeysOf(ring: KeyRing, { hot }: Session) {
  return indexKeys(ring, hot.indexKeyId, hot.principal.issuer, hot.principal.subject, hot.sid);
}
