import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Redis } from 'iovalkey';
import { systemClock } from '../../src/core/clock.ts';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { creationAt, newKey } from '../contract/session-store-behaviours.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';
import { startTcpFaultProxy, type TcpFaultProxy } from '../support/tcp-fault-proxy.ts';
import { until } from '../support/until.ts';

const NOW = Date.now();
const HEARTBEAT_MS = 100;
const OPTIONS = { timeout: 60_000, skip: skipWithout('redis-server') };

describe('the invalidation channel', OPTIONS, () => {
  let redis: TestRedis;
  let admin: Redis;
  let proxy: TcpFaultProxy;

  before(async () => {
    redis = await startRedis({ acl: ACL });
    admin = redis.connect({ username: 'admin', password: 'admin-secret' });
    proxy = await startTcpFaultProxy(redis.port);
  });
  after(async () => {
    admin.disconnect();
    await proxy.close();
    await redis.remove();
  });

  test('tells of every change of a record and of a lease, whoever made it', async () => {
    await using opened = await open(redis.settings(SALLYPORT));
    await using other = await open(redis.settings(SALLYPORT));
    const { told } = opened;
    const creation = creationAt(NOW);
    const { locator } = creation;
    const session = `sp:s:{${locator}}`;
    const changes: [string, () => Promise<unknown>][] = [
      ['create', () => other.store.create(creation)],
      ['touch', () => other.store.touch(locator, NOW + 1, creation.expiresAt + 1)],
      ['update', () => other.store.update(locator, 1, { cold: Buffer.from('x') }, NOW)],
      ['PEXPIRE', () => admin.pexpire(session, 60_000)],
      ['HDEL', () => admin.hdel(session, 'c')],
      ['destroy', () => other.store.destroy(creation)],
      ['create again', () => other.store.create(creation)],
      ['destroyBySubject', () => other.store.destroyBySubject(creation.subjectKey, NOW, 1_000)],
      ['create for DEL', () => other.store.create({ ...creation, startedAt: NOW + 1 })],
      ['DEL', () => admin.del(session)],
    ];
    for (const [name, change] of changes) {
      told.length = 0;
      await change();
      await until(async () => told.includes(`session ${locator}`), name).catch(() => assert.fail(name));
      assert.ok(
        told.every((line) => line === `session ${locator}`),
        `${name}: ${told}`,
      );
    }
    told.length = 0;
    await admin.set(`sp:l:{${locator}}:grant`, 'x');
    await until(async () => told.includes(`lease ${locator}`), 'the lease is told');
    await admin.set('sp:o:state', 'x');
    await admin.set('other:s:{x}', 'x');
    await admin.flushall();
    await until(async () => told.includes('all '), 'the flush is told');
    assert.deepEqual(told, [`lease ${locator}`, 'all ']);
  });

  test('tells this process of its own change before the change resolves, also of a failed one', async () => {
    await using opened = await open(redis.settings({ ...SALLYPORT, port: proxy.port }));
    const { store, told } = opened;
    const creation = creationAt(NOW);
    await store.create(creation);
    const { locator } = creation;
    const changes: [string, () => Promise<unknown>][] = [
      ['update', () => store.update(locator, 1, { cold: Buffer.from('x') }, NOW)],
      ['destroy', () => store.destroy(creation)],
      ['touch of what is gone', () => store.touch(locator, NOW, creation.expiresAt + 1)],
    ];
    proxy.setMode('pass');
    for (const [name, change] of changes) {
      await drained();
      told.length = 0;
      await change();
      assert.ok(told.includes(`session ${locator}`), name);
    }
    proxy.setMode('hold');
    told.length = 0;
    const failing = store.destroy(creation).catch(() => 'failed');
    proxy.setMode('cut');
    assert.equal(await failing, 'failed');
    assert.ok(told.includes(`session ${locator}`));
    proxy.setMode('pass');
  });

  test('vouches for two heartbeats from each answered PING', async () => {
    await using opened = await open(redis.settings({ ...SALLYPORT, port: proxy.port }));
    const { store } = opened;
    const first = store.changes!.currentUntil();
    assert.ok(first <= Date.now() + 2 * HEARTBEAT_MS);
    await until(async () => store.changes!.currentUntil() > first, 'a heartbeat is answered');
    proxy.setMode('drop');
    const last = store.changes!.currentUntil();
    await until(async () => store.changes!.currentUntil() === Number.NEGATIVE_INFINITY, 'nobody vouches any more');
    assert.ok(last <= Date.now() + HEARTBEAT_MS, 'given up when the last answer stopped to count');
    proxy.setMode('pass');
  });

  for (const fault of ['cut', 'drop'] as const) {
    test(`tells that all may have changed when it goes (${fault}) and when it comes again`, async () => {
      await using opened = await open(redis.settings({ ...SALLYPORT, port: proxy.port, commandTimeoutMs: 200 }));
      const { store, told } = opened;
      const creation = creationAt(NOW);
      await store.create(creation);
      await drained();
      told.length = 0;
      proxy.setMode(fault);
      await until(async () => told.includes('all '), 'everything is forgotten');
      assert.equal(store.changes!.currentUntil(), Number.NEGATIVE_INFINITY);
      await admin.del(`sp:s:{${creation.locator}}`);
      told.length = 0;
      proxy.setMode('pass');
      await until(async () => store.changes!.currentUntil() > Date.now(), 'the channel is up');
      assert.ok(told.includes('all '));
      const next = newKey();
      await admin.set(`sp:s:{${next}}`, 'x');
      await until(async () => told.includes(`session ${next}`), 'the change is told');
    });
  }

  test('comes anew when another connection of the store did: they might reach another server', async () => {
    await using opened = await open(redis.settings({ ...SALLYPORT, port: proxy.port }));
    const { store, told } = opened;
    told.length = 0;
    const others = (await clientList()).filter(({ sub }) => sub === '0');
    const [reader] = others.filter(({ cmd }) => cmd === 'ping' || cmd === 'hmget');
    await admin.client('KILL', 'ID', Number(reader!.id));
    await until(
      async () => told.includes('all ') && store.status().reachable,
      'everything is forgotten, and the store is back',
    );
    await until(async () => store.changes!.currentUntil() > Date.now(), 'the channel is up');
  });

  test('that the server does not allow is off, with one warning, and the store works', async () => {
    const refused: string[] = [];
    await using opened = await open(redis.settings({ ...SALLYPORT, username: 'plain' }), refused);
    const { store } = opened;
    await until(async () => refused.length > 0, 'the channel is refused');
    assert.deepEqual(refused, ['NOPERM']);
    assert.ok(store.changes!.currentUntil() < Date.now());
    const creation = creationAt(NOW);
    await store.create(creation);
    assert.notEqual(await store.readHot(creation.locator, NOW), undefined);
  });

  test('leaves no listener, connection or timer behind', async () => {
    const opened = await open(redis.settings(SALLYPORT));
    const before = opened.told.length;
    const stop = opened.store.changes!.onInvalidate(() => assert.fail('it was told after its end'));
    stop();
    await admin.set(`sp:s:{${newKey()}}`, 'x');
    await until(async () => opened.told.length > before, 'the flush is told');
    await opened.store.close();
    await until(async () => (await clientList()).length === 0, 'no connection is left');
  });

  /** What the channel has said by now has arrived. */
  async function drained(): Promise<void> {
    await admin.ping();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }

  async function clientList(): Promise<{ id: string; cmd: string; sub: string }[]> {
    const lines = String(await admin.client('LIST')).split('\n');
    return lines
      .filter((line) => / user=(sallyport|plain) /.test(line))
      .map((line) => ({ id: field(line, 'id'), cmd: field(line, 'cmd'), sub: field(line, 'sub') }));
  }
});

const ACL = [
  'admin on >admin-secret ~* &* +@all',
  'sallyport on >store-secret ~sp:* &__redis__:invalidate +@all -@dangerous',
  'plain on >store-secret ~sp:* +@all -@dangerous -client',
];
const SALLYPORT = { username: 'sallyport', password: 'store-secret' };

function field(line: string, name: string): string {
  return new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? '';
}

/** A usable store with a channel that is up, unless it is refused; `told` holds what it said. */
async function open(redis: RedisSettings, refused?: string[]) {
  const store = createValkeyStore({
    redis,
    tracking: { heartbeatMs: HEARTBEAT_MS, clock: systemClock, onRefused: (code) => refused?.push(code) },
  });
  const told: string[] = [];
  store.changes!.onInvalidate((what, locator) => told.push(`${what} ${locator}`));
  await whenReachable(store);
  if (refused === undefined) await until(async () => store.changes!.currentUntil() > Date.now(), 'the channel is up');
  return { store, told, [Symbol.asyncDispose]: () => store.close() };
}
