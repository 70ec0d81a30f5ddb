import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { locatorOf } from '../../src/core/session.ts';
import type { SessionStore } from '../../src/core/store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { ABSOLUTE_MS, IDLE_MS, loginOf, made, openSessions, ringOf } from './sessions-support.ts';
import { NOW, OTHER_HANDLE, principalOf } from './world.ts';

describe('a new session', () => {
  test('has a new handle, limits of the settings, and is found by its handle alone', async () => {
    const { sessions } = openSessions();
    const { handle, session } = made(await sessions.create(loginOf({ sid: 's1' })));
    assert.match(handle, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(session.locator, locatorOf(handle));
    assert.equal(session.hot.createdAt, NOW);
    assert.equal(session.hot.idleMs, IDLE_MS);
    assert.equal(session.hot.absoluteAt, NOW + ABSOLUTE_MS);
    assert.match(session.publicId, /^[A-Za-z0-9_-]{22}$/);
    assert.deepEqual(session.headers.pairs, ['X-User-Id', 'u1']);
    assert.deepEqual(await sessions.find(handle, false), session);
    assert.equal(await sessions.find(OTHER_HANDLE, true), undefined);
    const again = made(await sessions.create(loginOf({ sid: 's1' })));
    assert.notEqual(again.handle, handle);
    assert.notEqual(again.session.publicId, session.publicId);
  });

  test('keeps its cold part apart', async () => {
    const { sessions } = openSessions();
    const { handle } = made(await sessions.create(loginOf()));
    assert.deepEqual(await sessions.readCold(handle), { refreshToken: 'rt-secret', idToken: 'it-secret' });
    assert.equal(await sessions.readCold(OTHER_HANDLE), undefined);
  });

  test('leaves neither handle, token nor subject in the store', async () => {
    const { sessions, store } = openSessions();
    const { handle, session } = made(await sessions.create(loginOf({ accessToken: 'at-secret', sid: 'sid-secret' })));
    const stored = await store.readAll(session.locator, NOW);
    assert.ok(stored?.cold !== undefined);
    const bytes = Buffer.concat([stored.hot, stored.cold, Buffer.from(session.locator)]).toString('latin1');
    for (const secret of [handle, 'at-secret', 'rt-secret', 'it-secret', 'sid-secret', 'alice', 'example.test']) {
      assert.ok(!bytes.includes(secret), secret);
    }
  });
});

describe('limits, by our own clock', () => {
  test('idle: alive to the last millisecond, gone at the limit', async () => {
    const { sessions, clock } = openSessions();
    const { handle } = made(await sessions.create(loginOf()));
    clock.time = NOW + IDLE_MS - 1;
    assert.notEqual(await sessions.find(handle, false), undefined);
    clock.time = NOW + IDLE_MS;
    assert.equal(await sessions.find(handle, false), undefined);
  });

  test('idle and absolute hold even if the store forgets to forget', async () => {
    const store = createMemoryStore();
    const frozen: SessionStore = new Proxy(store, {
      get: (target, name) =>
        name === 'lookUp'
          ? (locator: string, _now: number, waiter: never) => target.lookUp(locator, NOW, waiter)
          : (Reflect.get(target, name) as () => unknown).bind(target),
    });
    const { sessions, clock } = openSessions({ store: frozen });
    const { handle } = made(await sessions.create(loginOf()));
    clock.time = NOW + IDLE_MS;
    assert.equal(await sessions.find(handle, true), undefined);
    const long = openSessions({ store: frozen, idleMs: ABSOLUTE_MS * 2, clock });
    clock.time = NOW;
    const second = made(await long.sessions.create(loginOf()));
    clock.time = NOW + ABSOLUTE_MS - 1;
    assert.notEqual(await long.sessions.find(second.handle, false), undefined);
    clock.time = NOW + ABSOLUTE_MS;
    assert.equal(await long.sessions.find(second.handle, false), undefined);
  });

  test('sliding keeps a used session alive to its absolute end and no further', async () => {
    const { sessions, clock } = openSessions();
    const { handle } = made(await sessions.create(loginOf()));
    while (clock.time < NOW + ABSOLUTE_MS - IDLE_MS / 2) {
      clock.time += IDLE_MS / 2;
      if (clock.time < NOW + ABSOLUTE_MS) assert.notEqual(await sessions.find(handle, true), undefined);
    }
    clock.time = NOW + ABSOLUTE_MS - 1;
    assert.notEqual(await sessions.find(handle, true), undefined);
    clock.time = NOW + ABSOLUTE_MS;
    assert.equal(await sessions.find(handle, true), undefined);
  });

  test('looking without sliding does not prolong', async () => {
    const { sessions, clock, calls } = openSessions();
    const { handle } = made(await sessions.create(loginOf()));
    clock.time = NOW + IDLE_MS - 1;
    await sessions.find(handle, false);
    assert.deepEqual(calls.touch, []);
    clock.time = NOW + IDLE_MS;
    assert.equal(await sessions.find(handle, false), undefined);
  });

  test('a shorter idle limit of new settings binds old sessions, a longer one does not', async () => {
    const store = createMemoryStore();
    const before = openSessions({ store });
    const { handle } = made(await before.sessions.create(loginOf()));
    const shorter = openSessions({ store, idleMs: 60_000, clock: before.clock });
    before.clock.time = NOW + 60_000;
    assert.equal(await shorter.sessions.find(handle, false), undefined);
    const longer = openSessions({ store, idleMs: IDLE_MS * 4, clock: before.clock });
    assert.notEqual(await longer.sessions.find(handle, false), undefined);
    before.clock.time = NOW + IDLE_MS;
    assert.equal(await longer.sessions.find(handle, false), undefined);
  });

  test('under a much shorter idle limit a session in use stays alive', async () => {
    const store = createMemoryStore();
    const before = openSessions({ store });
    const { handle } = made(await before.sessions.create(loginOf()));
    const shorter = openSessions({ store, idleMs: 60_000, clock: before.clock });
    for (let minute = 1; minute <= 5; minute++) {
      before.clock.time += 30_000;
      assert.notEqual(await shorter.sessions.find(handle, true), undefined, `after ${minute * 30} s`);
      await nextTurn();
    }
  });
});

describe('touching', () => {
  test('happens past a tenth of the idle limit, never before', async () => {
    const { sessions, clock, calls } = openSessions();
    const { handle, session } = made(await sessions.create(loginOf()));
    clock.time = NOW + IDLE_MS / 10;
    await sessions.find(handle, true);
    assert.deepEqual(calls.touch, []);
    clock.time += 1;
    await sessions.find(handle, true);
    assert.deepEqual(calls.touch, [[session.locator, clock.time, clock.time + IDLE_MS]]);
    await nextTurn();
    await sessions.find(handle, true);
    assert.equal(calls.touch.length, 1, 'the store knows already');
  });

  test('asks for no expiry beyond the absolute end', async () => {
    const { sessions, clock, calls } = openSessions({ idleMs: ABSOLUTE_MS });
    const { handle } = made(await sessions.create(loginOf()));
    clock.time = NOW + ABSOLUTE_MS - 1;
    await sessions.find(handle, true);
    assert.deepEqual(
      calls.touch.map((call) => call[2]),
      [NOW + ABSOLUTE_MS],
    );
  });

  test('is one at a time for a session, and never awaited', async () => {
    const store = createMemoryStore();
    const waiting: (() => void)[] = [];
    const slow: SessionStore = new Proxy(store, {
      get: (target, name) =>
        name === 'touch'
          ? () => new Promise<boolean>((resolve) => waiting.push(() => resolve(true)))
          : (Reflect.get(target, name) as () => unknown).bind(target),
    });
    const { sessions, clock, calls } = openSessions({ store: slow });
    const first = made(await sessions.create(loginOf()));
    const second = made(await sessions.create(loginOf()));
    clock.time = NOW + IDLE_MS / 2;
    for (let i = 0; i < 5; i++) assert.notEqual(await sessions.find(first.handle, true), undefined);
    assert.equal(calls.touch.length, 1);
    await sessions.find(second.handle, true);
    assert.equal(calls.touch.length, 2);
    for (const release of waiting) release();
    await nextTurn();
    await sessions.find(first.handle, true);
    assert.equal(calls.touch.length, 3);
  });

  test('that is lost harms nobody and is tried again', async () => {
    const store = createMemoryStore();
    const outage = new SallyportError('store_unavailable');
    const failing: SessionStore = new Proxy(store, {
      get: (target, name) =>
        name === 'touch' ? () => Promise.reject(outage) : (Reflect.get(target, name) as () => unknown).bind(target),
    });
    const { sessions, clock, calls, errors } = openSessions({ store: failing });
    const { handle } = made(await sessions.create(loginOf()));
    clock.time = NOW + IDLE_MS / 2;
    for (let i = 1; i <= 2; i++) {
      assert.notEqual(await sessions.find(handle, true), undefined);
      await nextTurn();
      assert.equal(calls.touch.length, i);
    }
    assert.deepEqual(errors, [outage, outage]);
  });

  test('of a session that ended meanwhile does not bring it back', async () => {
    const { sessions, store, clock } = openSessions();
    const { handle, session } = made(await sessions.create(loginOf()));
    clock.time = NOW + IDLE_MS / 2;
    const found = sessions.find(handle, true);
    await store.destroy({ locator: session.locator, subjectKey: undefined, providerSessionKey: undefined });
    await found;
    await nextTurn();
    assert.equal(await sessions.find(handle, true), undefined);
  });
});

describe('the memo of decoded records', () => {
  test('the same bytes are opened once, and give one object', async () => {
    const { sessions, built } = openSessions();
    const { handle, session } = made(await sessions.create(loginOf()));
    assert.equal(await sessions.find(handle, true), session);
    assert.equal(await sessions.find(handle, true), session);
    assert.equal(built.length, 1);
  });

  test('last seen, revision and content are always those of the store', async () => {
    const { sessions, store, clock, built } = openSessions();
    const { handle, session } = made(await sessions.create(loginOf()));
    clock.time = NOW + 1_000;
    await store.touch(session.locator, clock.time, clock.time + IDLE_MS);
    assert.equal((await sessions.find(handle, false))?.lastSeenAt, NOW + 1_000);
    // A write of another part raises the revision and leaves the hot bytes alone.
    assert.equal(await store.update(session.locator, 1, { cold: Buffer.from('x') }, clock.time), 'written');
    assert.equal((await sessions.find(handle, false))?.revision, 2);
    assert.equal(built.length, 1, 'nothing had to be opened again');
    await store.destroy({ locator: session.locator, subjectKey: undefined, providerSessionKey: undefined });
    assert.equal(await sessions.find(handle, false), undefined);
  });

  test('is bounded, and what fell out is opened again', async () => {
    const { sessions, built } = openSessions();
    const first = made(await sessions.create(loginOf()));
    for (let i = 0; i < LIMITS.decodeMemoEntriesMax; i++) {
      await sessions.create(loginOf({ principal: principalOf({ subject: `other${i}` }) }));
    }
    const decoded = built.length;
    assert.notEqual(await sessions.find(first.handle, false), undefined);
    assert.equal(built.length, decoded + 1);
    await sessions.find(first.handle, false);
    assert.equal(built.length, decoded + 1);
  });

  test('bytes that do not open are no session, remembered or not', async () => {
    const { sessions, store } = openSessions();
    const { handle, session } = made(await sessions.create(loginOf()));
    await store.update(session.locator, 1, { hot: Buffer.from('damaged') }, NOW);
    assert.equal(await sessions.find(handle, false), undefined);
    await store.update(session.locator, 2, { hot: Buffer.alloc(0) }, NOW);
    assert.equal(await sessions.find(handle, false), undefined);
    assert.equal(await openSessions({ store, ring: ringOf('k2') }).sessions.find(handle, false), undefined);
  });
});
