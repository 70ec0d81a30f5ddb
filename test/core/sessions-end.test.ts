import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SallyportError } from '../../src/core/errors.ts';
import type { SessionStore } from '../../src/core/store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { loginOf, made, openSessions, ringOf, TOMBSTONE_MS } from './sessions-support.ts';
import { NOW, principalOf } from './world.ts';

const bob = { principal: principalOf({ subject: 'u2' }) };

describe('ending sessions', () => {
  test('ends this one alone; the same user’s other browser goes on', async () => {
    const { sessions } = openSessions();
    const here = made(await sessions.create(loginOf({ sid: 's1' })));
    const there = made(await sessions.create(loginOf({ sid: 's2' })));
    await sessions.end(here.session);
    assert.equal(await sessions.find(here.handle, true), undefined);
    assert.equal(await sessions.readCold(here.handle), undefined);
    assert.notEqual(await sessions.find(there.handle, true), undefined);
    await sessions.end(here.session);
  });

  test('a login of the same provider session that was under way makes no session', async () => {
    const { sessions, clock } = openSessions();
    const { session } = made(await sessions.create(loginOf({ sid: 's1' })));
    clock.time = NOW + 5_000;
    await sessions.end(session);
    assert.equal(await sessions.create(loginOf({ sid: 's1' }, NOW + 5_000)), undefined);
    assert.notEqual(await sessions.create(loginOf({ sid: 's1' }, NOW + 5_001)), undefined);
    assert.notEqual(await sessions.create(loginOf({ sid: 's2' }, NOW)), undefined);
    clock.time = NOW + 5_000 + TOMBSTONE_MS;
    assert.notEqual(await sessions.create(loginOf({ sid: 's1' }, NOW)), undefined);
  });

  test('replacing ends the old session and leaves the provider’s session open', async () => {
    const { sessions } = openSessions();
    const old = made(await sessions.create(loginOf({ sid: 's1' })));
    await sessions.replace(old.session);
    assert.equal(await sessions.find(old.handle, true), undefined);
    assert.notEqual(await sessions.create(loginOf({ sid: 's1' }, NOW - 60_000)), undefined);
  });

  test('everywhere ends all sessions of that user and of no other', async () => {
    const { sessions, clock } = openSessions();
    const mine = [made(await sessions.create(loginOf({ sid: 'a' }))), made(await sessions.create(loginOf()))];
    const others = [
      made(await sessions.create(loginOf(bob))),
      made(await sessions.create(loginOf({ principal: principalOf({ issuer: 'https://idp2.example.test' }) }))),
    ];
    assert.equal(await sessions.endAllOfUser('https://idp.example.test', 'u1'), 2);
    for (const { handle } of mine) assert.equal(await sessions.find(handle, true), undefined);
    for (const { handle } of others) assert.notEqual(await sessions.find(handle, true), undefined);
    assert.equal(await sessions.endAllOfUser('https://idp.example.test', 'u1'), 0);
    assert.equal(await sessions.create(loginOf({}, NOW)), undefined, 'a login under way is overtaken');
    clock.time = NOW + 1;
    assert.notEqual(await sessions.create(loginOf({}, NOW + 1)), undefined);
  });

  test('above the bound of sessions per user the oldest ends', async () => {
    const { sessions, clock } = openSessions({ maxPerUser: 2 });
    const handles: string[] = [];
    for (let i = 0; i < 3; i++) {
      clock.time += 1_000;
      handles.push(made(await sessions.create(loginOf({}, clock.time))).handle);
    }
    const live = await Promise.all(handles.map(async (handle) => (await sessions.find(handle, false)) !== undefined));
    assert.deepEqual(live, [false, true, true]);
    assert.notEqual(await sessions.create(loginOf(bob)), undefined);
  });
});

describe('key rotation', () => {
  test('an old session goes on under its name, new ones are written with the new key', async () => {
    const store = createMemoryStore();
    const before = openSessions({ store });
    const old = made(await before.sessions.create(loginOf({ sid: 's1' })));
    const after = openSessions({ store, ring: ringOf('k2', 'k1'), clock: before.clock });
    const found = made(await after.sessions.find(old.handle, true));
    assert.deepEqual(found, old.session);
    assert.deepEqual(await after.sessions.readCold(old.handle), { refreshToken: 'rt-secret', idToken: 'it-secret' });
    const young = made(await after.sessions.create(loginOf()));
    assert.equal(young.session.hot.indexKeyId, 'k2');
    assert.equal(await before.sessions.find(young.handle, true), undefined, 'the old process has not the key');
  });

  test('everywhere finds the sessions of every key', async () => {
    const store = createMemoryStore();
    const before = openSessions({ store });
    const old = made(await before.sessions.create(loginOf()));
    const after = openSessions({ store, ring: ringOf('k2', 'k1'), clock: before.clock });
    const young = made(await after.sessions.create(loginOf()));
    assert.equal(await after.sessions.endAllOfUser('https://idp.example.test', 'u1'), 2);
    assert.equal(await after.sessions.find(old.handle, true), undefined);
    assert.equal(await after.sessions.find(young.handle, true), undefined);
  });

  test('ending a session of the old key overtakes logins that the new key writes', async () => {
    const store = createMemoryStore();
    const before = openSessions({ store });
    const old = made(await before.sessions.create(loginOf({ sid: 's1' })));
    const after = openSessions({ store, ring: ringOf('k2', 'k1'), clock: before.clock });
    const session = made(await after.sessions.find(old.handle, false));
    await after.sessions.end(session);
    assert.equal(await after.sessions.create(loginOf({ sid: 's1' }, NOW)), undefined);
  });

  test('a session whose key has gone is no session, and no error', async () => {
    const store = createMemoryStore();
    const before = openSessions({ store });
    const old = made(await before.sessions.create(loginOf()));
    const after = openSessions({ store, ring: ringOf('k2'), clock: before.clock });
    assert.equal(await after.sessions.find(old.handle, true), undefined);
    assert.equal(await after.sessions.readCold(old.handle), undefined);
  });
});

describe('an outage', () => {
  test('is an error, never a missing session', async () => {
    const outage = new SallyportError('store_unavailable');
    const lookUp: SessionStore['lookUp'] = (_locator, _now, waiter) => queueMicrotask(() => waiter.failed(outage));
    const away = new Proxy(createMemoryStore(), {
      get: (_target, name) => (name === 'lookUp' ? lookUp : () => Promise.reject(outage)),
    }) as SessionStore;
    const { sessions } = openSessions({ store: away });
    const { session, handle } = made(await openSessions().sessions.create(loginOf()));
    await assert.rejects(async () => sessions.find(handle, true), outage);
    await assert.rejects(sessions.readCold(handle), outage);
    await assert.rejects(sessions.create(loginOf()), outage);
    await assert.rejects(sessions.end(session), outage);
    await assert.rejects(sessions.replace(session), outage);
    await assert.rejects(sessions.endAllOfUser('i', 's'), outage);
  });
});
