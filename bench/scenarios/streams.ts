import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../lib/lab.ts';
import { openNginx, proxyTo } from '../lib/nginx.ts';
import { residentBytes } from '../lib/proc.ts';
import { LOAD_CORE } from '../lib/process.ts';
import { openMany, uploadBytes } from '../lib/raw-streams.ts';
import { requestText, SITE_HOST } from '../lib/requests.ts';
import { ratiosOf } from '../lib/rounds.ts';
import { type Sallyport, startSallyport } from '../lib/sallyport.ts';
import { exactly, spreadOf } from '../lib/stats.ts';
import { measureInTurn, openBefore, openServer } from '../lib/subjects.ts';
import type { BenchOptions, Measure, OpenSubject, Sample, Scenario, Subject } from '../lib/types.ts';

const MEBIBYTE = 1024 * 1024;
const BODY_BYTES = 10 * MEBIBYTE;
const BODY_CONNECTIONS = 8;
/** In less, hardly a body comes to its end on a slow machine. */
const BODY_SECONDS_MIN = 5;
const SETTLE_MS = 3_000;
const LOOK_MS = 100;
const UPLOADS = 10;
/** Each upload takes so long at the rate of the service, if nothing else is slower. */
const UPLOAD_SECONDS = 20;
/** What garbage collection and buffers of ten uploads move up and down. */
const UPLOAD_GROWTH_MAX_MIB = 64;

/** Public, so that nothing but the data path is measured. */
const routes = (service: number): Record<string, unknown> => ({
  services: {
    streams: { urls: [`http://127.0.0.1:${service}`], token: { source: 'none' }, pool: { connections: 2_000 } },
  },
  routes: [{ id: 'streams', paths: ['/*'], target_service: 'streams', auth: 'none', csrf: 'none', max_body: '2GiB' }],
});

const UNBUFFERED = 'proxy_buffering off; proxy_request_buffering off; client_max_body_size 0;';

const down = requestText(`/download?bytes=${BODY_BYTES}`, [], SITE_HOST);
const up = requestText('/upload', [['Content-Length', String(BODY_BYTES)]], SITE_HOST).replace(/^GET/, 'POST');

const SUBJECTS: readonly Subject[] = [
  bodies('Sallyport', 'down', openSallyport),
  bodies('nginx', 'down', openPlainNginx),
  bodies('Sallyport', 'up', openSallyport),
  bodies('nginx', 'up', openPlainNginx),
];

/** P8: large bodies both ways, many slow event streams, slow uploads. */
export const streamsScenario: Scenario = {
  name: 'streams',
  title: 'proxy of 10 MiB bodies and slow streams',
  subjects: SUBJECTS,
  async run(lab, options) {
    const seconds = Math.max(options.seconds, BODY_SECONDS_MIN);
    const { samples, missing } = await measureInTurn(lab, SUBJECTS, { ...options, seconds });
    const measures = [...throughput(samples), ...(await measureMemory(lab, options))];
    return { samples, measures, gaps: missing.map((reason) => ({ target: 'P8', reason })) };
  },
};

function bodies(who: string, way: 'down' | 'up', open: typeof openSallyport): Subject {
  return {
    name: `${way} ${who}`,
    title: `bodies of 10 MiB ${way}, ${who === 'nginx' ? 'nginx without buffering' : 'a public route'}`,
    needs: who === 'nginx' ? ['nginx'] : [],
    open: async (lab) => {
      const file = lab.requests(`bodies-${way}`, [way === 'down' ? down : up + 'a'.repeat(BODY_BYTES)]);
      return {
        ...(await openBefore('stream-service.ts', (service) => open(lab, service, file))),
        connections: BODY_CONNECTIONS,
      };
    },
    check({ status, body }) {
      assert.equal(status, 200);
      if (way === 'down') assert.equal(body.length, BODY_BYTES);
      else assert.deepEqual(JSON.parse(body), { received: BODY_BYTES });
    },
  };
}

async function openSallyport(lab: Lab, service: number, requestsFile: string): Promise<OpenSubject> {
  const { publicPort, pid, stop } = await startSallyport(lab, { routes: routes(service) });
  return { port: publicPort, pids: [pid], requestsFile, close: stop };
}

function openPlainNginx(lab: Lab, service: number, requestsFile: string): Promise<OpenSubject> {
  return openNginx(lab, { requestsFile, ...proxyTo(service, UNBUFFERED) });
}

function throughput(samples: readonly Sample[]): Measure[] {
  return ['down', 'up'].flatMap((way): Measure[] => {
    const ratios = ratiosOf(samples, `${way} Sallyport`, `${way} nginx`, ({ perSecond }) => perSecond);
    if (ratios.length === 0) return [];
    const what = `10 MiB ${way}, throughput against nginx`;
    return [{ target: 'P8', what, spread: spreadOf(ratios), unit: '×', limit: { kind: 'at least', value: 0.7 } }];
  });
}

async function measureMemory(lab: Lab, options: BenchOptions): Promise<Measure[]> {
  const service = await openServer('stream-service.ts', [], '', LOAD_CORE);
  try {
    const measures: Measure[] = [];
    for (const measure of [measureEvents, measureUploads]) {
      // A server of its own: what one leaves behind is not the other's.
      const server = await startSallyport(lab, { routes: routes(service.port) });
      try {
        measures.push(await measure(server, options));
      } finally {
        await server.stop();
      }
    }
    for (const { what, spread, unit } of measures) options.say(`  ${what}: ${spread.value.toFixed(1)} ${unit}`);
    return measures;
  } finally {
    await service.close();
  }
}

async function measureEvents(server: Sallyport, options: BenchOptions): Promise<Measure> {
  const count = options.quick ? 100 : 1_000;
  const request = requestText('/events', [], SITE_HOST);
  const open = () => openMany(server.publicPort, count, () => request, /data: first/);
  // The first ones make the code and the pools of memory that all later ones use.
  for (const socket of await open()) socket.destroy();
  await sleep(SETTLE_MS);
  const before = residentBytes([server.pid]);
  const sockets = await open();
  await sleep(SETTLE_MS);
  const each = (residentBytes([server.pid]) - before) / count / 1024;
  for (const socket of sockets) socket.destroy();
  return memoryMeasure(`${count} slow event streams, memory of each`, each, 'KiB', 64);
}

async function measureUploads(server: Sallyport, options: BenchOptions): Promise<Measure> {
  const bytes = (options.quick ? 32 : 1024) * MEBIBYTE;
  const seconds = options.quick ? 2 : UPLOAD_SECONDS;
  const head = (size: number): string =>
    requestText(`/upload?rate=${Math.floor(size / seconds)}`, [['Content-Length', String(size)]], SITE_HOST).replace(
      /^GET/,
      'POST',
    );
  await uploadBytes(server.publicPort, head(MEBIBYTE), MEBIBYTE);
  const before = residentBytes([server.pid]);
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, residentBytes([server.pid]));
  }, LOOK_MS);
  const answers = await Promise.all(
    Array.from({ length: UPLOADS }, () => uploadBytes(server.publicPort, head(bytes), bytes)),
  );
  clearInterval(timer);
  for (const answer of answers) assert.ok(answer.endsWith(JSON.stringify({ received: bytes })), answer.slice(0, 300));
  const what = `${UPLOADS} uploads of ${bytes / MEBIBYTE} MiB through a slow service, growth at most`;
  return memoryMeasure(what, (most - before) / MEBIBYTE, 'MiB', UPLOAD_GROWTH_MAX_MIB);
}

function memoryMeasure(what: string, value: number, unit: string, max: number): Measure {
  return {
    target: 'P8',
    what,
    spread: exactly(value),
    unit,
    limit: { kind: 'at most', value: max },
  };
}
