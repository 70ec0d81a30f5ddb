import assert from 'node:assert/strict';
import { createHook } from 'node:async_hooks';
import { describe, test } from 'node:test';
import { L1 } from '../../src/core/l1.ts';
import type { SessionStore } from '../../src/core/store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { verify } from '../../src/core/verify.ts';
import { IDLE_MS, loginOf, made, openSessions, type SessionsScene, settled } from './sessions-support.ts';
import { contextOf, direct, NOW, servicesOf } from './world.ts';

/** Sessions over a memory store with an L1, and one session that is in it. */
async function openCached(scene: SessionsScene = {}) {
  const store = scene.store ?? createMemoryStore();
  const l1 = openL1(store);
  const world = openSessions({ ...scene, store, l1 });
  const { handle, session } = made(await world.sessions.create(loginOf()));
  await world.sessions.find(handle, false);
  world.calls.lookUp.length = 0;
  return { ...world, l1, handle, session };
}

function openL1(store: SessionStore): L1 {
  if (store.changes === undefined) throw new TypeError('the memory store tells about changes');
  return new L1({ changes: store.changes, maxEntries: 1_000, maxBytes: 1e9 });
}

/** Promises made while `run` runs. */
function promisesOf(run: () => void): number {
  let count = 0;
  const init = (_id: number, type: string): void => {
    if (type === 'PROMISE') count += 1;
  };
  const hook = createHook({ init }).enable();
  run();
  hook.disable();
  return count;
}

describe('a session in the L1', () => {
  test('is found without a store command and without a promise, by verify too', async () => {
    const { sessions, calls, handle } = await openCached();
    const services = { ...servicesOf({}), sessions };
    const request = contextOf({ cookie: `bff_session=${handle}` });
    const entry = { allPeersTrusted: false, shared: false, tail: false };
    const kinds = new Set<unknown>();
    const promises = promisesOf(() => {
      for (let round = 0; round < 100; round += 1) {
        kinds.add(direct(verify(request, entry, services)).kind);
      }
    });
    assert.deepEqual(
      { kinds: [...kinds], promises, reads: calls.lookUp },
      { kinds: ['allow'], promises: 0, reads: [] },
    );
  });

  test('is the same object with the same headers each time', async () => {
    const { sessions, handle, built } = await openCached();
    assert.equal(sessions.find(handle, false), sessions.find(handle, false));
    assert.equal(built.length, 1);
  });

  test('is gone at once when this process ends it', async () => {
    for (const end of ['end', 'replace', 'everywhere'] as const) {
      const { sessions, handle, session } = await openCached();
      const { issuer, subject } = session.hot.principal;
      if (end === 'everywhere') await sessions.endAllOfUser(issuer, subject);
      else await sessions[end](session);
      assert.equal(await settled(sessions.find(handle, true)), undefined, end);
    }
  });

  test('is read again after a write', async () => {
    const { sessions, handle, session, store, calls } = await openCached();
    const stored = await store.readHot(session.locator, NOW);
    assert.equal(await store.update(session.locator, 1, { hot: stored!.hot }, NOW), 'written');
    assert.equal((await settled(sessions.find(handle, false)))?.revision, 2);
    assert.equal(calls.lookUp.length, 1);
    assert.equal((sessions.find(handle, false) as { revision: number }).revision, 2);
  });

  test('ends at its limits by our own clock, after a last look at the store', async () => {
    const { sessions, handle, clock, calls, l1 } = await openCached();
    clock.time = NOW + IDLE_MS - 1;
    assert.notEqual(sessions.find(handle, false), undefined);
    clock.time = NOW + IDLE_MS;
    assert.equal(await settled(sessions.find(handle, false)), undefined);
    assert.equal(calls.lookUp.length, 1);
    assert.equal(l1.size, 0);
  });

  test('that another process kept alive goes on', async () => {
    const { sessions, handle, clock, session, store } = await openCached();
    const later = NOW + IDLE_MS - 1;
    await store.touch(session.locator, later, later + IDLE_MS);
    clock.time = NOW + IDLE_MS;
    assert.equal((await settled(sessions.find(handle, false)))?.lastSeenAt, later);
  });

  test('is not found by anything but its handle, and what is absent is asked for each time', async () => {
    const { sessions, calls } = await openCached();
    const other = 'x'.repeat(43);
    for (let round = 0; round < 3; round += 1) assert.equal(await settled(sessions.find(other, true)), undefined);
    assert.equal(calls.lookUp.length, 3);
  });
});

describe('a touch with an L1', () => {
  test('is one for all requests of a tenth of the window, and is seen here without another read', async () => {
    const { sessions, handle, clock, calls } = await openCached();
    clock.time = NOW + IDLE_MS / 10 + 1;
    const touchedAt = clock.time;
    for (let round = 0; round < 1_000; round += 1) {
      const found = sessions.find(handle, true);
      assert.ok(!(found instanceof Promise));
      if (round % 100 === 0) await new Promise(setImmediate);
    }
    assert.equal(calls.touch.length, 1);
    assert.equal((sessions.find(handle, true) as { lastSeenAt: number }).lastSeenAt, touchedAt);
    assert.deepEqual(calls.lookUp, []);
    clock.time = touchedAt + IDLE_MS - 1;
    assert.notEqual(sessions.find(handle, false), undefined);
  });

  test('that finds the session gone drops it', async () => {
    const { sessions, handle, clock, l1, store, calls } = await openCached();
    // The store ends it by its own clock; nobody tells.
    const touch = store.touch.bind(store);
    store.touch = (locator, _now, expiresAt) => touch(locator, NOW + 10 * IDLE_MS, expiresAt);
    clock.time = NOW + IDLE_MS / 2;
    assert.notEqual(sessions.find(handle, true), undefined);
    await new Promise(setImmediate);
    assert.equal(l1.size, 0);
    assert.equal(await settled(sessions.find(handle, true)), undefined);
    assert.equal(calls.touch.length, 1);
  });
});

describe('reads that miss the L1', () => {
  test('of one session at the same time share one look-up', async () => {
    const store = createMemoryStore();
    const { sessions, calls } = openSessions({ store, l1: openL1(store) });
    const { handle } = made(await sessions.create(loginOf()));
    const found = await Promise.all(Array.from({ length: 100 }, () => settled(sessions.find(handle, false))));
    assert.equal(calls.lookUp.length, 1);
    assert.equal(new Set(found).size, 1);
    assert.notEqual(found[0], undefined);
  });

  test('do not share it with one that began before a change', async () => {
    const store = createMemoryStore();
    const { sessions, calls } = openSessions({ store, l1: openL1(store) });
    const { handle, session } = made(await sessions.create(loginOf()));
    const before = sessions.find(handle, false);
    await store.update(session.locator, 1, { cold: Buffer.from('x') }, NOW);
    const after = sessions.find(handle, false);
    assert.equal((await settled(before))?.revision, 1);
    assert.equal((await settled(after))?.revision, 2);
    assert.equal(calls.lookUp.length, 2);
  });
});
