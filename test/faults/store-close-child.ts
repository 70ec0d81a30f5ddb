/**
 * Run by store.test.ts in a process of its own: opens stores in each state a connection can be in, closes them, and
 * prints what still keeps the process up. Arguments: port of a server, of a silent one, of none.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/core/clock.ts';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { whenReachable } from '../support/redis.ts';

const [livePort, silentPort, closedPort] = process.argv.slice(2).map(Number) as [number, number, number];

const settings = (port: number): RedisSettings => ({
  host: '127.0.0.1',
  port,
  db: 0,
  username: undefined,
  password: undefined,
  tls: undefined,
  keyPrefix: 'sp:',
  connectTimeoutMs: 60_000,
  topology: undefined,
  waitReplicas: undefined,
  commandTimeoutMs: 60_000,
});

const open = (port: number) =>
  createValkeyStore({
    redis: settings(port),
    tracking: { heartbeatMs: 100, clock: systemClock, onRefused: (code) => console.error(code) },
  });

const live = open(livePort);
const busy = open(livePort);
const silent = open(silentPort);
const refused = open(closedPort);
await Promise.all([whenReachable(live), whenReachable(busy)]);
// Long enough for several refused attempts.
await sleep(300);
for (let index = 0; index < 100; index += 1) await live.readHot('nobody', Date.now());
const inFlight = busy.readHot('nobody', Date.now()).catch(() => undefined);
const unborn = open(livePort);
await Promise.all([live, busy, silent, refused, unborn].map((store) => store.close()));
await Promise.all([live, busy].map((store) => store.close()));
await inFlight;
const failures = await Promise.all(
  [live, silent, unborn].map((store) => store.ping().then(String, (error) => error.code)),
);
await sleep(200);
process.stdout.on('error', () => {});
const held = process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout|Immediate/.test(name));
console.log(JSON.stringify({ held, failures }));
