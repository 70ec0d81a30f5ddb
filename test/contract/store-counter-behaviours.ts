import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, newKey, type StoreBehaviour } from './session-store-behaviours.ts';

/** What a store that several processes share counts for all of them. */
export const COUNTER_BEHAVIOURS: readonly StoreBehaviour[] = [
  {
    name: 'counts are shared by all processes, each key has its own',
    run: async ({ store, other }) => {
      const [key, another] = [newKey(), newKey()];
      const askers = Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? store : other));
      const replies = await Promise.all(askers.map((by) => by.counters!.increment(key, 60_000)));
      const counts = replies.map(({ count }) => count).sort((a, b) => a - b);
      assert.deepEqual(
        counts,
        askers.map((_, index) => index + 1),
      );
      assert.ok(replies.every(({ leftMs }) => leftMs > 0 && leftMs <= 60_000));
      assert.equal((await other.counters!.increment(another, 60_000)).count, 1);
    },
  },
  {
    name: 'a count ends with its window, which later events do not prolong',
    run: async ({ store, other }) => {
      const key = newKey();
      await store.counters!.increment(key, 80.5);
      const { count, leftMs } = await other.counters!.increment(key, 60_000);
      if (count === 2) assert.ok(leftMs <= 81);
      await sleep(120);
      assert.equal((await store.counters!.increment(key, 60_000)).count, count === 2 ? 1 : 2);
    },
  },
  {
    name: 'a count has no other keys than hashes',
    run: async ({ store }) => {
      await assert.rejects(store.counters!.increment('192.0.2.1', 1_000), hasCode('internal_error'));
    },
  },
];
