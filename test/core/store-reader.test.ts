import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Redis } from 'iovalkey';
import type { SallyportError } from '../../src/core/errors.ts';
import type { SessionStore } from '../../src/core/store.ts';
import { StoreReader } from '../../src/core/store-reader.ts';
import { createValkeyStore, type ValkeyStoreOptions } from '../../src/core/store-valkey.ts';
import { StoreFaults } from '../../src/core/store-valkey-faults.ts';
import { creationAt, newKey } from '../contract/session-store-behaviours.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';
import { startTcpFaultProxy, type TcpFaultProxy } from '../support/tcp-fault-proxy.ts';
import { until } from '../support/until.ts';

const NOW = Date.now();
const OPTIONS = { timeout: 60_000, skip: skipWithout('redis-server') };

describe('hot reads', OPTIONS, () => {
  let redis: TestRedis;
  let admin: Redis;
  let proxy: TcpFaultProxy;

  before(async () => {
    redis = await startRedis();
    admin = redis.connect();
    proxy = await startTcpFaultProxy(redis.port);
  });
  after(async () => {
    admin.disconnect();
    await proxy.close();
    await redis.remove();
  });

  test('of one turn leave as one write, each session once', async () => {
    await using opened = await open();
    const { store } = opened;
    const creations = Array.from({ length: 10 }, () => creationAt(NOW));
    await Promise.all(creations.map((creation) => store.create(creation)));
    await admin.config('RESETSTAT');
    const reads = Array.from({ length: 1_000 }, (_, index) => store.readHot(creations[index % 10]!.locator, NOW));
    const found = await Promise.all(reads);
    assert.ok(found.every((hot) => hot?.hot.equals(Buffer.from('hot')) === true));
    assert.deepEqual(store.reads, { lookups: 10, writes: 1, refused: 0 });
    const [, calls] = /cmdstat_hmget:calls=(\d+)/.exec(await admin.info('commandstats')) ?? [];
    assert.equal(calls, '10');
  });

  test('of the next turn see what was written in between', async () => {
    await using opened = await open();
    const { store } = opened;
    const creation = creationAt(NOW);
    await store.create(creation);
    const early = store.readHot(creation.locator, NOW);
    await new Promise(setImmediate);
    const gone = store.destroy(creation);
    await gone;
    const late = store.readHot(creation.locator, NOW);
    assert.notEqual(await early, undefined);
    assert.equal(await late, undefined);
  });

  test('are answered with what belongs to them, of every size up to the bound', async () => {
    await using opened = await open();
    const { store } = opened;
    const sizes = [0, 1, 100, 16_000, 65_536, 200_000, 262_000];
    const creations = sizes.map((size) => creationAt(NOW, { hot: Buffer.alloc(size, size % 251), cold: undefined }));
    for (const creation of creations) await store.create(creation);
    const found = await Promise.all(
      creations.flatMap(({ locator }) => [store.readHot(newKey(), NOW), store.readHot(locator, NOW)]),
    );
    for (const [index, creation] of creations.entries()) {
      assert.equal(found[2 * index], undefined);
      assert.deepEqual(found[2 * index + 1], { revision: 1, lastSeenAt: NOW, hot: creation.hot });
    }
  });

  test('a record that has grown beyond the bound ends the connection, not the process', async () => {
    await using opened = await open();
    const { store, faults } = opened;
    const creation = creationAt(NOW);
    await store.create(creation);
    await admin.hset(`sp:s:{${creation.locator}}`, 'h', Buffer.alloc(300_000));
    assert.equal(await codeOf(store.readHot(creation.locator, NOW)), 'store_unavailable');
    await whenReachable(store);
    assert.deepEqual(faults, ['protocol_error']);
    await admin.del(`sp:s:{${creation.locator}}`);
    assert.equal(await store.readHot(creation.locator, NOW), undefined);
  });

  test('an error reply fails its own read alone', async () => {
    await using opened = await open();
    const { store } = opened;
    const creation = creationAt(NOW);
    await store.create(creation);
    const wrong = newKey();
    await admin.set(`sp:s:{${wrong}}`, 'not a hash');
    const [failed, found] = await Promise.allSettled([store.readHot(wrong, NOW), store.readHot(creation.locator, NOW)]);
    assert.equal(failed.status, 'rejected');
    assert.match(String(failed.reason.detail), /: WRONGTYPE$/);
    assert.equal(found.status, 'fulfilled');
    await admin.del(`sp:s:{${wrong}}`);
  });

  test('fields that are no numbers make no session', async () => {
    await using opened = await open();
    const { store } = opened;
    for (const field of ['r', 'n', 'e']) {
      const creation = creationAt(NOW);
      await store.create(creation);
      await admin.hset(`sp:s:{${creation.locator}}`, field, 'x');
      assert.equal(await store.readHot(creation.locator, NOW), undefined, field);
    }
  });

  test('10,000 that wait for a slow server fail at one deadline, above the bound at once, and then all is well', async () => {
    await using opened = await open({
      redis: redis.settings({ port: proxy.port, commandTimeoutMs: 200 }),
      pendingReadsMax: 10_000,
    });
    const { store } = opened;
    const locators = Array.from({ length: 12_000 }, newKey);
    proxy.setMode('hold');
    const reads = Promise.all(locators.map((locator) => codeOf(store.readHot(locator, NOW))));
    assert.equal(store.reads.refused, 2_000);
    await new Promise(setImmediate);
    assert.deepEqual(store.reads, { lookups: 10_000, writes: 1, refused: 2_000 });
    assert.deepEqual(new Set(await reads), new Set(['store_unavailable']));
    proxy.setMode('pass');
    await until(async () => (await codeOf(store.readHot(newKey(), NOW))) === 'found', 'the store answers again');
  });

  test('a server that is merely slow fails reads by their deadline and keeps its connection', async () => {
    await using opened = await open({ redis: redis.settings({ port: proxy.port, commandTimeoutMs: 150 }) });
    const { store } = opened;
    const accepted = proxy.accepted();
    // Answers something all the time, but each thing too late.
    const answered: string[] = [];
    const asking = (async () => {
      for (let round = 0; round < 8; round += 1) {
        proxy.setMode('hold');
        const reads = Array.from({ length: 5 }, () => codeOf(store.readHot(newKey(), NOW)));
        await new Promise((resolve) => setTimeout(resolve, 100));
        proxy.setMode('pass');
        answered.push(...(await Promise.all(reads)));
      }
    })();
    await asking;
    assert.ok(answered.includes('found'));
    assert.equal(proxy.accepted(), accepted);
  });

  test('a read fails at once while there is no connection', async () => {
    await using opened = await open({ redis: redis.settings({ port: proxy.port }) });
    const { store } = opened;
    proxy.setMode('cut');
    await until(async () => !store.status().reachable, 'the store is known to be away');
    assert.equal(await codeOf(store.readHot(newKey(), NOW)), 'store_unavailable');
    proxy.setMode('pass');
    await whenReachable(store);
    assert.equal(await codeOf(store.readHot(newKey(), NOW)), 'found');
  });

  test('what was asked in the turn in which the connection breaks fails too', async () => {
    await using opened = await open({ redis: redis.settings({ port: proxy.port, commandTimeoutMs: 50_000 }) });
    const { store } = opened;
    proxy.setMode('hold');
    const sent = codeOf(store.readHot(newKey(), NOW));
    await new Promise(setImmediate);
    const queued = codeOf(store.readHot(newKey(), NOW));
    proxy.setMode('cut');
    assert.deepEqual(await Promise.all([sent, queued]), ['store_unavailable', 'store_unavailable']);
    proxy.setMode('pass');
  });

  test('are asked once more behind a connection that broke, and those of the meantime with them', async () => {
    await using opened = await open({ redis: redis.settings({ port: proxy.port, commandTimeoutMs: 50_000 }) });
    const { store } = opened;
    const creation = creationAt(NOW);
    await store.create(creation);
    const find = async () => (await store.readHot(creation.locator, NOW))?.hot.toString();
    const before = store.reads.lookups;
    proxy.setMode('hold');
    const sent = find();
    await new Promise(setImmediate);
    const queued = find();
    proxy.setMode('cut');
    proxy.setMode('pass');
    await until(() => !store.status().reachable, 'the store is known to be away');
    const meanwhile = find();
    assert.deepEqual(await Promise.all([sent, queued, meanwhile]), ['hot', 'hot', 'hot']);
    assert.ok(store.reads.lookups - before <= 5, `${store.reads.lookups - before} look-ups`);
  });

  test('fail by their deadline where the connection that follows does not come about', async () => {
    await using opened = await open({ redis: redis.settings({ port: proxy.port, commandTimeoutMs: 300 }) });
    const { store } = opened;
    proxy.setMode('hold');
    const sent = codeOf(store.readHot(newKey(), NOW));
    await new Promise(setImmediate);
    proxy.setMode('cut');
    proxy.setMode('drop');
    assert.equal(await sent, 'store_unavailable');
    const nextTurn = new Promise((resolve) => setImmediate(() => resolve('waits')));
    assert.equal(await Promise.race([codeOf(store.readHot(newKey(), NOW)), nextTurn]), 'store_unavailable');
    proxy.setMode('pass');
  });

  test('fail where the connection breaks at each of them: nothing is sent a third time', async () => {
    // No real server breaks at a command again and again.
    let asked = 0;
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) => {
        if (!bytes.includes('HMGET')) {
          socket.write('+PONG\r\n');
          return;
        }
        asked += 1;
        socket.destroy();
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const settings = redis.settings({ port, commandTimeoutMs: 50_000 });
    let isUp = false;
    const reader = new StoreReader({
      redis: settings,
      isMember: false,
      counts: { lookups: 0, writes: 0, refused: 0 },
      pendingMax: 10,
      faults: new StoreFaults(settings, () => {}),
      onUp: () => {
        isUp = true;
      },
      onDown: () => {},
    });
    await until(() => isUp, 'the connection is up');
    const read = new Promise((resolve, reject) => reader.read(newKey(), NOW, { done: resolve, failed: reject }));
    assert.equal(await codeOf(read), 'store_unavailable');
    assert.equal(asked, 2);
    await reader.close();
    server.close();
  });

  /** A store, usable, and the codes of its faults; closed at the end of the block. */
  async function open(different: Partial<ValkeyStoreOptions> = {}) {
    const faults: string[] = [];
    const onError = (error: SallyportError) => void faults.push(error.detail?.split(': ').at(-1) ?? '');
    const store: SessionStore = createValkeyStore({ redis: redis.settings(), onError, ...different });
    await whenReachable(store);
    return { store, faults, [Symbol.asyncDispose]: () => store.close() };
  }
});

/** `found` for an answer, whatever it says, else the error's code. */
function codeOf(read: Promise<unknown>): Promise<string> {
  return read.then(
    () => 'found',
    (error: SallyportError) => error.code,
  );
}
