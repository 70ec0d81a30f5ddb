import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/core/clock.ts';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import { createKeyRing } from '../../src/core/crypto.ts';
import { isSallyportError } from '../../src/core/errors.ts';
import { L1 } from '../../src/core/l1.ts';
import type { Session, Sessions } from '../../src/core/services.ts';
import type { SessionStore } from '../../src/core/store.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { createSession, sessionsOver } from './direct-sessions.ts';
import { whenReachable } from './redis.ts';
import { until } from './until.ts';

const SECRET = randomBytes(32);
/** Heartbeat of the copies in a life. */
export const HEARTBEAT_MS = 200;

/** One process's view of the store: sessions with an L1 in front. */
export type Process = {
  readonly store: SessionStore;
  readonly sessions: Sessions;
  readonly l1: L1;
  /** Writes that too few replicas confirmed. */
  readonly missed: string[];
  close(): Promise<void>;
};

/** What look-ups under load found. */
export type LoadResult = {
  found: number;
  unavailable: number;
  /** Live sessions that were called absent: logouts that nobody asked for. */
  wrongRefusals: number;
  /** Sessions served longer than the bound after their end was acknowledged. */
  wrongAllows: number;
};

/** A session and when its end was acknowledged, ms since the epoch; `ending` = the outcome is not known. */
export type Subject = { readonly handle: string; readonly session: Session; endedAt: number | 'ending' | undefined };

/** Open a process. Close it at the end. */
export async function openProcess(redis: RedisSettings): Promise<Process> {
  const missed: string[] = [];
  const store = createValkeyStore({
    redis,
    tracking: { heartbeatMs: HEARTBEAT_MS, clock: systemClock, onRefused: (code) => assert.fail(code) },
    onUnreplicated: (write) => void missed.push(write),
  });
  await whenReachable(store, 30_000);
  const l1 = new L1({ changes: store.changes!, maxEntries: 10_000, maxBytes: 10_000_000 });
  await until(async () => l1.isCurrent(Date.now()), 'the copies are current', 30_000);
  const sessions = sessionsOver({ store, l1, ring: createKeyRing([{ id: 'k1', secret: SECRET }]) });
  return {
    ...{ store, sessions, l1, missed },
    async close() {
      l1.close();
      await store.close();
    },
  };
}

/** Sign users in, one session each. */
export async function signIn({ sessions }: Process, count: number): Promise<Subject[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const created = await createSession(sessions, { subject: `user-${index}` }, `sid-${index}`);
      return { ...created, endedAt: undefined };
    }),
  );
}

/** End a session; false = the outcome is unknown. */
export async function signOut({ sessions }: Process, subject: Subject): Promise<boolean> {
  subject.endedAt = 'ending';
  try {
    await sessions.end(subject.session);
    subject.endedAt = Date.now();
    return true;
  } catch (error) {
    assert.ok(isSallyportError(error) && error.code === 'store_unavailable', String(error));
    return false;
  }
}

/** Ask for the sessions again and again while `run` runs. */
export async function underLoad(
  process: Process,
  subjects: readonly Subject[],
  run: () => Promise<void>,
): Promise<LoadResult> {
  const result: LoadResult = { found: 0, unavailable: 0, wrongRefusals: 0, wrongAllows: 0 };
  let isRunning = true;
  const load = (async () => {
    while (isRunning) {
      await Promise.all(subjects.map((subject) => look(process, subject, result)));
      await sleep(5);
    }
  })();
  try {
    await run();
  } finally {
    isRunning = false;
    await load;
  }
  return result;
}

async function look({ sessions }: Process, subject: Subject, result: LoadResult): Promise<void> {
  const { endedAt } = subject;
  const askedAt = Date.now();
  try {
    const session = await sessions.find(subject.handle, false);
    if (session !== undefined) {
      result.found += 1;
      // The bound: two heartbeats after the acknowledgement.
      if (typeof endedAt === 'number' && askedAt > endedAt + 2 * HEARTBEAT_MS) result.wrongAllows += 1;
    } else if (subject.endedAt === undefined) result.wrongRefusals += 1;
  } catch (error) {
    assert.ok(isSallyportError(error) && error.code === 'store_unavailable', String(error));
    result.unavailable += 1;
  }
}
