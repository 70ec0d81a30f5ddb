import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Redis } from 'iovalkey';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import { getPart } from './parts.ts';
import { findFreePorts } from './ports.ts';
import { startRedis, type TestRedis } from './redis.ts';
import { until } from './until.ts';

/** Name of the group that the Sentinels watch. */
export const MASTER_NAME = 'sallyport';

/** A master with one replica, watched by three Sentinels on loopback. */
export type SentinelGroup = {
  /** The two servers; which one is the master changes. */
  readonly servers: readonly TestRedis[];
  readonly sentinelPorts: readonly number[];
  settings(different?: Partial<RedisSettings>): RedisSettings;
  /** A plain client of one Sentinel. */
  sentinel(index: number): Redis;
  /** The port of the master that Sentinels name. */
  masterPort(): Promise<number>;
  /** Wait until the replica has everything and the Sentinels know it. */
  whenReplicated(): Promise<void>;
  remove(): Promise<void>;
};

/** Start the group; a test asks for the part first: `skipWithout('redis-server')`. */
export async function startSentinelGroup(downAfterMs = 500): Promise<SentinelGroup> {
  const [one, two, ...sentinelPorts] = [await port(), await port(), await port(), await port(), await port()];
  const first = await startRedis({ port: one!, extra: ['--repl-diskless-sync-delay', '0'] });
  const second = await startRedis({
    port: two!,
    extra: ['--replicaof', '127.0.0.1', String(one), '--repl-diskless-sync-delay', '0'],
  });
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-sentinel-'));
  const children = await Promise.all(sentinelPorts.map((each) => startSentinel(directory, each, one!, downAfterMs)));
  const admin = new Redis({ host: '127.0.0.1', port: sentinelPorts[0]! });
  const group: SentinelGroup = {
    servers: [first, second],
    sentinelPorts,
    settings: (different = {}) => {
      const base = first.settings();
      const sentinels = sentinelPorts.map((each) => ({ ...base, port: each }));
      return { ...base, topology: { mode: 'sentinel', master: MASTER_NAME, sentinels }, ...different };
    },
    sentinel: (index) => new Redis({ host: '127.0.0.1', port: sentinelPorts[index]! }),
    masterPort: async () => {
      const [, value] = (await admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER_NAME)) as string[];
      return Number(value);
    },
    whenReplicated: () =>
      until(
        async () => {
          const [master, replicas] = await Promise.all([roleOf(first), roleOf(second)]).then((roles) => roles.sort());
          if (master?.[0] !== 'master' || replicas?.[0] !== 'slave' || replicas[3] !== 'connected') return false;
          const state = (await admin.call('SENTINEL', 'MASTER', MASTER_NAME)) as string[];
          const read = (name: string): string => state[state.indexOf(name) + 1]!;
          return read('num-slaves') === '1' && read('num-other-sentinels') === '2';
        },
        'the group is whole',
        30_000,
      ),
    remove: async () => {
      admin.disconnect();
      await Promise.all(children.map(stop));
      await Promise.all([first.remove(), second.remove()]);
      await rm(directory, { recursive: true, force: true });
    },
  };
  await group.whenReplicated();
  return group;
}

async function roleOf(redis: TestRedis): Promise<unknown[]> {
  const client = redis.connect();
  try {
    return await client.role();
  } finally {
    client.disconnect();
  }
}

async function port(): Promise<number> {
  return await findFreePorts(1);
}

async function startSentinel(
  directory: string,
  sentinelPort: number,
  masterPort: number,
  downAfterMs: number,
): Promise<ChildProcess> {
  const file = join(directory, `${sentinelPort}.conf`);
  const lines = [
    `port ${sentinelPort}`,
    'bind 127.0.0.1',
    `dir ${directory}`,
    `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${masterPort} 2`,
    `sentinel down-after-milliseconds ${MASTER_NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${MASTER_NAME} 5000`,
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  const child = spawn(getPart('redis-server'), [file, '--sentinel'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  child.once('exit', () => process.removeListener('exit', onExit));
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.includes('+monitor')) continue;
    child.stdout.resume();
    return child;
  }
  throw new Error('a Sentinel did not start');
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}
