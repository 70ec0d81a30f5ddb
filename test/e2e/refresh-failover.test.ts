// Redis fails over in the middle of a refresh storm: the master is killed while the provider is at it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TokenAnswer } from '../../src/cli/demo/provider.ts';
import { skipWithout } from '../support/parts.ts';
import { MASTER_NAME, type SentinelGroup, startSentinelGroup } from '../support/redis-sentinel.ts';
import { until } from '../support/until.ts';
import { assertNoReuse, type RefreshCluster, startCluster, tokenOf } from './refresh-cluster.ts';

const REQUESTS = 1_000;
const RECOVERY_MS = 60_000;
/** The provider takes its time, so that the lease outlives the election of a master. */
const CALL_MS = 20_000;

async function startOver(group: SentinelGroup): Promise<RefreshCluster> {
  const urls = group.sentinelPorts.map((port) => `redis://127.0.0.1:${port}`);
  const sentinels = { master: MASTER_NAME, urls };
  const settings = { kind: 'redis', redis: { mode: 'sentinel', sentinels, command_timeout: '1s' } };
  const connect = () => {
    const client = serverOf(group, group.servers[0]?.port ?? 0).connect();
    // It will be killed.
    client.on('error', () => {});
    return client;
  };
  const refresh = { lead: '0s', jitter: '0s', wait_max: '10s' };
  return startCluster({ refresh }, CALL_MS, { settings, connect, remove: group.remove });
}

function serverOf(group: SentinelGroup, port: number): SentinelGroup['servers'][number] {
  const server = group.servers.find((other) => other.port === port);
  assert.ok(server !== undefined, `no server at ${port}`);
  return server;
}

/** What the old master knew last is at the replica, then it dies without a word. */
async function killMaster(group: SentinelGroup): Promise<void> {
  const master = serverOf(group, await group.masterPort());
  const client = master.connect();
  client.on('error', () => {});
  await client.wait(1, 5_000);
  await client.call('SHUTDOWN', 'NOSAVE', 'NOW', 'FORCE').catch(() => undefined);
  client.disconnect();
}

describe('Redis fails over in the middle of a refresh', { skip: skipWithout('redis-server') }, () => {
  test(`${REQUESTS} requests over three processes: one token call, no refresh token twice, nobody is signed out`, async (t) => {
    const group = await startSentinelGroup();
    const cluster = await startOver(group);
    try {
      cluster.expiresInS = 1;
      const jar = await cluster.signIn('alice');
      cluster.expiresInS = 3_600;
      await sleep(1_100);
      const held: ((answer: TokenAnswer | undefined) => void)[] = [];
      cluster.onToken = () => new Promise((resolve) => void held.push(resolve));

      const storm = Array.from({ length: REQUESTS }, (_, index) => cluster.verify(index % 3, jar));
      await until(() => held.length === 1, 'a token call under way', 20_000);
      const before = await group.masterPort();
      await killMaster(group);
      // The new refresh token comes while there is no store to keep it.
      held[0]?.(undefined);
      await until(() => cluster.refreshes.length === 1, 'the provider has answered', 20_000);
      const statuses = new Map<string, number>();
      for (const answer of await Promise.all(storm)) {
        const kind = `${answer.status}${tokenOf(answer) === '' ? '' : ' with a token'}`;
        statuses.set(kind, (statuses.get(kind) ?? 0) + 1);
        assert.ok([200, 503].includes(answer.status), `${answer.status}: nobody is signed out`);
      }
      t.diagnostic(`answers in the failover: ${[...statuses].map(([kind, count]) => `${count} × ${kind}`).join(', ')}`);
      await until(async () => (await group.masterPort()) !== before, 'a new master', RECOVERY_MS);
      for (const server of [0, 1, 2]) {
        const isBack = async (): Promise<boolean> => {
          const answer = await cluster.verify(server, jar);
          assert.ok([200, 503].includes(answer.status), `${answer.status} at server ${server}`);
          return tokenOf(answer) === cluster.refreshes[0]?.accessToken;
        };
        await until(isBack, `server ${server} has the new token`, RECOVERY_MS);
      }
      assert.equal(cluster.refreshes.length, 1, 'one token call');
      assert.equal(held.length, 1, 'the refresh token was sent once');
      assertNoReuse(cluster);
      await assertRotationKept(cluster, jar);
    } finally {
      await cluster.close();
    }
  });
});

/** The next refresh spends the rotated token: it was not lost with the old master. */
async function assertRotationKept(
  cluster: RefreshCluster,
  jar: Awaited<ReturnType<RefreshCluster['signIn']>>,
): Promise<void> {
  cluster.onToken = () => undefined;
  const isRenewed = async (): Promise<boolean> => {
    const answer = await cluster.ask(0, jar, '/auth/refresh', {
      method: 'POST',
      headers: { 'x-csrf': '1', origin: `http://localhost:${cluster.servers[0]?.ports.public}` },
    });
    assert.equal(answer.status, 200, answer.body);
    return (JSON.parse(answer.body) as { refreshed?: unknown }).refreshed === true;
  };
  // A token that has just come is not renewed.
  await until(isRenewed, 'one more refresh', RECOVERY_MS);
  assert.equal(cluster.refreshes.length, 2);
  assertNoReuse(cluster);
}
