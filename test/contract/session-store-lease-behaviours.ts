import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionStore } from '../../src/core/store.ts';
import { creationAt, hasCode, newKey, type StoreBehaviour } from './session-store-behaviours.ts';

const LONG_MS = 60_000;

export const LEASE_BEHAVIOURS: readonly StoreBehaviour[] = [
  {
    name: 'a lease has one owner among all processes, and each session has its own',
    run: async ({ store, other, now }) => {
      const [locator, another] = [newKey(), newKey()];
      const takers = Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? store : other));
      const taken = await Promise.all(
        takers.map((by, index) => by.leases.acquire(locator, 'grant', `owner-${index}`, now, LONG_MS)),
      );
      assert.equal(taken.filter(Boolean).length, 1);
      assert.equal(await other.leases.acquire(another, 'grant', 'owner-x', now, LONG_MS), true);
      const holder = `owner-${taken.indexOf(true)}`;
      assert.equal(await store.leases.release(another, 'grant', holder), false, 'only in its own session');
      assert.equal(await other.leases.release(locator, 'grant', holder), true);
      assert.equal(await other.leases.release(another, 'grant', 'owner-x'), true);
    },
  },
  {
    name: 'only its owner gives a lease back, once; then it is free',
    run: async ({ store, other, now }) => {
      const locator = newKey();
      await store.leases.acquire(locator, 'grant', 'mine', now, LONG_MS);
      assert.equal(await other.leases.release(locator, 'grant', 'theirs'), false);
      assert.equal(await other.leases.acquire(locator, 'grant', 'theirs', now, LONG_MS), false);
      assert.equal(await other.leases.release(locator, 'grant', 'mine'), true);
      assert.equal(await store.leases.release(locator, 'grant', 'mine'), false);
      assert.equal(await other.leases.acquire(locator, 'grant', 'theirs', now, LONG_MS), true);
      assert.equal(await store.leases.release(locator, 'grant', 'mine'), false, 'a late owner takes nothing away');
      assert.equal(await other.leases.release(locator, 'grant', 'theirs'), true);
    },
  },
  {
    name: 'a lease that nobody gives back ends by itself',
    run: async ({ store, other, now }) => {
      const locator = newKey();
      const ttlMs = 60;
      assert.equal(await store.leases.acquire(locator, 'grant', 'first', now, ttlMs), true);
      await sleep(ttlMs + 20);
      const later = now + ttlMs + 20;
      assert.equal(await other.leases.acquire(locator, 'grant', 'second', later, LONG_MS), true);
      assert.equal(await store.leases.release(locator, 'grant', 'first'), false);
      assert.equal(await other.leases.release(locator, 'grant', 'second'), true);
    },
  },
  {
    name: 'names that are not base64url never become part of a lease',
    run: async ({ store, now }) => {
      await assert.rejects(store.leases.acquire('a}b', 'grant', 'owner', now, LONG_MS), hasCode('internal_error'));
      await assert.rejects(store.leases.acquire(newKey(), 'grant', 'o w', now, LONG_MS), hasCode('internal_error'));
    },
  },
  {
    name: 'the pause after a failed refresh is part of the guarded record',
    run: async ({ store, other, now }) => {
      const creation = creationAt(now);
      await store.create(creation);
      assert.equal((await store.readAll(creation.locator, now))?.backoff, undefined);
      assert.equal(await store.update(creation.locator, 1, { backoff: Buffer.from('17 1') }, now), 'written');
      assert.equal(await pauseOf(other, creation.locator, now), '17 1');
      assert.equal(await other.update(creation.locator, 1, { backoff: Buffer.from('99 9') }, now), 'conflict');
      assert.equal(await other.update(creation.locator, 2, { backoff: Buffer.alloc(0) }, now), 'written');
      assert.equal(await pauseOf(store, creation.locator, now), '');
      assert.deepEqual((await store.readHot(creation.locator, now))?.hot, Buffer.from('hot'), 'nothing else changed');
      await store.destroy(creation);
      assert.equal(await store.update(creation.locator, 3, { backoff: Buffer.from('1 1') }, now), 'gone');
    },
  },
];

async function pauseOf(store: SessionStore, locator: string, now: number): Promise<string | undefined> {
  return (await store.readAll(locator, now))?.backoff?.toString();
}
