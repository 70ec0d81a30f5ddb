import assert from 'node:assert/strict';
import type { SessionStore } from '../../src/core/store.ts';
import { until } from '../support/until.ts';
import { creationAt, type StoreBehaviour } from './session-store-behaviours.ts';

/** What a store tells to those who keep copies of its records. */
export const CHANGE_BEHAVIOURS: readonly StoreBehaviour[] = [
  {
    name: 'whoever listens hears of a change of this process before it resolves',
    run: async ({ store, now }) => {
      const creation = creationAt(now);
      const { locator, subjectKey } = creation;
      const providerSessionKey = creation.providerSessionKey!;
      const told = listen(store);
      const changes: [string, () => Promise<unknown>][] = [
        ['update', () => store.update(locator, 1, { cold: Buffer.from('x') }, now)],
        ['destroy', () => store.destroy(creation)],
        ['destroyBySubject', () => store.destroyBySubject(subjectKey, now - 120_000, 1_000)],
        ['destroyByProviderSession', () => store.destroyByProviderSession(providerSessionKey, now - 120_000, 1_000)],
      ];
      for (const [name, change] of changes) {
        await store.create(creation).catch(() => {});
        told.length = 0;
        await change();
        assert.ok(told.includes(locator), name);
      }
    },
  },
  {
    name: 'whoever listens hears of sessions that end to make room',
    run: async ({ store, now }) => {
      const first = creationAt(now);
      await store.create(first);
      const told = listen(store);
      await store.create(creationAt(now, { subjectKey: first.subjectKey, maxPerSubject: 1 }));
      assert.ok(told.includes(first.locator));
    },
  },
  {
    name: 'whoever listens hears of a change of another process, and vouches for copies until then',
    run: async ({ store, other, now }) => {
      const creation = creationAt(now);
      await store.create(creation);
      const told = listen(store);
      assert.ok((store.changes?.currentUntil() ?? 0) > now);
      await other.destroy(creation);
      await until(async () => told.includes(creation.locator), 'the change is told');
    },
  },
];

/** The locators of sessions that changed, as they are told from now on. */
function listen(store: SessionStore): string[] {
  const told: string[] = [];
  store.changes?.onInvalidate((what, locator) => {
    if (what === 'session') told.push(locator);
  });
  return told;
}
