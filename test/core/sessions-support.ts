import { createKeyRing, type KeyRing } from '../../src/core/crypto.ts';
import { HeaderList } from '../../src/core/header-list.ts';
import type { IdentityHeaders } from '../../src/core/identity.ts';
import type { L1 } from '../../src/core/l1.ts';
import type { NewSession, Session } from '../../src/core/services.ts';
import type { SessionHot } from '../../src/core/session.ts';
import { createSessions, type SessionsOptions } from '../../src/core/sessions.ts';
import type { SessionStore } from '../../src/core/store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { hotOf, NOW } from './world.ts';

/** Idle limit of the test sessions, ms. */
export const IDLE_MS = 1_800_000;
/** Absolute limit, ms. */
export const ABSOLUTE_MS = 43_200_000;
/** Life of a tombstone, ms. */
export const TOMBSTONE_MS = 660_000;

/** Two server keys. */
const SEALS = {
  k1: { id: 'k1', secret: Buffer.alloc(32, 1) },
  k2: { id: 'k2', secret: Buffer.alloc(32, 2) },
} as const;

/** A ring of these keys, the first one writes. */
export function ringOf(...ids: readonly (keyof typeof SEALS)[]): KeyRing {
  return createKeyRing(ids.map((id) => SEALS[id]));
}

/** Calls of a store, by method. */
export type StoreCalls = { readonly lookUp: string[]; readonly touch: [string, number, number][] };

/** The store itself, with its reads and touches noted down. */
export function watchStore(store: SessionStore): { store: SessionStore; calls: StoreCalls } {
  const calls: StoreCalls = { lookUp: [], touch: [] };
  const watched: SessionStore = new Proxy(store, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== 'function') return member;
      return (...words: unknown[]) => {
        if (name === 'lookUp') calls.lookUp.push(words[0] as string);
        if (name === 'touch') calls.touch.push(words as [string, number, number]);
        return (member as (...all: unknown[]) => unknown).apply(target, words);
      };
    },
  });
  return { store: watched, calls };
}

/** What a scene of sessions is made of; everything has a default. */
export type SessionsScene = {
  readonly store?: SessionStore;
  readonly l1?: L1;
  readonly ring?: KeyRing;
  readonly clock?: { time: number; now(): number };
  readonly idleMs?: number;
  readonly absoluteMs?: number;
  readonly maxPerUser?: number;
};

/** Real sessions over a real memory store with a clock that tests turn. */
export function openSessions(scene: SessionsScene = {}) {
  const clock = scene.clock ?? createClock();
  const raw = scene.store ?? createMemoryStore();
  const { store, calls } = watchStore(raw);
  const built: string[] = [];
  const errors: unknown[] = [];
  const identity: IdentityHeaders = {
    blank: new HeaderList([]),
    names: ['x-user-id'],
    build(source) {
      built.push(source.publicId);
      return new HeaderList(['X-User-Id', source.hot.principal.userId]);
    },
    withToken: (headers) => headers,
  };
  const options: SessionsOptions = {
    store,
    ring: scene.ring ?? ringOf('k1'),
    clock,
    settings: {
      idleMs: scene.idleMs ?? IDLE_MS,
      absoluteMs: scene.absoluteMs ?? ABSOLUTE_MS,
      maxPerUser: scene.maxPerUser ?? 0,
      checkSlides: true,
      exposedClaims: [],
    },
    identity,
    l1: scene.l1,
    tombstoneTtlMs: TOMBSTONE_MS,
    onBackgroundError: (error) => errors.push(error),
  };
  return { sessions: createSessions(options), store: raw, clock, calls, built, errors };
}

/** A clock that stands still until a test moves `time`. */
export function createClock(): { time: number; now(): number } {
  const clock = { time: NOW, now: () => clock.time };
  return clock;
}

/** A login that began ten seconds before it was finished. */
export function loginOf(fields: Partial<SessionHot> = {}, startedAt = NOW - 10_000): NewSession {
  const { createdAt: _c, idleMs: _i, absoluteAt: _a, indexKeyId: _k, ...hot } = hotOf(fields);
  return { hot, cold: { refreshToken: 'rt-secret', idToken: 'it-secret' }, startedAt };
}

/** A session that must have been made. */
export function made<Result>(created: Result | undefined): Result {
  if (created === undefined) throw new TypeError('the session was not created');
  return created;
}

/** The outcome of a look-up, whether it is a promise or not. */
export async function settled(found: Session | undefined | Promise<Session | undefined>): Promise<Session | undefined> {
  return await found;
}
