import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TokenAnswer } from '../../src/cli/demo/provider.ts';
import { skipWithout } from '../support/parts.ts';
import { until } from '../support/until.ts';
import { assertNoReuse, type RefreshCluster, startCluster, tokenOf } from './refresh-cluster.ts';

const BUSY: TokenAnswer = { status: 503, body: '{}' };
/** Renewed when it has expired and no sooner; requests wait as long as the shared machine may need. */
const AT_THE_END = { lead: '0s', jitter: '0s', wait_max: '20s' };
const RECOVERY_MS = 30_000;
/** A first load also leaves compiled code. */
const HEAP_GROWTH_MAX_BYTES = 6_291_456;

async function withCluster(
  settings: Readonly<Record<string, unknown>>,
  run: (cluster: RefreshCluster) => Promise<void>,
  callMs?: number,
): Promise<void> {
  const cluster = await startCluster(settings, callMs);
  try {
    await run(cluster);
  } finally {
    await cluster.close();
  }
}

/** Token calls stop at the provider's door until they are let go on, to the provider or with an answer of ours. */
function holdTokenCalls(cluster: RefreshCluster) {
  const held: ((answer: TokenAnswer | undefined) => void)[] = [];
  cluster.onToken = () => new Promise((resolve) => void held.push(resolve));
  return {
    count: () => held.length,
    release(answer: TokenAnswer | undefined) {
      cluster.onToken = () => undefined;
      for (const resolve of held.splice(0)) resolve(answer);
    },
  };
}

/** Sign in with a token that is over soon, and wait until it is. */
async function signInExpired(cluster: RefreshCluster) {
  cluster.expiresInS = 1;
  const jar = await cluster.signIn('alice');
  cluster.expiresInS = 3_600;
  await sleep(1_100);
  return jar;
}

describe('refresh in a cluster of three processes over Redis, at a provider with rotation and reuse detection', {
  skip: skipWithout('redis-server'),
}, () => {
  test('1,000 parallel requests on an expired token: one token call, 1,000 right answers, again and again', async () => {
    await withCluster({ refresh: AT_THE_END }, async (cluster) => {
      const jar = await signInExpired(cluster);
      for (let round = 1; round <= 3; round += 1) {
        cluster.expiresInS = round < 3 ? 4 : 3_600;
        const all = Array.from({ length: 1_000 }, (_, index) => cluster.verify(index % 3, jar));
        const answers = await Promise.all(all);
        assert.equal(cluster.refreshes.length, round, 'one token call');
        const expected = [200, cluster.refreshes[round - 1]?.accessToken, 'alice'];
        for (const answer of answers) {
          assert.deepEqual([answer.status, tokenOf(answer), answer.headers['x-user-username']], expected);
        }
        if (round < 3) await sleep(4_100);
      }
      assertNoReuse(cluster);
      assert.deepEqual(await cluster.redis.keys('sp:l:*'), [], 'no lease is left');
    });
  });

  test('the holder of the lease is killed: the others take over when the lease is over, and nobody is signed out', async () => {
    await withCluster({ refresh: { ...AT_THE_END, wait_max: '1s' } }, async (cluster) => {
      const jar = await signInExpired(cluster);
      const held = holdTokenCalls(cluster);
      const lost = cluster.verify(0, jar).catch(() => undefined);
      await until(() => held.count() === 1, 'a token call under way');
      const [{ child }] = cluster.servers as [(typeof cluster.servers)[0]];
      child.kill('SIGKILL');
      await Promise.all([once(child, 'exit'), lost]);
      const meanwhile = await Promise.all([1, 2].map((server) => cluster.verify(server, jar)));
      for (const answer of meanwhile) assert.deepEqual([answer.status, tokenOf(answer)], [200, ''], 'identity alone');
      assert.equal(held.count(), 1, 'the lease still holds');
      held.release(BUSY);
      await until(async () => tokenOf(await cluster.verify(1, jar)) !== '', 'a new token', RECOVERY_MS);
      for (const server of [1, 2]) {
        assert.equal(tokenOf(await cluster.verify(server, jar)), cluster.refreshes[0]?.accessToken);
      }
      assert.equal(cluster.refreshes.length, 1);
      assertNoReuse(cluster);
    });
  });

  test('the holder stands still beyond its lease: what it comes back with overwrites nothing', async () => {
    await withCluster({ refresh: { ...AT_THE_END, wait_max: '1s' } }, async (cluster) => {
      const jar = await signInExpired(cluster);
      const held = holdTokenCalls(cluster);
      const late = cluster.verify(0, jar);
      await until(() => held.count() === 1, 'a token call under way');
      const [{ child }] = cluster.servers as [(typeof cluster.servers)[0]];
      child.kill('SIGSTOP');
      cluster.onToken = () => undefined;
      await until(async () => tokenOf(await cluster.verify(1, jar)) !== '', 'a new token', RECOVERY_MS);
      const [key = ''] = await cluster.redis.keys('sp:s:*');
      const record = await cluster.redis.hgetallBuffer(key);
      held.release(BUSY);
      child.kill('SIGCONT');
      const answer = await late;
      assert.equal(answer.status, 200, 'nobody is signed out');
      await until(async () => (await cluster.servers[0]?.metric('sallyport_refreshes_in_flight')) === 0, 'it is over');
      const now = await cluster.redis.hgetallBuffer(key);
      assert.deepEqual(
        [now['r'], now['h'], now['c']],
        [record['r'], record['h'], record['c']],
        'the record is as it was',
      );
      for (const server of [0, 1, 2]) {
        assert.equal(tokenOf(await cluster.verify(server, jar)), cluster.refreshes[0]?.accessToken);
      }
      assert.equal(cluster.refreshes.length, 1);
      assertNoReuse(cluster);
    });
  });

  test('the provider is away for some seconds under load: good tokens work, nobody is signed out, all recover', async () => {
    const settings = { refresh: { ...AT_THE_END, wait_max: '300ms', backoff: { first: '500ms', max: '1s' } } };
    await withCluster(settings, async (cluster) => {
      cluster.expiresInS = 3_600;
      const good = await cluster.signIn('bob');
      const goodToken = tokenOf(await cluster.verify(0, good));
      const expired = await signInExpired(cluster);
      let asked = 0;
      cluster.onToken = () => {
        asked += 1;
        return BUSY;
      };
      const end = performance.now() + 5_000;
      let rounds = 0;
      for (; performance.now() < end; rounds += 1) {
        const pairs = Array.from({ length: 30 }, (_, index) => [
          cluster.verify(index % 3, good),
          cluster.verify(index % 3, expired),
        ]);
        for (const [first, second] of await Promise.all(pairs.map((pair) => Promise.all(pair)))) {
          assert.deepEqual([first?.status, first && tokenOf(first)], [200, goodToken], 'a good token keeps working');
          assert.deepEqual([second?.status, second && tokenOf(second)], [200, ''], 'identity without a token');
        }
        await sleep(20);
      }
      assert.ok(rounds > 5 && asked >= 3 && asked <= 20, `${asked} token calls in ${rounds} rounds: back-off`);
      cluster.onToken = () => undefined;
      for (const server of [0, 1, 2]) {
        await until(async () => tokenOf(await cluster.verify(server, expired)) !== '', 'a new token', RECOVERY_MS);
      }
      assert.equal(cluster.refreshes.length, 1);
      assertNoReuse(cluster);
    });
  });

  test('2,000 clients that leave during a refresh change nothing: it ends, and neither request nor lease, socket or memory is left', async (t) => {
    await withCluster(
      { refresh: { ...AT_THE_END, wait_max: '3s' } },
      async (cluster) => {
        const jar = await signInExpired(cluster);
        const held = holdTokenCalls(cluster);
        const before = await Promise.all(cluster.servers.map((server) => server.measure()));
        const leaving = new AbortController();
        const all = Array.from({ length: 2_000 }, (_, index) =>
          cluster.ask(index % 3, jar, '/api/auth/session', { signal: leaving.signal }).then(
            () => 'answered',
            () => 'left',
          ),
        );
        await until(() => held.count() === 1, 'a token call under way');
        await sleep(300);
        leaving.abort();
        const outcomes = await Promise.all(all);
        assert.ok(outcomes.filter((outcome) => outcome === 'left').length > 1_500, 'they left');
        held.release(undefined);
        await until(() => cluster.refreshes.length === 1, 'the refresh went on');
        for (const server of cluster.servers) {
          await until(async () => (await server.metric('sallyport_refreshes_in_flight')) === 0, 'no refresh');
          await until(async () => (await server.metric('sallyport_requests_in_flight')) <= 1, 'no request');
          await until(async () => (await server.metric('sallyport_outbound_sockets')) === 0, 'no socket', 15_000);
        }
        const after = await Promise.all(cluster.servers.map((server) => server.measure()));
        const heaps = (all: typeof after) => all.map(({ heapUsedBytes }) => heapUsedBytes);
        t.diagnostic(`heaps before ${heaps(before).join()} B, after ${heaps(after).join()} B`);
        for (const [index, { heapUsedBytes }] of after.entries()) {
          assert.ok(heapUsedBytes < (before[index]?.heapUsedBytes ?? 0) + HEAP_GROWTH_MAX_BYTES, 'no memory is left');
        }
        assert.deepEqual(await cluster.redis.keys('sp:l:*'), []);
        for (const index of [0, 1, 2]) {
          const answer = await cluster.verify(index, jar);
          assert.deepEqual([answer.status, tokenOf(answer)], [200, cluster.refreshes[0]?.accessToken]);
        }
        assertNoReuse(cluster);
      },
      10_000,
    );
  });
});
