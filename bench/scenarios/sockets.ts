import { execFileSync } from 'node:child_process';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../lib/lab.ts';
import { residentBytes } from '../lib/proc.ts';
import { LOAD_CORE } from '../lib/process.ts';
import { echoTimes, openMany } from '../lib/raw-streams.ts';
import { PUBLIC_URL, requestText, SITE_HOST } from '../lib/requests.ts';
import { whenQuiet } from '../lib/rounds.ts';
import { type Sallyport, startSallyport } from '../lib/sallyport.ts';
import { exactly, percentile, spreadOf } from '../lib/stats.ts';
import { openServer } from '../lib/subjects.ts';
import type { BenchOptions, Measure, Scenario } from '../lib/types.ts';

const SOCKETS = 10_000;
/** Descriptors of a process that are no WebSockets. */
const SPARE_DESCRIPTORS = 500;
const SOCKETS_PER_SESSION = 20;
const SETTLE_MS = 3_000;
const WARM_UP = 200;
const ECHOES = 3_000;
const ECHO_SOCKETS = 20;
const ACCEPTED = /^HTTP\/1\.1 101/;

/** P9: idle WebSockets of signed-in users, and the time of an echo. */
export const socketsScenario: Scenario = {
  name: 'sockets',
  title: 'WebSockets',
  subjects: [],
  async run(lab, options) {
    const count = socketsOf(options);
    const handles = await lab.handles(Math.ceil(count / SOCKETS_PER_SESSION) + WARM_UP);
    const service = await openServer('stream-service.ts', [], '', LOAD_CORE);
    const server = await start(lab, service.port);
    try {
      const cookies = handles.map((handle) => `bff_session=${handle}`);
      const { sockets, memory } = await openIdle(server, cookies, count);
      const measures = [memory, await measureEcho(server, service.port, cookies, options)];
      for (const socket of sockets) socket.destroy();
      for (const { what, spread, unit } of measures) options.say(`  ${what}: ${spread.value.toFixed(2)} ${unit}`);
      return { samples: [], measures, gaps: [] };
    } finally {
      await server.stop();
      await service.close();
    }
  },
};

/** Each takes two descriptors of the server. */
function socketsOf({ quick }: BenchOptions): number {
  if (quick) return 500;
  const limit = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }));
  return Number.isNaN(limit) ? SOCKETS : Math.min(SOCKETS, Math.floor((limit - SPARE_DESCRIPTORS) / 2));
}

function start(lab: Lab, service: number): Promise<Sallyport> {
  return startSallyport(lab, {
    settings: { limits: { connections: 50_000, websockets_per_session: SOCKETS_PER_SESSION } },
    routes: {
      services: { sockets: { urls: [`http://127.0.0.1:${service}`], token: { source: 'session' } } },
      routes: [{ id: 'sockets', paths: ['/ws'], target_service: 'sockets', websocket: { idle: '16m' } }],
    },
  });
}

function handshake(cookie: string): string {
  const fields: readonly (readonly [string, string])[] = [
    ['Connection', 'Upgrade'],
    ['Upgrade', 'websocket'],
    ['Sec-WebSocket-Version', '13'],
    ['Sec-WebSocket-Key', 'AAAAAAAAAAAAAAAAAAAAAA=='],
    ['Origin', PUBLIC_URL],
    ['Cookie', cookie],
  ];
  return requestText('/ws', fields, SITE_HOST);
}

async function openIdle(
  server: Sallyport,
  cookies: readonly string[],
  count: number,
): Promise<{ readonly sockets: readonly Socket[]; readonly memory: Measure }> {
  const ofSession = (at: number): string => handshake(cookies[Math.floor(at / SOCKETS_PER_SESSION)] ?? '');
  const ofSpare = (at: number): string => handshake(cookies.at(-1 - at) ?? '');
  const warm = await openMany(server.publicPort, WARM_UP, ofSpare, ACCEPTED);
  for (const socket of warm) socket.destroy();
  await sleep(SETTLE_MS);
  const before = residentBytes([server.pid]);
  const sockets = await openMany(server.publicPort, count, ofSession, ACCEPTED);
  await sleep(SETTLE_MS);
  const each = (residentBytes([server.pid]) - before) / count / 1024;
  return { sockets, memory: measureOf(`${count} idle WebSockets, memory of each`, exactly(each), 'KiB', 24) };
}

/** With the idle ones open: through the server and directly in turn, so that whatever drifts meets both. */
async function measureEcho(
  server: Sallyport,
  service: number,
  cookies: readonly string[],
  options: BenchOptions,
): Promise<Measure> {
  const ofSpare = (at: number): string => handshake(cookies.at(-1 - at) ?? '');
  const proxied = await openMany(server.publicPort, ECHO_SOCKETS, ofSpare, ACCEPTED);
  const direct = await openMany(service, ECHO_SOCKETS, ofSpare, ACCEPTED);
  const ratios: number[] = [];
  for (const sockets of [proxied, direct]) await echoTimes(sockets, WARM_UP);
  for (let round = 1; round <= options.rounds; round++) {
    await whenQuiet(options);
    const [ours, theirs] = [await timesOf(proxied, options), await timesOf(direct, options)];
    ratios.push(percentile(ours, 0.99) / percentile(theirs, 0.99));
    options.say(`  round ${round}  echo ${describe(ours)}, direct ${describe(theirs)}`);
  }
  for (const socket of [...proxied, ...direct]) socket.destroy();
  return measureOf('p99 of an echo beside them, against the service itself', spreadOf(ratios), '×', 3);
}

function timesOf(sockets: readonly Socket[], { quick }: BenchOptions): Promise<number[]> {
  return echoTimes(sockets, quick ? 300 : ECHOES);
}

function describe(timesMs: readonly number[]): string {
  const [half, most] = [0.5, 0.99].map((share) => Math.round(percentile(timesMs, share) * 1_000));
  return `p50 ${half} µs, p99 ${most} µs`;
}

function measureOf(what: string, spread: Measure['spread'], unit: string, max: number): Measure {
  return { target: 'P9', what, spread, unit, limit: { kind: 'at most', value: max } };
}
