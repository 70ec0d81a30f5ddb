import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SessionCreation } from '../../src/core/store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { creationAt, hasCode, newKey } from '../contract/session-store-behaviours.ts';

const NOW = 1_700_000_000_000;

describe('memory store bounds', () => {
  test('above its bound of sessions the one created first ends', async () => {
    const store = createMemoryStore({ limits: { memorySessionsMax: 3 } });
    const creations = Array.from({ length: 5 }, () => creationAt(NOW));
    for (const creation of creations) assert.equal(await store.create(creation), 'created');
    const live = await Promise.all(
      creations.map(async ({ locator }) => (await store.readHot(locator, NOW)) !== undefined),
    );
    assert.deepEqual(live, [false, false, true, true, true]);
    assert.deepEqual(await store.listBySubject(creations[0]!.subjectKey, NOW), []);
  });

  test('sessions that are over make room before live ones do', async () => {
    const store = createMemoryStore({ limits: { memorySessionsMax: 3 } });
    const first = creationAt(NOW);
    await store.create(first);
    for (let index = 0; index < 2; index += 1) await store.create(creationAt(NOW, { expiresAt: NOW + 10 }));
    await store.create(creationAt(NOW + 10));
    assert.notEqual(await store.readHot(first.locator, NOW + 10), undefined);
  });

  test('a full memory of consumed ids refuses, because a forgotten id could be used again', async () => {
    const store = createMemoryStore({ limits: { memoryMarksMax: 2 } });
    const id = newKey();
    assert.equal(await store.consumeOnce('state', id, NOW, 1_000), true);
    assert.equal(await store.consumeOnce('state', newKey(), NOW, 1_000), true);
    await assert.rejects(store.consumeOnce('state', newKey(), NOW, 1_000), hasCode('store_unavailable'));
    assert.equal(await store.consumeOnce('state', id, NOW + 999, 1_000), false);
    assert.equal(await store.consumeOnce('state', newKey(), NOW + 1_000, 1_000), true);
  });

  test('a logout always leaves its tombstone; above the bound the oldest one goes', async () => {
    const store = createMemoryStore({ limits: { memoryMarksMax: 2 } });
    const users = [newKey(), newKey(), newKey()];
    for (const user of users) await store.destroyBySubject(user, NOW, 60_000);
    const outcomes = [];
    for (const subjectKey of users)
      outcomes.push(await store.create(creationAt(NOW, { subjectKey, startedAt: NOW - 1 })));
    assert.deepEqual(outcomes, ['created', 'ended', 'ended']);
  });

  test('the bound of a record is the one that was asked for', async () => {
    const store = createMemoryStore({ limits: { sessionRecordMaxBytes: 20 } });
    const fits = creationAt(NOW, { hot: Buffer.alloc(19), cold: undefined });
    assert.equal(await store.create(fits), 'created');
    const exceeds = creationAt(NOW, { hot: Buffer.alloc(20), cold: undefined });
    await assert.rejects(store.create(exceeds), hasCode('idp_bad_response'));
  });

  test('one user has at most a thousand sessions, those with the first end go', async () => {
    const store = createMemoryStore();
    const subjectKey = newKey();
    const creations: SessionCreation[] = [];
    for (let index = 0; index < 1_002; index += 1) {
      const creation = creationAt(NOW, { subjectKey, absoluteAt: NOW + 10_000_000 + index });
      creations.push(creation);
      await store.create(creation);
    }
    const expected = creations.slice(2).map((creation) => creation.locator);
    assert.deepEqual(await store.listBySubject(subjectKey, NOW), expected);
  });

  test('sessions that nobody reads again do not pile up', async () => {
    const store = createMemoryStore({ limits: { memorySessionsMax: 1_000 } });
    const survivor = creationAt(NOW);
    await store.create(survivor);
    for (let index = 1; index <= 20_000; index += 1) {
      const now = NOW + index;
      await store.create(creationAt(now, { expiresAt: now + 100, absoluteAt: now + 100 }));
    }
    // Each lives for 100 of 20,000 turns: without sweeping, the bound would have ended the first session.
    assert.notEqual(await store.readHot(survivor.locator, NOW + 20_000), undefined);
  });
});
