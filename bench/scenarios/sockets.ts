import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../lib/lab.ts';
import { residentBytes } from '../lib/proc.ts';
import { LOAD_CORE } from '../lib/process.ts';
import { echoTimes, openMany } from '../lib/raw-streams.ts';
import { PUBLIC_URL, requestText, SITE_HOST } from '../lib/requests.ts';
import { type Sallyport, startSallyport } from '../lib/sallyport.ts';
import { exactly, percentile } from '../lib/stats.ts';
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
      const measures = [
        await measureIdle(server, cookies, count),
        await measureEcho(server, service.port, cookies, options),
      ];
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

async function measureIdle(server: Sallyport, cookies: readonly string[], count: number): Promise<Measure> {
  const ofSession = (at: number): string => handshake(cookies[Math.floor(at / SOCKETS_PER_SESSION)] ?? '');
  const warm = await openMany(
    server.publicPort,
    WARM_UP,
    (at) => handshake(cookies.at(-1 - at) ?? ''),
    /^HTTP\/1\.1 101/,
  );
  for (const socket of warm) socket.destroy();
  await sleep(SETTLE_MS);
  const before = residentBytes([server.pid]);
  const sockets = await openMany(server.publicPort, count, ofSession, /^HTTP\/1\.1 101/);
  await sleep(SETTLE_MS);
  const each = (residentBytes([server.pid]) - before) / count / 1024;
  for (const socket of sockets) socket.destroy();
  return measureOf(`${count} idle WebSockets, memory of each`, each, 'KiB', 24);
}

async function measureEcho(
  server: Sallyport,
  service: number,
  cookies: readonly string[],
  options: BenchOptions,
): Promise<Measure> {
  const p99: number[] = [];
  for (const port of [server.publicPort, service]) {
    const sockets = await openMany(port, ECHO_SOCKETS, (at) => handshake(cookies[at] ?? ''), /^HTTP\/1\.1 101/);
    await echoTimes(sockets, WARM_UP);
    p99.push(percentile(await echoTimes(sockets, options.quick ? 300 : ECHOES), 0.99));
    for (const socket of sockets) socket.destroy();
  }
  const [proxied = Number.NaN, direct = Number.NaN] = p99;
  return measureOf('p99 of an echo, against the service itself', proxied / direct, '×', 3);
}

function measureOf(what: string, value: number, unit: string, max: number): Measure {
  return {
    target: 'P9',
    what,
    spread: exactly(value),
    unit,
    limit: { kind: 'at most', value: max },
  };
}
