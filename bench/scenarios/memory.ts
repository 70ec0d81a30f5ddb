import { setTimeout as sleep } from 'node:timers/promises';
import { readMetric } from '../../test/support/metrics.ts';
import type { Lab } from '../lib/lab.ts';
import { saturate } from '../lib/load.ts';
import { buildPackage } from '../lib/package.ts';
import { residentBytes } from '../lib/proc.ts';
import { type Sallyport, startSallyport } from '../lib/sallyport.ts';
import { exactly } from '../lib/stats.ts';
import type { BenchOptions, Measure, Scenario } from '../lib/types.ts';
import { cookieRequests } from './verify.ts';

const MEBIBYTE = 1024 * 1024;
/** Bytes that the cache may hold: its own bound must not be what is measured. */
const ROOMY = '2GiB';
const SETTLE_MS = 3_000;
/** What garbage collection moves up and down between two looks. */
const GROWTH_MAX_MIB = 16;

/** P13: resident memory. */
export const memoryScenario: Scenario = {
  name: 'memory',
  title: 'resident memory',
  subjects: [],
  async run(lab, options) {
    const program = buildPackage(lab);
    const measures = [...(await measureSessions(lab, program, options)), await measureGrowth(lab, program, options)];
    for (const { what, spread } of measures) options.say(`  ${what}: ${spread.value.toFixed(1)} MiB`);
    return { samples: [], measures, gaps: [] };
  },
};

function measureOf(what: string, mebibytes: number, value: number | undefined, note?: string): Measure {
  return {
    target: 'P13',
    what,
    spread: exactly(mebibytes),
    unit: 'MiB',
    limit: value === undefined ? undefined : { kind: 'at most', value },
    ...(note === undefined ? {} : { note }),
  };
}

/** Idle, then with every session of the store kept. */
async function measureSessions(lab: Lab, program: string, options: BenchOptions): Promise<Measure[]> {
  const count = options.quick ? 5_000 : 100_000;
  const requestsFile = await cookieRequests(lab, 'smallest', count);
  const store = { kind: 'redis', redis: { url: lab.redis.url }, l1: { max_entries: count + 1_000, max_bytes: ROOMY } };
  const server = await startSallyport(lab, { settings: { store }, program });
  try {
    const idle = await settled(server);
    const plan = { port: server.verifyPort, requestsFile, connections: options.connections };
    for (let kept = 0; kept < count; kept = await readMetric(server.adminPort, 'sallyport_l1_entries')) {
      await saturate({ ...plan, seconds: 2 });
    }
    const full = await settled(server);
    return [
      measureOf('an idle worker', idle, 90, 'resident memory, shared pages included'),
      measureOf(
        `${count} sessions in L1, more than idle`,
        full - idle,
        options.quick ? undefined : 150,
        'access tokens of 800 characters',
      ),
    ];
  } finally {
    await server.stop();
  }
}

async function measureGrowth(lab: Lab, program: string, options: BenchOptions): Promise<Measure> {
  const wanted = options.quick ? 100_000 : 10_000_000;
  const server = await startSallyport(lab, { program });
  const plan = {
    port: server.verifyPort,
    requestsFile: await cookieRequests(lab, 'smallest'),
    connections: options.connections,
  };
  try {
    let sent = (await saturate({ ...plan, seconds: options.quick ? 1 : 10 })).requests;
    const before = await settled(server);
    const warm = sent;
    while (sent - warm < wanted) sent += (await saturate({ ...plan, seconds: options.quick ? 1 : 20 })).requests;
    const after = await settled(server);
    const what = `growth over ${((sent - warm) / 1e6).toFixed(1)} million requests`;
    return measureOf(what, after - before, options.quick ? undefined : GROWTH_MAX_MIB, `after ${warm} others`);
  } finally {
    await server.stop();
  }
}

async function settled(server: Sallyport): Promise<number> {
  await sleep(SETTLE_MS);
  return residentBytes([server.pid]) / MEBIBYTE;
}
