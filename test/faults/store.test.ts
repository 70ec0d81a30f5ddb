import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import type { SallyportError } from '../../src/core/errors.ts';
import type { SessionStore } from '../../src/core/store.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { creationAt, hasCode, newKey } from '../contract/session-store-behaviours.ts';
import { skipWithout } from '../support/parts.ts';
import { findFreePorts } from '../support/ports.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';
import { startTcpFaultProxy, type TcpFaultProxy } from '../support/tcp-fault-proxy.ts';
import { until } from '../support/until.ts';

const NOW = Date.now();
const CLOSE_CHILD = fileURLToPath(new URL('./store-close-child.ts', import.meta.url));
/** A store that hangs fails the suite by this, long after every deadline that the stores here have. */
const OPTIONS = { timeout: 60_000, skip: skipWithout('redis-server') };

describe('Redis store when its server fails', OPTIONS, () => {
  let redis: TestRedis;
  let proxy: TcpFaultProxy;

  before(async () => {
    redis = await startRedis({ persist: true, extra: ['--repl-diskless-sync-delay', '0'] });
    proxy = await startTcpFaultProxy(redis.port);
  });
  after(async () => {
    await proxy.close();
    await redis.remove();
  });

  test('starts before its server does, answers with an error meanwhile, and recovers', async () => {
    const port = await findFreePorts(1);
    await using opened = open(redis.settings({ port }));
    await assert.rejects(opened.store.readHot(newKey(), NOW), hasCode('store_unavailable'));
    await assert.rejects(opened.store.ping(), hasCode('store_unavailable'));
    assert.deepEqual(opened.store.status(), { reachable: false, reachedOnce: false, unreplicated: 0 });
    await until(async () => opened.faults.length > 0, 'a fault is reported');
    assert.match(opened.faults[0]!.message, /^store_unavailable: redis 127\.0\.0\.1:\d+: ECONNREFUSED$/);
    const late = await startRedis({ port });
    await whenReachable(opened.store);
    assert.deepEqual(opened.store.status(), { reachable: true, reachedOnce: true, unreplicated: 0 });
    await late.remove();
  });

  test('fails while the server is stopped and serves the same sessions after its restart', async () => {
    await using opened = open(redis.settings());
    await whenReachable(opened.store);
    const creation = creationAt(NOW);
    await opened.store.create(creation);
    for (let round = 0; round < 2; round += 1) {
      await redis.stop();
      await until(async () => !opened.store.status().reachable, 'the store is known to be away');
      await assert.rejects(opened.store.readHot(creation.locator, NOW), hasCode('store_unavailable'));
      await assert.rejects(opened.store.destroy(creation), hasCode('store_unavailable'));
      assert.equal(opened.store.status().reachedOnce, true);
      await until(async () => opened.faults.length > round, 'the fault is reported again');
      await redis.start();
      await whenReachable(opened.store);
      assert.deepEqual((await opened.store.readHot(creation.locator, NOW))?.hot, Buffer.from('hot'));
    }
    assert.equal(opened.faults.length, 2, 'each outage is reported once');
  });

  test('a command whose connection breaks fails at once and is not sent again', async () => {
    await using opened = open(redis.settings({ port: proxy.port, commandTimeoutMs: 50_000 }));
    await whenReachable(opened.store);
    const admin = redis.connect();
    const id = newKey();
    proxy.setMode('hold');
    const outcome = assert.rejects(opened.store.consumeOnce('state', id, NOW, 60_000), hasCode('store_unavailable'));
    await until(async () => (await admin.exists(`sp:o:${id}`)) === 1, 'the mark is written');
    await admin.del(`sp:o:${id}`);
    proxy.setMode('cut');
    await outcome;
    proxy.setMode('pass');
    await whenReachable(opened.store);
    await opened.store.ping();
    assert.equal(await admin.exists(`sp:o:${id}`), 0);
    admin.disconnect();
  });

  test('a connection that swallows every byte fails by the deadline, and a new one takes its place', async () => {
    await using opened = open(redis.settings({ port: proxy.port, commandTimeoutMs: 200 }));
    await whenReachable(opened.store);
    const creation = creationAt(NOW);
    await opened.store.create(creation);
    const before = proxy.accepted();
    proxy.setMode('drop');
    const reads = Array.from({ length: 20 }, () => opened.store.readHot(creation.locator, NOW));
    for (const read of await Promise.allSettled(reads)) {
      assert.equal(read.status, 'rejected');
      assert.equal(read.reason.code, 'store_unavailable');
    }
    assert.equal(opened.store.status().reachable, false);
    // The connection of the commands learns by a command of its own.
    await assert.rejects(opened.store.ping(), hasCode('store_unavailable'));
    // New connections are swallowed too, until they are not; the old ones stay lost.
    await until(async () => proxy.accepted() > before + 3, 'it connects again and again');
    proxy.setMode('pass');
    await whenReachable(opened.store);
    assert.notEqual(await opened.store.readHot(creation.locator, NOW), undefined);
    await until(async () => proxy.open() === 2, 'both connections are open');
  });

  test('a stall of our own event loop is not taken for an outage', async () => {
    await using opened = open(redis.settings({ commandTimeoutMs: 100 }));
    await whenReachable(opened.store);
    // From this phase of the loop on, timers come before sockets.
    await immediate();
    const read = opened.store.readHot(newKey(), NOW);
    const stalledSince = performance.now();
    while (performance.now() - stalledSince < 400);
    assert.equal(await read, undefined);
    assert.equal(opened.store.status().reachable, true);
  });

  test('attempts to reconnect back off', async () => {
    proxy.setMode('cut');
    const before = proxy.accepted();
    await using opened = open(redis.settings({ port: proxy.port }));
    await sleep(1_500);
    // 50, 100, 200, 400, 800 ms: at most six of each of two connections, where a fixed 50 ms would give sixty.
    assert.ok(proxy.accepted() - before <= 14, `${proxy.accepted() - before} attempts`);
    proxy.setMode('pass');
    await whenReachable(opened.store);
  });

  test('a database that does not exist is an outage, and nothing is written to another one', async () => {
    const admin = redis.connect();
    await admin.flushall();
    await admin.config('RESETSTAT');
    proxy.setMode('hold');
    await using opened = open(redis.settings({ port: proxy.port, db: 99 }));
    // The server has refused SELECT, and we do not know it yet.
    await until(async () => (await admin.info('commandstats')).includes('cmdstat_select'), 'SELECT was sent');
    const early = opened.store.create(creationAt(NOW)).catch((error: SallyportError) => error.code);
    proxy.setMode('pass');
    assert.equal(await early, 'store_unavailable');
    await until(async () => opened.faults.length > 0, 'a fault is reported');
    await assert.rejects(opened.store.create(creationAt(NOW)), hasCode('store_unavailable'));
    assert.deepEqual(opened.store.status(), { reachable: false, reachedOnce: false, unreplicated: 0 });
    assert.equal(await admin.dbsize(), 0);
    admin.disconnect();
  });

  test('a server that became a replica refuses writes, and the store finds the new master', async () => {
    const other = await startRedis();
    const [first, second] = [redis.connect(), other.connect()];
    await using opened = open(redis.settings({ port: proxy.port }));
    await whenReachable(opened.store);
    const creation = creationAt(NOW);
    await opened.store.create(creation);
    await opened.store.touch(creation.locator, NOW, creation.expiresAt + 1);
    await second.replicaof('127.0.0.1', redis.port);
    await until(async () => (await second.exists(`sp:s:{${creation.locator}}`)) === 1, 'the other database has it');
    await second.replicaof('NO', 'ONE');
    await first.replicaof('127.0.0.1', other.port);
    proxy.setTarget(other.port);
    const touch = opened.store.touch(creation.locator, NOW, creation.expiresAt + 2);
    await assert.rejects(touch, (error: SallyportError) => error.detail?.endsWith(': READONLY') ?? false);
    await until(async () => proxy.open() === 2 && opened.store.status().reachable, 'the store is back');
    await until(
      () => opened.store.touch(creation.locator, NOW, creation.expiresAt + 3).catch(() => false),
      'the session slides',
    );
    assert.equal(await second.hget(`sp:s:{${creation.locator}}`, 'e'), `${creation.expiresAt + 3}`);
    await first.replicaof('NO', 'ONE');
    first.disconnect();
    second.disconnect();
    proxy.setTarget(redis.port);
    await other.remove();
  });

  test('a closed store leaves no socket and no timer, whatever state its connection was in', async () => {
    proxy.setMode('drop');
    const closedPort = await findFreePorts(1);
    const args = [CLOSE_CHILD, redis.port, proxy.port, closedPort].map(String);
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 });
    proxy.setMode('pass');
    assert.deepEqual(JSON.parse(stdout), { held: [], failures: Array(3).fill('store_unavailable') });
    assert.equal(stderr, '');
  });
});

type Opened = AsyncDisposable & { readonly store: SessionStore; readonly faults: SallyportError[] };

/** A store and the faults it reports, closed at the end of the block. */
function open(redis: RedisSettings): Opened {
  const faults: SallyportError[] = [];
  const store = createValkeyStore({ redis, onError: (error) => faults.push(error) });
  return { store, faults, [Symbol.asyncDispose]: () => store.close() };
}
