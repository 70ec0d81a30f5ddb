import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { slotOf } from '../../src/core/store-slots.ts';
import { skipWithout } from '../support/parts.ts';
import { startCluster, type TestCluster } from '../support/redis-cluster.ts';
import { openProcess, type Process, type Subject, signIn, signOut, underLoad } from '../support/store-life.ts';
import { until } from '../support/until.ts';

describe('a store in a Cluster', { timeout: 170_000, skip: skipWithout('redis-server') }, () => {
  let cluster: TestCluster;
  let reader: Process;
  let writer: Process;

  before(async () => {
    cluster = await startCluster();
    const redis = cluster.settings({ commandTimeoutMs: 1_000 });
    [reader, writer] = await Promise.all([openProcess(redis), openProcess(redis)]);
  });
  after(async () => {
    await Promise.all([reader?.close(), writer?.close()]);
    await cluster?.remove();
  });

  test('reads each session at its master, and a change is heard from there', async () => {
    const subjects = await signIn(writer, 60);
    for (const { handle } of subjects) assert.ok(await reader.sessions.find(handle, false));
    for (const master of cluster.masters) assert.ok((await cluster.client(master).dbsize()) > 0);
    assert.equal(reader.l1.size, 60);
    await Promise.all(subjects.map((subject) => signOut(writer, subject)));
    await until(async () => reader.l1.size === 0, 'the copies are forgotten');
    for (const { handle } of subjects) assert.equal(await reader.sessions.find(handle, false), undefined);
  });

  test('moves slots under load: nobody is signed out, nobody who signed out is let in', async () => {
    const subjects = await signIn(writer, 60);
    const [a, b] = cluster.masters;
    const ofA = subjects.filter((subject) => slot(subject) <= 5_460);
    assert.ok(ofA.length > 3);
    const result = await underLoad(reader, subjects, async () => {
      for (const [index, subject] of ofA.entries()) {
        await cluster.move([slot(subject)], a!, b!);
        if (index % 2 === 0) assert.equal(await signOut(writer, subject), true);
      }
      await sleep(1_000);
      for (const subject of ofA) await cluster.move([slot(subject)], b!, a!);
      await sleep(1_000);
    });
    assert.equal(result.wrongRefusals, 0);
    assert.equal(result.wrongAllows, 0);
    for (const { handle, endedAt } of subjects) {
      assert.equal((await reader.sessions.find(handle, false)) !== undefined, endedAt === undefined);
    }
  });

  test('reads and writes in a slot that is half on its way', async () => {
    const [subject] = await signIn(writer, 1);
    const number = slot(subject!);
    const [from, to] = number <= 5_460 ? [0, 1] : number <= 10_922 ? [1, 2] : [2, 0];
    const [source, target] = [cluster.client(cluster.masters[from]!), cluster.client(cluster.masters[to]!)];
    const [sourceId, targetId] = [await source.call('CLUSTER', 'MYID'), await target.call('CLUSTER', 'MYID')];
    await target.call('CLUSTER', 'SETSLOT', String(number), 'IMPORTING', String(sourceId));
    await source.call('CLUSTER', 'SETSLOT', String(number), 'MIGRATING', String(targetId));
    const key = `sp:s:{${subject!.session.locator}}`;
    assert.ok(await reader.store.readHot(subject!.session.locator, Date.now()));
    const { port } = cluster.masters[to]!;
    await source.call('MIGRATE', '127.0.0.1', String(port), key, '0', '5000');
    assert.ok(await reader.store.readHot(subject!.session.locator, Date.now()));
    assert.equal(await reader.store.touch(subject!.session.locator, Date.now(), Date.now() + 60_000), true);
    assert.equal(await signOut(writer, subject!), true);
    assert.equal(await reader.store.readHot(subject!.session.locator, Date.now()), undefined);
    await until(
      async () => (await reader.sessions.find(subject!.handle, false)) === undefined,
      'the reader refuses it',
    );
    for (const client of [target, source]) await client.call('CLUSTER', 'SETSLOT', String(number), 'STABLE');
  });

  test('survives a master that is killed: 503 meanwhile, nobody is signed out, it recovers by itself', async () => {
    const subjects = await signIn(writer, 60);
    const [dead] = cluster.masters;
    const ofDead = subjects.filter((subject) => slot(subject) <= 5_460);
    await until(async () => {
      const info = await cluster.client(dead!).info('replication');
      return Number(/master_repl_offset:(\d+)/.exec(info)![1]) === Number(/offset=(\d+)/.exec(info)?.[1]);
    }, 'the replica has everything');
    const result = await underLoad(reader, subjects, async () => {
      await dead!.kill();
      await until(
        async () => (await cluster.client(cluster.replica).role())[0] === 'master',
        'the replica is master',
        60_000,
      );
      await until(
        async () => reader.store.status().reachable && writer.store.status().reachable,
        'both reach the store',
        60_000,
      );
      await until(async () => reader.l1.isCurrent(Date.now()), 'the copies are current', 30_000);
      for (const subject of ofDead.slice(0, 5)) assert.equal(await signOut(writer, subject), true);
      await sleep(500);
    });
    assert.ok(result.unavailable > 0);
    assert.equal(result.wrongRefusals, 0);
    assert.equal(result.wrongAllows, 0);
    for (const { handle, endedAt } of subjects) {
      assert.equal((await reader.sessions.find(handle, false)) !== undefined, endedAt === undefined);
    }
  });
});

function slot({ session }: Subject): number {
  return slotOf(`sp:s:{${session.locator}}`);
}
