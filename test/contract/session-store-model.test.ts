import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { SessionCreation, SessionStore } from '../../src/core/store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';

const START = Date.now();
const DAY_MS = 86_400_000;
// No life below is shorter than a minute: Redis also forgets by its own clock, which a slow machine must not reach.

/** One step of a random life of a store; `pick` chooses among the sessions made so far. */
type Step =
  | { readonly kind: 'wait'; readonly ms: number }
  | {
      readonly kind: 'create';
      readonly user: number;
      readonly providerSession: number | undefined;
      readonly idleMs: number;
      readonly extraMs: number;
      readonly agoMs: number;
      readonly max: number;
    }
  | { readonly kind: 'createAgain' | 'readHot' | 'readAll' | 'destroy' | 'destroyBare'; readonly pick: number }
  | { readonly kind: 'touch'; readonly pick: number; readonly aheadMs: number }
  | {
      readonly kind: 'update';
      readonly pick: number;
      readonly revision: number;
      readonly part: 'hot' | 'cold' | 't1' | 't2';
    }
  | { readonly kind: 'destroyBySubject' | 'listBySubject'; readonly user: number; readonly ttlMs: number }
  | { readonly kind: 'destroyByProviderSession'; readonly providerSession: number; readonly ttlMs: number }
  | { readonly kind: 'consumeOnce'; readonly id: number; readonly isState: boolean };

const pick = fc.nat(11);
const user = fc.nat(2);
const ttlMs = fc.constantFrom(60_000, 3_600_000);
const ofSession = ['createAgain', 'readHot', 'readAll', 'destroy', 'destroyBare'] as const;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait'), ms: fc.constantFrom(1, 30_000, 300_000, 1_800_000) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('create'),
      user,
      providerSession: fc.option(fc.nat(2), { nil: undefined }),
      idleMs: fc.constantFrom(60_000, 600_000, 3_600_000),
      extraMs: fc.constantFrom(0, 420_000, 36_000_000),
      agoMs: fc.constantFrom(0, 1, 36_000, 600_000),
      max: fc.constantFrom(0, 1, 2, 3),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom(...ofSession), pick }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('touch'), pick, aheadMs: fc.constantFrom(-30_000, 30_000, 1_200_000) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('update'),
      pick,
      revision: fc.integer({ min: 1, max: 4 }),
      part: fc.constantFrom('hot', 'cold', 't1', 't2'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('destroyBySubject', 'listBySubject'), user, ttlMs }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('destroyByProviderSession'), providerSession: fc.nat(2), ttlMs }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('consumeOnce'), id: fc.nat(3), isState: fc.boolean() }) },
);

describe('session stores', { skip: skipWithout('redis-server') }, () => {
  let redis: TestRedis;
  before(async () => {
    redis = await startRedis();
  });
  after(async () => {
    await redis.remove();
  });

  test('memory and Redis answer every sequence of operations alike, and nothing brings an ended session back', async () => {
    const counts = { live: 0, ended: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        const memory = createMemoryStore();
        const valkey = createValkeyStore({ redis: redis.settings({ keyPrefix: `${randomUUID()}:` }) });
        await whenReachable(valkey);
        try {
          const seen = await liveThrough(steps, memory, valkey);
          counts.live += seen.live;
          counts.ended += seen.ended;
        } finally {
          await valkey.close();
        }
      }),
      { numRuns: 100 },
    );
    assert.ok(counts.live > 100 && counts.ended > 100, `sequences that show nothing: ${JSON.stringify(counts)}`);
  });
});

async function liveThrough(steps: readonly Step[], memory: SessionStore, valkey: SessionStore) {
  const made: SessionCreation[] = [];
  const ended = new Set<string>();
  let now = START;
  let live = 0;
  for (const current of steps) {
    if (current.kind === 'wait') now += current.ms;
    const creation = current.kind === 'create' ? creationOf(current, now, made.length) : undefined;
    const target = creation ?? ('pick' in current ? made[current.pick % Math.max(1, made.length)] : undefined);
    if ('pick' in current && (target === undefined || (current.kind === 'createAgain' && ended.has(target.locator))))
      continue;
    const expected = await answerOf(memory, current, target, now);
    assert.deepEqual(await answerOf(valkey, current, target, now), expected, JSON.stringify(current));
    if (creation !== undefined) made.push(creation);
    for (const { locator } of made) {
      const stored = await memory.readHot(locator, now);
      assert.deepEqual(await valkey.readHot(locator, now), stored, `${locator} after ${JSON.stringify(current)}`);
      assert.ok(stored === undefined || !ended.has(locator), `${locator} came back`);
      if (stored === undefined) ended.add(locator);
      else live += 1;
    }
  }
  return { live, ended: ended.size };
}

function creationOf(from: Extract<Step, { kind: 'create' }>, now: number, index: number): SessionCreation {
  return {
    locator: `session-${index}`,
    hot: Buffer.from(`hot ${index}`),
    cold: index % 2 === 0 ? Buffer.from(`cold ${index}`) : undefined,
    now,
    expiresAt: now + from.idleMs,
    absoluteAt: now + from.idleMs + from.extraMs,
    subjectKey: `user-${from.user}`,
    providerSessionKey: from.providerSession === undefined ? undefined : `provider-${from.providerSession}`,
    startedAt: now - from.agoMs,
    maxPerSubject: from.max,
  };
}

/** What a store answers to a step, a refusal included. */
async function answerOf(
  store: SessionStore,
  step: Step,
  target: SessionCreation | undefined,
  now: number,
): Promise<unknown> {
  try {
    return await apply(store, step, target, now);
  } catch (error) {
    return `refused: ${(error as Error).message}`;
  }
}

async function apply(
  store: SessionStore,
  step: Step,
  target: SessionCreation | undefined,
  now: number,
): Promise<unknown> {
  const { locator, absoluteAt } = target ?? { locator: '', absoluteAt: 0 };
  switch (step.kind) {
    case 'create':
      return store.create(target!);
    case 'createAgain':
      return store.create({ ...target!, now, startedAt: now, expiresAt: now + 60_000, absoluteAt: now + DAY_MS });
    case 'readHot':
      return store.readHot(locator, now);
    case 'readAll':
      return store.readAll(locator, now);
    case 'touch':
      return store.touch(locator, now, Math.min(now + step.aheadMs, absoluteAt));
    case 'update':
      return store.update(locator, step.revision, changeOf(step.part, now), now);
    case 'destroy':
      return didEnd(store, target!, now);
    case 'destroyBare':
      return didEnd(store, { locator, subjectKey: undefined, providerSessionKey: undefined }, now);
    case 'destroyBySubject':
      return store.destroyBySubject(`user-${step.user}`, now, step.ttlMs);
    case 'destroyByProviderSession':
      return store.destroyByProviderSession(`provider-${step.providerSession}`, now, step.ttlMs);
    case 'listBySubject':
      return store.listBySubject(`user-${step.user}`, now);
    case 'consumeOnce':
      return store.consumeOnce(step.isState ? 'state' : 'jti', `id-${step.id}`, now, DAY_MS);
    case 'wait':
      return undefined;
  }
}

/** `destroy` has no clock, so what it says of a session that is over is not defined; of all others it is. */
async function didEnd(store: SessionStore, end: Parameters<SessionStore['destroy']>[0], now: number): Promise<unknown> {
  const wasLive = (await store.readHot(end.locator, now)) !== undefined;
  const existed = await store.destroy(end);
  return wasLive ? existed : 'was over';
}

function changeOf(part: 'hot' | 'cold' | 't1' | 't2', now: number) {
  const value = Buffer.from(`${part} at ${now}`);
  return part === 'hot' || part === 'cold' ? { [part]: value } : { tokens: new Map([[part, value]]) };
}
