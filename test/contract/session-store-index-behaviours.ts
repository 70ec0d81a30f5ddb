import assert from 'node:assert/strict';
import type { SessionCreation, SessionStore } from '../../src/core/store.ts';
import { until } from '../support/until.ts';
import { creationAt, newKey, type StoreBehaviour } from './session-store-behaviours.ts';

const MINUTE_MS = 60_000;

export const INDEX_BEHAVIOURS: readonly StoreBehaviour[] = [
  {
    name: "a user's sessions are listed by absolute end, and only that user's",
    run: async ({ store, other, now }) => {
      const subjectKey = newKey();
      const [late, early, middle] = await createEach(store, now, [{ end: 9 }, { end: 2 }, { end: 5 }], { subjectKey });
      await store.create(creationAt(now));
      assert.deepEqual(await other.listBySubject(subjectKey, now), [early, middle, late]);
      assert.deepEqual(await other.listBySubject(newKey(), now), []);
      assert.deepEqual(await other.listBySubject(subjectKey, now + 2 * 60 * MINUTE_MS), []);
    },
  },
  {
    name: "destroying a user's sessions ends all of them, names them, and leaves the others",
    run: async ({ store, other, now }) => {
      const subjectKey = newKey();
      const [late, early] = await createEach(store, now, [{ end: 9 }, { end: 2 }], { subjectKey });
      const bystander = creationAt(now);
      await store.create(bystander);
      assert.deepEqual(await other.destroyBySubject(subjectKey, now, MINUTE_MS), [early, late]);
      assert.deepEqual(await store.destroyBySubject(subjectKey, now, MINUTE_MS), []);
      assert.equal(await store.readHot(early!, now), undefined);
      assert.equal(await store.readHot(late!, now), undefined);
      assert.notEqual(await store.readHot(bystander.locator, now), undefined);
    },
  },
  {
    name: 'destroying a provider session ends what belongs to it and nothing else of that user',
    run: async ({ store, other, now }) => {
      const subjectKey = newKey();
      const providerSessionKey = newKey();
      const [one, two] = await createEach(store, now, [{ end: 3 }, { end: 4 }], { subjectKey, providerSessionKey });
      const [elsewhere] = await createEach(store, now, [{ end: 5 }], { subjectKey });
      assert.deepEqual(await other.destroyByProviderSession(providerSessionKey, now, MINUTE_MS), [one, two]);
      assert.deepEqual(await store.listBySubject(subjectKey, now), [elsewhere]);
      assert.deepEqual(await other.destroyByProviderSession(providerSessionKey, now, MINUTE_MS), []);
    },
  },
  {
    name: "a session ended on its own is not named when its user's sessions end",
    run: async ({ store, now }) => {
      const first = creationAt(now);
      const second = creationAt(now, { subjectKey: first.subjectKey });
      await store.create(first);
      await store.create(second);
      await store.destroy({ locator: first.locator, subjectKey: undefined, providerSessionKey: undefined });
      assert.deepEqual(await store.destroyBySubject(first.subjectKey, now, MINUTE_MS), [second.locator]);
    },
  },
  {
    name: "a login that began before or at a user's logout is undone, one that began after it lives",
    run: async ({ store, other, now }) => {
      const subjectKey = newKey();
      await store.destroyBySubject(subjectKey, now, 10 * MINUTE_MS);
      for (const startedAt of [now - MINUTE_MS, now]) {
        const late = creationAt(now + 1_000, { subjectKey, startedAt });
        assert.equal(await other.create(late), 'ended');
        assert.equal(await store.readAll(late.locator, now + 1_000), undefined);
      }
      assert.deepEqual(await store.listBySubject(subjectKey, now + 1_000), []);
      const fresh = creationAt(now + 2_000, { subjectKey, startedAt: now + 1 });
      assert.equal(await other.create(fresh), 'created');
      assert.deepEqual(await store.listBySubject(subjectKey, now + 2_000), [fresh.locator]);
    },
  },
  {
    name: 'a login that began before the logout of its provider session is undone',
    run: async ({ store, other, now }) => {
      const providerSessionKey = newKey();
      await store.destroyByProviderSession(providerSessionKey, now, 10 * MINUTE_MS);
      const late = creationAt(now + 1_000, { providerSessionKey, startedAt: now - 1 });
      assert.equal(await other.create(late), 'ended');
      assert.deepEqual(await store.listBySubject(late.subjectKey, now + 1_000), []);
      const elsewhere = creationAt(now + 1_000, { subjectKey: late.subjectKey, startedAt: now - 1 });
      assert.equal(await other.create(elsewhere), 'created');
    },
  },
  {
    name: 'a tombstone is in force until its end, and a later one never shortens it',
    run: async ({ store, now }) => {
      const subjectKey = newKey();
      await store.destroyBySubject(subjectKey, now, 10 * MINUTE_MS);
      await store.destroyBySubject(subjectKey, now - MINUTE_MS, MINUTE_MS);
      const end = now + 10 * MINUTE_MS;
      const before = creationAt(end - 1, { subjectKey, startedAt: now });
      assert.equal(await store.create(before), 'ended');
      const after = creationAt(end, { subjectKey, startedAt: now });
      assert.equal(await store.create(after), 'created');
    },
  },
  {
    name: 'of logins and logouts that run into each other no session survives that began before the logout',
    run: async ({ store, other, now }) => {
      for (let round = 0; round < 20; round += 1) {
        const subjectKey = newKey();
        const logins = Array.from({ length: 4 }, () => creationAt(now, { subjectKey, startedAt: now - 1 }));
        const created = logins.map((login, index) => (index % 2 === 0 ? store : other).create(login));
        const ended = other.destroyBySubject(subjectKey, now, MINUTE_MS);
        await Promise.all([...created, ended]);
        for (const login of logins) assert.equal(await store.readHot(login.locator, now), undefined);
        assert.deepEqual(await store.listBySubject(subjectKey, now), []);
      }
    },
  },
  {
    name: 'above the bound of sessions per user those with the first end go, never the new one',
    run: async ({ store, now }) => {
      const same = { subjectKey: newKey(), maxPerSubject: 2 };
      const [first, second, third] = await createEach(store, now, [{ end: 2 }, { end: 3 }, { end: 4 }], same);
      assert.equal(await store.readHot(first!, now), undefined);
      assert.deepEqual(await store.listBySubject(same.subjectKey, now), [second, third]);
      const [short] = await createEach(store, now, [{ end: 1 }], same);
      assert.deepEqual(await store.listBySubject(same.subjectKey, now), [short, third]);
    },
  },
  {
    name: 'sessions that are over do not count against the bound of sessions per user',
    run: async ({ store, now }) => {
      const same = { subjectKey: newKey(), maxPerSubject: 2 };
      const [live] = await createEach(store, now, [{ end: 2 }], same);
      const brief = creationAt(now, { ...same, expiresAt: now + 10, absoluteAt: now + 9 * 60 * MINUTE_MS });
      await store.create(brief);
      const [third] = await createEach(store, now + 10, [{ end: 5 }], same);
      assert.deepEqual(await store.listBySubject(same.subjectKey, now + 10), [live, third]);
    },
  },
  {
    name: 'of 200 parallel attempts to consume one id exactly one succeeds',
    run: async ({ store, other, now }) => {
      const id = newKey();
      const attempts = Array.from({ length: 200 }, (_, index) =>
        (index % 2 === 0 ? store : other).consumeOnce('state', id, now, MINUTE_MS),
      );
      assert.equal((await Promise.all(attempts)).filter((isFirst) => isFirst).length, 1);
      assert.equal(await other.consumeOnce('state', id, now + MINUTE_MS - 1, MINUTE_MS), false);
    },
  },
  {
    name: 'what was consumed is known to be, to everybody and until it is forgotten; asking consumes nothing',
    run: async ({ store, other, now }) => {
      const id = newKey();
      assert.equal(await store.isConsumed('jti', id, now), false);
      assert.equal(await store.consumeOnce('jti', id, now, MINUTE_MS), true);
      assert.equal(await other.isConsumed('jti', id, now), true);
      assert.equal(await other.isConsumed('state', id, now), false);
      await store.consumeOnce('state', id, now, 20);
      await until(async () => !(await store.isConsumed('state', id, now + 20)), 'the mark is over');
    },
  },
  {
    name: 'a provider session ended without a tombstone can begin again at once, by a login that began before',
    run: async ({ store, now }) => {
      const same = { providerSessionKey: newKey() };
      const creation = creationAt(now, same);
      await store.create(creation);
      assert.deepEqual(await store.destroyByProviderSession(same.providerSessionKey, now, 0), [creation.locator]);
      assert.equal(await store.create(creationAt(now, same)), 'created');
    },
  },
  {
    name: 'a state and a token id with the same text are two things, and both are forgotten in time',
    run: async ({ store, now }) => {
      const id = newKey();
      assert.equal(await store.consumeOnce('state', id, now, 20), true);
      assert.equal(await store.consumeOnce('jti', id, now, 20), true);
      // Redis forgets by its own clock, so it is asked until it does.
      await until(() => store.consumeOnce('state', id, now + 20, MINUTE_MS), 'the id may be consumed again');
      assert.equal(await store.consumeOnce('state', id, now + 20, MINUTE_MS), false);
    },
  },
  {
    name: 'a store that answers says so',
    run: async ({ store }) => {
      await store.ping();
      assert.deepEqual(store.status(), { reachable: true, reachedOnce: true, unreplicated: 0 });
    },
  },
];

/** Create sessions with absolute ends in the given hours from `now`; returns their locators in the same order. */
async function createEach(
  store: SessionStore,
  now: number,
  ends: readonly { end: number }[],
  same: Partial<SessionCreation>,
): Promise<string[]> {
  const locators: string[] = [];
  for (const { end } of ends) {
    const creation = creationAt(now, { ...same, absoluteAt: now + end * 60 * MINUTE_MS });
    assert.equal(await store.create(creation), 'created');
    locators.push(creation.locator);
  }
  return locators;
}
