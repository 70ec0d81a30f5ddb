import type { Redis } from 'iovalkey';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import { findFreePorts } from './ports.ts';
import { startRedis, type TestRedis } from './redis.ts';
import { until } from './until.ts';

const SLOTS = 16_384;
/** A server listens for the others of its Cluster at its port and this. */
const BUS_OFFSET = 10_000;

/** A Redis Cluster on loopback: three masters with a third of the slots each, and a replica of the first. */
export type TestCluster = {
  readonly masters: readonly TestRedis[];
  readonly replica: TestRedis;
  settings(different?: Partial<RedisSettings>): RedisSettings;
  /** A plain client of one server, kept until the end. */
  client(server: TestRedis): Redis;
  /** Move slots with their keys from one master to another, as `redis-cli --cluster reshard` does. */
  move(slots: readonly number[], from: TestRedis, to: TestRedis): Promise<void>;
  /** Wait until all servers agree that the Cluster works and the replica is connected. */
  whenWhole(servers?: readonly TestRedis[]): Promise<void>;
  remove(): Promise<void>;
};

/** Start the Cluster; a test asks for the part first: `skipWithout('redis-server')`. */
export async function startCluster(nodeTimeoutMs = 1_500): Promise<TestCluster> {
  const servers = await Promise.all([0, 1, 2, 3].map(() => startMember(nodeTimeoutMs)));
  const [a, b, c, replica] = servers as [TestRedis, TestRedis, TestRedis, TestRedis];
  const masters = [a, b, c];
  const clients = new Map<TestRedis, Redis>();
  const client = (server: TestRedis): Redis => {
    const known = clients.get(server);
    if (known !== undefined) return known;
    const made = server.connect();
    made.on('error', () => {});
    clients.set(server, made);
    return made;
  };
  for (const [index, server] of masters.entries()) {
    const first = Math.floor((index * SLOTS) / 3);
    const last = Math.floor(((index + 1) * SLOTS) / 3) - 1;
    await client(server).call('CLUSTER', 'ADDSLOTSRANGE', String(first), String(last));
    await client(server).call('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
  }
  for (const server of servers.slice(1)) await client(server).call('CLUSTER', 'MEET', '127.0.0.1', String(a.port));
  const whenWhole = (members: readonly TestRedis[] = servers): Promise<void> =>
    until(
      async () => {
        const infos = await Promise.all(members.map((server) => client(server).cluster('INFO')));
        return infos.every((info) => /cluster_state:ok/.test(info) && /cluster_known_nodes:4/.test(info));
      },
      'the cluster is whole',
      60_000,
    );
  await whenWhole(masters);
  const masterId = await client(a).call('CLUSTER', 'MYID');
  await until(
    async () => {
      await client(replica)
        .call('CLUSTER', 'REPLICATE', String(masterId))
        .catch(() => undefined);
      return (await client(replica).role())[0] === 'slave';
    },
    'the fourth is a replica',
    30_000,
  );
  await until(async () => (await client(replica).role())[3] === 'connected', 'the replica is connected', 30_000);
  await whenWhole();
  return {
    ...{ masters, replica, client, whenWhole },
    settings: (different = {}) => {
      const seeds = servers.map(({ port }) => ({ host: '127.0.0.1', port }));
      return { ...a.settings(), topology: { mode: 'cluster', seeds }, ...different };
    },
    async move(slots, from, to) {
      const [source, target] = [client(from), client(to)];
      const [sourceId, targetId] = [await source.call('CLUSTER', 'MYID'), await target.call('CLUSTER', 'MYID')];
      for (const slot of slots.map(String)) {
        await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', String(sourceId));
        await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', String(targetId));
        for (;;) {
          const keys = (await source.call('CLUSTER', 'GETKEYSINSLOT', slot, '10')) as string[];
          if (keys.length === 0) break;
          for (const key of keys) await source.call('MIGRATE', '127.0.0.1', String(to.port), key, '0', '5000');
        }
        await target.call('CLUSTER', 'SETSLOT', slot, 'NODE', String(targetId));
        await source.call('CLUSTER', 'SETSLOT', slot, 'NODE', String(targetId));
      }
    },
    async remove() {
      for (const each of clients.values()) each.disconnect();
      await Promise.all(servers.map((server) => server.remove()));
    },
  };
}

async function startMember(nodeTimeoutMs: number): Promise<TestRedis> {
  // The port of the bus must be one as well.
  let port = await findFreePorts(1);
  while (port + BUS_OFFSET > 65_535) port = await findFreePorts(1);
  const flags = ['--cluster-enabled', 'yes', '--cluster-node-timeout', String(nodeTimeoutMs)];
  return startRedis({ port, extra: [...flags, '--repl-diskless-sync-delay', '0'] });
}
