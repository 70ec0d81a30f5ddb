import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { skipWithout } from '../support/parts.ts';
import { MASTER_NAME, type SentinelGroup, startSentinelGroup } from '../support/redis-sentinel.ts';
import { openProcess, type Process, signIn, signOut, underLoad } from '../support/store-life.ts';
import { until } from '../support/until.ts';

describe('a store behind Sentinels', { timeout: 170_000, skip: skipWithout('redis-server') }, () => {
  let group: SentinelGroup;
  let reader: Process;
  let writer: Process;

  before(async () => {
    group = await startSentinelGroup();
    const redis = group.settings({ commandTimeoutMs: 1_000, waitReplicas: { count: 1, timeoutMs: 2_000 } });
    [reader, writer] = await Promise.all([openProcess(redis), openProcess(redis)]);
  });
  after(async () => {
    await Promise.all([reader?.close(), writer?.close()]);
    await group?.remove();
  });

  test('follows a switch: nobody is signed out, nobody who signed out is let in, the old master is not read', async () => {
    const subjects = await signIn(writer, 40);
    const before = await group.masterPort();
    const admin = group.sentinel(0);
    const result = await underLoad(reader, subjects, async () => {
      await sleep(200);
      await admin.call('SENTINEL', 'FAILOVER', MASTER_NAME);
      for (const subject of subjects.slice(0, 10)) await signOut(writer, subject);
      await until(async () => (await group.masterPort()) !== before, 'another master', 30_000);
      await until(
        async () => reader.store.status().reachable && reader.l1.isCurrent(Date.now()),
        'the reader follows',
        30_000,
      );
      await sleep(500);
    });
    admin.disconnect();
    assert.equal(result.wrongRefusals, 0);
    assert.equal(result.wrongAllows, 0);
    assert.ok(result.found > 0);
    for (const subject of subjects.slice(20)) assert.ok(await reader.sessions.find(subject.handle, false));
    await group.whenReplicated();
    const old = group.servers.find(({ port }) => port === before)!.connect();
    try {
      assert.equal((await old.role())[0], 'slave');
      await old.config('RESETSTAT');
      for (const subject of subjects) await reader.store.readHot(subject.session.locator, Date.now());
      assert.doesNotMatch(await old.info('commandstats'), /cmdstat_hmget/);
    } finally {
      old.disconnect();
    }
  });

  test('survives a master that is killed: 503 meanwhile, acknowledged sign-outs stay, it recovers by itself', async () => {
    const subjects = await signIn(writer, 40);
    // What replicas have confirmed cannot be lost; sign-ins do not wait for them.
    for (const subject of subjects.slice(0, 10)) assert.equal(await signOut(writer, subject), true);
    assert.deepEqual(writer.missed, []);
    const before = await group.masterPort();
    const master = group.servers.find(({ port }) => port === before)!;
    const result = await underLoad(reader, subjects, async () => {
      await master.kill();
      for (const subject of subjects.slice(10, 20)) await signOut(writer, subject);
      await until(async () => (await group.masterPort()) !== before, 'another master', 60_000);
      await until(
        async () => reader.store.status().reachable && writer.store.status().reachable,
        'both reach the store',
        30_000,
      );
      await until(async () => reader.l1.isCurrent(Date.now()), 'the copies are current', 30_000);
      // The old master comes back: as a replica, which nobody reads.
      await master.start();
      await group.whenReplicated();
      // The watch may follow a Sentinel that is behind for a moment more: 503, and whoever signs out asks again.
      for (const subject of subjects.slice(10, 20))
        await until(() => signOut(writer, subject), 'a sign-out is acknowledged', 30_000);
      await sleep(500);
    });
    assert.ok(result.unavailable > 0);
    assert.equal(result.wrongRefusals, 0);
    assert.equal(result.wrongAllows, 0);
    for (const { handle, endedAt } of subjects) {
      const isFound = (await reader.sessions.find(handle, false)) !== undefined;
      assert.equal(isFound, endedAt === undefined, 'after the failover');
    }
  });

  test('counts and tells a sign-out that no replica confirmed, and does not fail it', async () => {
    const [subject] = await signIn(writer, 1);
    const master = await group.masterPort();
    const replica = group.servers.find(({ port }) => port !== master)!;
    await replica.stop();
    const missed = writer.missed.length;
    const { unreplicated } = writer.store.status();
    assert.equal(await signOut(writer, subject!), true);
    assert.ok(writer.missed.length > missed);
    assert.ok(writer.store.status().unreplicated > unreplicated);
    assert.equal(await writer.sessions.find(subject!.handle, false), undefined);
  });
});
