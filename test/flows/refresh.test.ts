import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { type GrantAnswer, SubjectChangedError } from '../../src/flows/refresh-grant.ts';
import { NOW, principalOf } from '../core/world.ts';
import {
  away,
  CALL_MS,
  granted,
  openRefresh,
  type RefreshScene,
  settle,
  tokensOf,
  WAIT_MAX_MS,
} from './refresh-support.ts';

const EXPIRED = { tokenExpiresAt: NOW } as const;

/** An answer that comes when the test says so. */
function later() {
  const { promise, resolve } = Promise.withResolvers<GrantAnswer>();
  return { give: resolve, answer: () => promise };
}

describe('a token that is still good', () => {
  const cases: readonly (readonly [string, RefreshScene['hot'], number])[] = [
    ['far from its end is left alone', { tokenExpiresAt: NOW + 60_001 }, 0],
    ['is renewed in the background from the lead on', { tokenExpiresAt: NOW + 60_000 }, 1],
    [
      'of a short life is renewed from the middle of it on',
      { tokenIssuedAt: NOW - 5_000, tokenExpiresAt: NOW + 5_000 },
      1,
    ],
    ['of a short life is left alone before that', { tokenIssuedAt: NOW - 4_999, tokenExpiresAt: NOW + 5_001 }, 0],
    [
      'that came just now is left alone however short it lives',
      { tokenIssuedAt: NOW - 999, tokenExpiresAt: NOW + 1 },
      0,
    ],
    ['without a refresh token is left alone', { tokenExpiresAt: NOW + 1, renewable: false }, 0],
  ];
  for (const [name, hot = {}, calls] of cases) {
    test(name, async () => {
      const scene = await openRefresh({ hot, script: [() => granted(1)] });
      assert.equal(scene.refresh.isFresh(scene.handle, scene.session), true, 'nobody waits');
      await settle();
      assert.equal(scene.sent.length, calls);
      assert.equal((await scene.find())?.hot.tokenIssuedAt === NOW, calls === 1);
    });
  }

  test('is renewed once, however many requests see it, and a failure is not tried again before its pause is over', async () => {
    const scene = await openRefresh({ script: [() => away(), () => granted(1)] });
    const see = async () => {
      for (let i = 0; i < 50; i += 1) assert.equal(scene.refresh.isFresh(scene.handle, scene.session), true);
      await settle();
    };
    await see();
    await see();
    assert.deepEqual([scene.sent, (await scene.record())?.backoff], [['rt-0'], { until: NOW + 2_000, failures: 1 }]);
    scene.clock.time = NOW + 2_000;
    await see();
    assert.deepEqual([scene.sent, (await scene.record())?.backoff.failures], [['rt-0', 'rt-0'], 0]);
  });
});

describe('an expired token', () => {
  test('a thousand requests wait for one call and go on with its result; their timers are gone', async () => {
    const scene = await openRefresh({ hot: EXPIRED, script: [() => granted(1)] });
    assert.equal(scene.refresh.isFresh(scene.handle, scene.session), false);
    const all = Array.from({ length: 1_000 }, () => scene.refresh.renew(scene.handle, scene.session));
    for (const renewal of await Promise.all(all)) {
      assert.ok(renewal.kind === 'fresh');
      assert.equal(renewal.session.hot.accessToken, 'at-1');
      assert.deepEqual(renewal.session.headers.pairs, ['Authorization', 'Bearer at-1']);
    }
    assert.deepEqual([scene.sent, scene.told], [['rt-0'], ['begins', 'renewed', 'is over']]);
    assert.deepEqual(scene.timers.waiting, []);
  });

  test('the rotated refresh token is stored before anything else is read of the answer', async () => {
    const seen: unknown[] = [];
    const scene = await openRefresh({
      hot: EXPIRED,
      script: [
        () => ({
          kind: 'granted',
          refreshToken: 'rt-1',
          read: async () => {
            const record = await scene.record();
            seen.push([record?.cold.refreshToken, record?.hot.accessToken]);
            return tokensOf(1, NOW);
          },
        }),
      ],
    });
    await scene.refresh.renew(scene.handle, scene.session);
    assert.deepEqual(seen, [['rt-1', scene.session.hot.accessToken]]);
    assert.deepEqual((await scene.record())?.cold, { refreshToken: 'rt-1', idToken: 'it-1' });
  });

  test('an answer that cannot be used keeps its refresh token; the next attempt sends that one', async () => {
    const bad: GrantAnswer = {
      kind: 'granted',
      refreshToken: 'rt-1',
      read: () => Promise.reject(new SallyportError('idp_bad_response')),
    };
    const scene = await openRefresh({ hot: EXPIRED, script: [() => bad, () => granted(2)] });
    const first = await scene.refresh.renew(scene.handle, scene.session);
    assert.ok(first.kind === 'stale');
    assert.deepEqual(first.session.headers.pairs, ['Authorization', ''], 'nothing of it is used');
    scene.clock.time = NOW + 2_000;
    assert.equal((await scene.refresh.renew(scene.handle, scene.session)).kind, 'fresh');
    assert.deepEqual(scene.sent, ['rt-0', 'rt-1']);
  });

  test('an answer too large for a session is as good as none; its refresh token is kept, nobody is signed out', async () => {
    const claims = { much: 'x'.repeat(LIMITS.sessionRecordMaxBytes) };
    const large = granted(1, { principal: principalOf({ claims }) });
    const scene = await openRefresh({ hot: EXPIRED, script: [() => large, () => granted(2)] });
    assert.equal((await scene.refresh.renew(scene.handle, scene.session)).kind, 'stale');
    scene.clock.time = NOW + 2_000;
    assert.equal((await scene.refresh.renew(scene.handle, scene.session)).kind, 'fresh');
    assert.deepEqual(scene.sent, ['rt-0', 'rt-1']);
  });

  test('without an answer the request waits no longer than it may; the result is stored all the same', async () => {
    const { give, answer } = later();
    const scene = await openRefresh({ hot: EXPIRED, script: [answer] });
    const waiting = scene.refresh.renew(scene.handle, scene.session);
    await settle();
    scene.timers.fire(WAIT_MAX_MS);
    assert.equal((await waiting).kind, 'stale');
    give(granted(1));
    await settle();
    assert.equal((await scene.find())?.hot.accessToken, 'at-1');
  });

  test('a provider that is away is asked once; who waits, here and in other processes, hears when to try again', async () => {
    const scene = await openRefresh({ hot: EXPIRED, script: [() => away(), () => away(), () => granted(1)] });
    const other = scene.open();
    const ask = async (by: typeof other) => {
      const all = Array.from({ length: 100 }, () => by.renew(scene.handle, scene.session));
      return (await Promise.all(all)).map((renewal) => (renewal.kind === 'stale' ? renewal.retryAfterS : renewal.kind));
    };
    assert.deepEqual(new Set(await ask(scene.refresh)), new Set([2]));
    assert.deepEqual(new Set(await ask(other)), new Set([2]));
    assert.equal(scene.sent.length, 1);
    scene.clock.time = NOW + 2_000;
    assert.deepEqual(new Set(await ask(other)), new Set([4]), 'the pause doubles');
    scene.clock.time = NOW + 6_000;
    assert.deepEqual(new Set(await ask(other)), new Set(['fresh']));
    assert.deepEqual(new Set(await ask(scene.refresh)), new Set(['fresh']));
    assert.deepEqual(scene.sent, ['rt-0', 'rt-0', 'rt-0']);
  });

  test('a connection that broke: the same token once more, and not a third time', async () => {
    const scene = await openRefresh({ hot: EXPIRED, script: [() => away(true), () => away(true)] });
    assert.equal((await scene.refresh.renew(scene.handle, scene.session)).kind, 'stale');
    assert.deepEqual(scene.sent, ['rt-0', 'rt-0']);
  });

  test('a connection that broke: the record is read again, and what another process did meanwhile is used', async () => {
    const scene = await openRefresh({
      hot: EXPIRED,
      script: [
        async () => {
          await scene.overtake(7);
          return away(true);
        },
      ],
    });
    const renewal = await scene.refresh.renew(scene.handle, scene.session);
    assert.ok(renewal.kind === 'fresh');
    assert.deepEqual([renewal.session.hot.accessToken, scene.sent], ['at-7', ['rt-0']]);
  });

  test('of a session that is gone is nothing to wait for', async () => {
    const scene = await openRefresh({ hot: EXPIRED });
    const { session } = scene;
    await scene.store.destroy({ locator: session.locator, subjectKey: undefined, providerSessionKey: undefined });
    assert.deepEqual(await scene.refresh.renew(scene.handle, session), { kind: 'ended', reason: 'unknown_session' });
    assert.deepEqual(scene.sent, []);
  });
});

describe('a session ends', () => {
  test('when its refresh token is refused', async () => {
    const scene = await openRefresh({ hot: EXPIRED, script: [() => ({ kind: 'refused' })] });
    assert.deepEqual(await scene.refresh.renew(scene.handle, scene.session), {
      kind: 'ended',
      reason: 'refresh_failed',
    });
    assert.equal(await scene.find(), undefined);
    assert.ok(scene.told.includes('refresh_failed invalid_grant'));
  });

  test('but not when another process has renewed it meanwhile', async () => {
    const scene = await openRefresh({
      hot: EXPIRED,
      script: [
        async () => {
          await scene.overtake(7);
          return { kind: 'refused' };
        },
      ],
    });
    const renewal = await scene.refresh.renew(scene.handle, scene.session);
    assert.ok(renewal.kind === 'fresh');
    assert.equal(renewal.session.hot.accessToken, 'at-7');
  });

  test('when the answer speaks of somebody else; what came is taken back', async () => {
    const other: GrantAnswer = {
      kind: 'granted',
      refreshToken: 'rt-1',
      read: () => Promise.reject(new SubjectChangedError()),
    };
    const scene = await openRefresh({ hot: EXPIRED, script: [() => other] });
    assert.equal((await scene.refresh.renew(scene.handle, scene.session)).kind, 'ended');
    assert.deepEqual([await scene.find(), scene.revoked], [undefined, ['rt-1']]);
    assert.ok(scene.told.includes('refresh_failed subject_changed'));
  });

  test('when the person is no longer let in; roles are those of the new claims', async () => {
    const scene = await openRefresh({
      hot: EXPIRED,
      allowRoles: ['user'],
      script: [() => granted(1), () => granted(2, { principal: principalOf({ roles: ['guest'] }) })],
    });
    assert.equal((await scene.refresh.renew(scene.handle, scene.session)).kind, 'fresh');
    scene.clock.time = NOW + 600_000;
    assert.deepEqual(await scene.refresh.renew(scene.handle, scene.session), {
      kind: 'ended',
      reason: 'refresh_denied',
    });
    assert.deepEqual([await scene.find(), scene.revoked], [undefined, ['rt-2']]);
  });
});

describe('tokens that have no place', () => {
  test('are taken back if the session is gone', async () => {
    const scene = await openRefresh({
      hot: EXPIRED,
      script: [
        async () => {
          await scene.sessions.end(scene.session);
          return granted(1);
        },
      ],
    });
    assert.equal((await scene.refresh.renew(scene.handle, scene.session)).kind, 'ended');
    assert.deepEqual([await scene.find(), scene.revoked], [undefined, ['rt-1']]);
  });

  test('are dropped if another process was faster: its result stays, and its grant is not taken back', async () => {
    const scene = await openRefresh({
      hot: EXPIRED,
      script: [
        async () => {
          await scene.overtake(7);
          return granted(1);
        },
      ],
    });
    const renewal = await scene.refresh.renew(scene.handle, scene.session);
    assert.ok(renewal.kind === 'fresh');
    assert.deepEqual([renewal.session.hot.accessToken, scene.revoked], ['at-7', []]);
    assert.equal((await scene.record())?.cold.refreshToken, 'rt-7');
    assert.ok(scene.told.includes('superseded'));
  });

  test('are kept if an earlier holder comes back to store the rest of its own: only the last refresh token is good', async () => {
    const scene = await openRefresh({
      hot: EXPIRED,
      script: [
        async () => {
          await scene.overtake(7, 'rt-0');
          return granted(1);
        },
      ],
    });
    const renewal = await scene.refresh.renew(scene.handle, scene.session);
    assert.ok(renewal.kind === 'fresh');
    assert.deepEqual([renewal.session.hot.accessToken, scene.revoked], ['at-1', []]);
    assert.deepEqual((await scene.record())?.cold, { refreshToken: 'rt-1', idToken: 'it-1' });
  });
});

describe('a store that fails', () => {
  test('a write whose answer is lost counts as done; nothing is sent twice', async () => {
    const store = createMemoryStore();
    const { update } = store;
    let lost = 2;
    store.update = async (...words) => {
      const outcome = await update.apply(store, words);
      if (lost-- > 0) throw new SallyportError('store_unavailable', { detail: 'the answer is lost' });
      return outcome;
    };
    const scene = await openRefresh({ hot: EXPIRED, store, script: [() => granted(1)] });
    const renewal = scene.refresh.renew(scene.handle, scene.session);
    for (let i = 0; i < 5; i += 1) {
      await settle();
      scene.timers.fire(25);
    }
    assert.equal((await renewal).kind, 'fresh');
    assert.deepEqual([scene.sent, scene.told], [['rt-0'], ['begins', 'renewed', 'is over']]);
  });

  test('is no logout: whoever waits hears of the outage', async () => {
    const store = createMemoryStore();
    const scene = await openRefresh({ hot: EXPIRED, store });
    store.leases.acquire = () => Promise.reject(new SallyportError('store_unavailable', { detail: 'down' }));
    await assert.rejects(scene.refresh.renew(scene.handle, scene.session), { code: 'store_unavailable' });
    assert.notEqual(await scene.find(), undefined);
    assert.deepEqual(scene.sent, []);
  });
});

describe('a lease', () => {
  test('of another process is waited for: its result is used as soon as it is there', async () => {
    const { give, answer } = later();
    const scene = await openRefresh({ hot: EXPIRED, script: [answer] });
    const other = scene.open();
    const first = scene.refresh.renew(scene.handle, scene.session);
    await settle();
    const second = other.renew(scene.handle, scene.session);
    await settle();
    give(granted(1));
    assert.deepEqual([(await first).kind, (await second).kind], ['fresh', 'fresh']);
    assert.deepEqual(scene.sent, ['rt-0']);
  });

  test('that ran out while the process stood still is not used: nothing is sent before a new one is taken', async () => {
    const store = createMemoryStore();
    const { acquire } = store.leases;
    const taken: string[] = [];
    store.leases.acquire = async (...words) => {
      const isMine = await acquire.apply(store.leases, words);
      taken.push(words[2]);
      if (taken.length === 1) scene.clock.time += CALL_MS + LIMITS.leaseSlackMs;
      return isMine;
    };
    const scene = await openRefresh({ hot: EXPIRED, store, script: [() => granted(1)] });
    assert.equal((await scene.refresh.renew(scene.handle, scene.session)).kind, 'fresh');
    assert.deepEqual([taken.length, new Set(taken).size, scene.sent.length], [2, 2, 1]);
  });
});

describe('a refresh that is asked for', () => {
  test('renews a good token, but not one that is as good as new', async () => {
    const scene = await openRefresh({ hot: { tokenExpiresAt: NOW + 500_000 }, script: [() => granted(1)] });
    const renewal = await scene.refresh.force(scene.handle, scene.session);
    assert.ok(renewal.kind === 'fresh');
    assert.equal(renewal.session.hot.accessToken, 'at-1');
    const again = await scene.refresh.force(scene.handle, renewal.session);
    assert.ok(again.kind === 'fresh');
    assert.deepEqual([again.session, scene.sent], [renewal.session, ['rt-0']]);
  });

  test('keeps a good token while the provider is away', async () => {
    const scene = await openRefresh({ hot: { tokenExpiresAt: NOW + 500_000 }, script: [() => away()] });
    for (let i = 0; i < 3; i += 1) {
      assert.deepEqual(await scene.refresh.force(scene.handle, scene.session), {
        kind: 'fresh',
        session: scene.session,
      });
    }
    assert.equal(scene.sent.length, 1);
  });
});

test('closing waits for what is under way, and begins no more', async () => {
  const { give, answer } = later();
  const scene = await openRefresh({ hot: EXPIRED, script: [answer] });
  const waiting = scene.refresh.renew(scene.handle, scene.session);
  await settle();
  let isClosed = false;
  const closing = scene.refresh.close().then(() => {
    isClosed = true;
  });
  await settle();
  assert.equal(isClosed, false);
  give(granted(1));
  await closing;
  assert.equal((await waiting).kind, 'fresh');
  scene.clock.time = NOW + 600_000;
  assert.equal((await scene.refresh.renew(scene.handle, scene.session)).kind, 'stale');
  assert.equal(scene.sent.length, 1);
});
