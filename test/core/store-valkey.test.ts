import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { Redis } from 'iovalkey';
import type { SessionStore } from '../../src/core/store.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { creationAt, newKey } from '../contract/session-store-behaviours.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';
import { startTcpFaultProxy } from '../support/tcp-fault-proxy.ts';
import { until } from '../support/until.ts';

const NOW = Date.now();
const MINUTE_MS = 60_000;

describe('Redis store', { skip: skipWithout('redis-server') }, () => {
  let redis: TestRedis;
  let admin: Redis;
  let store: SessionStore;
  let prefix: string;

  before(async () => {
    redis = await startRedis();
    admin = redis.connect();
  });
  after(async () => {
    admin.disconnect();
    await redis.remove();
  });
  beforeEach(async () => {
    prefix = `${randomUUID()}:`;
    store = createValkeyStore({ redis: redis.settings({ keyPrefix: prefix }) });
    await whenReachable(store);
  });
  afterEach(async () => {
    await store.close();
    await admin.flushall();
  });

  test('lays a session out as one hash, two index entries, tombstones and marks, each with an expiry', async () => {
    const creation = creationAt(NOW);
    const { locator, subjectKey, providerSessionKey, expiresAt, absoluteAt } = creation;
    await store.create(creation);
    await store.update(locator, 1, { tokens: new Map([['abc', Buffer.from('token')]]) }, NOW);
    assert.deepEqual(await admin.hgetall(`${prefix}s:{${locator}}`), {
      r: '2',
      n: `${NOW}`,
      e: `${expiresAt}`,
      h: 'hot',
      c: 'cold',
      't:abc': 'token',
    });
    const entry = [locator, `${absoluteAt}`];
    assert.deepEqual(await admin.zrange(`${prefix}u:{${subjectKey}}`, '0', '-1', 'WITHSCORES'), entry);
    assert.deepEqual(await admin.zrange(`${prefix}p:{${providerSessionKey}}`, '0', '-1', 'WITHSCORES'), entry);
    await store.consumeOnce('state', 'once', NOW, MINUTE_MS);
    await store.consumeOnce('jti', 'once', NOW, MINUTE_MS);
    await store.destroyBySubject(newKey(), NOW, MINUTE_MS);
    const keys = (await admin.keys(`${prefix}*`)).map((key) => key.slice(prefix.length).replace(/\{.*/, '{')).sort();
    assert.deepEqual(keys, ['j:once', 'o:once', 'p:{', 's:{', 'u:{', 'x:u:{']);
    for (const key of await admin.keys(`${prefix}*`)) assert.ok((await admin.pttl(key)) > 0, `${key} never expires`);
  });

  test('expires the hash with the session and the index with the last absolute end', async () => {
    const creation = creationAt(NOW);
    await store.create(creation);
    await store.touch(creation.locator, NOW, creation.expiresAt + MINUTE_MS);
    const sessionMs = await admin.pttl(`${prefix}s:{${creation.locator}}`);
    const indexMs = await admin.pttl(`${prefix}u:{${creation.subjectKey}}`);
    assert.ok(isJustBelow(sessionMs, creation.expiresAt + MINUTE_MS - NOW), `${sessionMs}`);
    assert.ok(isJustBelow(indexMs, creation.absoluteAt - NOW), `${indexMs}`);
  });

  test('leaves no key behind when a session ends', async () => {
    const creation = creationAt(NOW);
    await store.create(creation);
    await store.destroy(creation);
    assert.deepEqual(await admin.keys(`${prefix}*`), []);
  });

  test('one DEL by an operator ends everything, and no later write brings it back', async () => {
    const creation = creationAt(NOW);
    await store.create(creation);
    await admin.del(`${prefix}s:{${creation.locator}}`);
    assert.equal(await store.readHot(creation.locator, NOW), undefined);
    assert.equal(await store.touch(creation.locator, NOW, creation.expiresAt + 1), false);
    assert.equal(await store.update(creation.locator, 1, { hot: Buffer.from('x') }, NOW), 'gone');
    assert.equal(await admin.exists(`${prefix}s:{${creation.locator}}`), 0);
  });

  test('does not believe a hash that lacks a field', async () => {
    const creation = creationAt(NOW);
    for (const field of ['r', 'n', 'e', 'h']) {
      await store.create(creation);
      await admin.hdel(`${prefix}s:{${creation.locator}}`, field);
      assert.equal(await store.readHot(creation.locator, NOW), undefined, field);
      assert.equal(await store.readAll(creation.locator, NOW), undefined, field);
      await store.destroy(creation);
    }
  });

  test('drops index entries that are over when the index is used', async () => {
    const creation = creationAt(NOW, { expiresAt: NOW + 1_000, absoluteAt: NOW + 1_000 });
    await store.create(creation);
    const later = creationAt(NOW + 1_000, { subjectKey: creation.subjectKey });
    await store.create(later);
    assert.deepEqual(await admin.zrange(`${prefix}u:{${creation.subjectKey}}`, 0, -1), [later.locator]);
  });

  test('bounds an index: the sessions that end first go with their entries', async () => {
    const subjectKey = newKey();
    const index = `${prefix}u:{${subjectKey}}`;
    const first = creationAt(NOW, { subjectKey, absoluteAt: NOW + 2 * 3_600_000 });
    await store.create(first);
    const others = Array.from({ length: 999 }, (_, position) => [NOW + 3 * 3_600_000 + position, `other-${position}`]);
    await admin.zadd(index, ...others.flat());
    const last = creationAt(NOW, { subjectKey });
    assert.equal(await store.create(last), 'created');
    assert.equal(await admin.zcard(index), 1_000);
    assert.equal(await store.readHot(first.locator, NOW), undefined);
    assert.notEqual(await store.readHot(last.locator, NOW), undefined);
  });

  test('a hot read, a touch, a guarded write and a consumption are one command each', async () => {
    const creation = creationAt(NOW);
    await store.create(creation);
    const { locator } = creation;
    const operations: [string, string, () => Promise<unknown>][] = [
      ['readHot', 'hmget', () => store.readHot(locator, NOW)],
      ['touch', 'eval', () => store.touch(locator, NOW, creation.expiresAt + 1)],
      ['touch again', 'evalsha', () => store.touch(locator, NOW, creation.expiresAt + 2)],
      ['update', 'eval', () => store.update(locator, 1, { hot: Buffer.from('x') }, NOW)],
      ['consumeOnce', 'set', () => store.consumeOnce('state', newKey(), NOW, 1_000)],
    ];
    for (const [name, command, operation] of operations) {
      assert.deepEqual(await commandsDuring(operation), [command], name);
    }
  });

  test('goes on after the server forgot its scripts', async () => {
    const creation = creationAt(NOW);
    await store.create(creation);
    await store.touch(creation.locator, NOW, creation.expiresAt + 1);
    await admin.script('FLUSH');
    assert.equal(await store.touch(creation.locator, NOW, creation.expiresAt + 2), true);
  });

  test('a logout between the index and the session of a login undoes the login', async () => {
    const proxy = await startTcpFaultProxy(redis.port);
    const slow = createValkeyStore({ redis: redis.settings({ keyPrefix: prefix, port: proxy.port }) });
    await whenReachable(slow);
    const login = creationAt(NOW, { startedAt: NOW - 1 });
    proxy.setMode('hold');
    const created = slow.create(login);
    await until(async () => (await admin.exists(`${prefix}u:{${login.subjectKey}}`)) === 1, 'the index is written');
    assert.equal(await admin.exists(`${prefix}s:{${login.locator}}`), 0, 'the index comes before the session');
    assert.deepEqual(await store.destroyBySubject(login.subjectKey, NOW, MINUTE_MS), []);
    proxy.setMode('pass');
    assert.equal(await created, 'ended');
    assert.equal(await store.readHot(login.locator, NOW), undefined);
    await slow.close();
    await proxy.close();
    assert.deepEqual(await admin.keys(`${prefix}[sup]:*`), []);
  });

  async function commandsDuring(operation: () => Promise<unknown>): Promise<string[]> {
    const monitor = await admin.monitor();
    const commands: string[] = [];
    const ending = newKey();
    const { promise, resolve } = Promise.withResolvers<void>();
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      if (args[1] === ending) resolve();
      else if (source !== 'lua') commands.push(args[0]!.toLowerCase());
    });
    await operation();
    await admin.echo(ending);
    await promise;
    monitor.disconnect();
    return commands;
  }
});

/** Up to 20 s may pass between a write and the look at what is left of it. */
function isJustBelow(leftMs: number, fullMs: number): boolean {
  return leftMs <= fullMs && leftMs > fullMs - 20_000;
}
