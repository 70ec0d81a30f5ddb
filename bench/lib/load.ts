import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { getPart } from '../../test/support/parts.ts';
import { percentile } from './stats.ts';

const run = promisify(execFile);
const SCRIPT = join(import.meta.dirname, 'wrk.lua');
const GRACE_MS = 30_000;
/** No divisor of its clock's 10 ms. */
const OPEN_GAP_MS = 7;

/** What a generator saw. */
export type LoadResult = {
  readonly requests: number;
  readonly seconds: number;
  /** Answers with a status of 400 or more. */
  readonly badStatus: number;
  /** Connections that failed, reads, writes and timeouts. */
  readonly failed: number;
  /** Latency, µs. */
  readonly p50Us: number;
  readonly p99Us: number;
};

/** Which requests go where. */
export type LoadPlan = {
  readonly port: number;
  /** File of whole requests, see wrk.lua. */
  readonly requestsFile: string;
  readonly connections: number;
  readonly seconds: number;
};

/** As many requests as go through: `wrk` with one thread, each connection sends the next when the last was answered. */
export async function saturate(plan: LoadPlan): Promise<LoadResult> {
  const { port, requestsFile, connections, seconds } = plan;
  // Its own two seconds are short for a body of 10 MiB on a busy machine.
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '20s', '--latency', '-s', SCRIPT];
  const { stdout } = await run(getPart('wrk'), [...args, `http://127.0.0.1:${port}`, '--', requestsFile], {
    timeout: seconds * 1000 + GRACE_MS,
  });
  const line = /^RESULT (.*)$/m.exec(stdout)?.[1];
  if (line === undefined) throw new Error(`wrk printed no result:\n${stdout}`);
  const { durationUs, ...result } = JSON.parse(line) as LoadResult & { readonly durationUs: number };
  return { ...result, seconds: durationUs / 1e6 };
}

/**
 * A fixed number of requests a second over all connections, one request again and again: `h2load` with `--rps`. It sends
 * what is due by a clock of 10 ms for each connection, from when it was opened: opened together they would all send at
 * the same moment, and what is measured would be the queue of 64 requests, again and again. So they are opened in turn.
 */
export async function pace(plan: {
  readonly port: number;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly connections: number;
  readonly seconds: number;
  readonly perSecond: number;
}): Promise<LoadResult> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  const log = join(folder, 'log.tsv');
  const { connections, seconds, perSecond } = plan;
  try {
    const each = Math.max(1, Math.round(perSecond / connections));
    const inTurn = ['-r', '1', '--rate-period', `${OPEN_GAP_MS}ms`, '-n', String(each * connections * seconds)];
    const shape = ['--h1', '-t1', `-c${connections}`, ...inTurn, `--rps=${each}`, `--log-file=${log}`];
    const headers = plan.headers.flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    await run(getPart('h2load'), [...shape, ...headers, `http://127.0.0.1:${plan.port}${plan.path}`], {
      timeout: seconds * 1000 + GRACE_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
    return resultOf(await readFile(log, 'utf8'), seconds);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A line of the log: start in µs, status (-1 = failed), duration in µs. */
function resultOf(log: string, seconds: number): LoadResult {
  const rows = log
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t').map(Number));
  const durations = rows.map(([, , durationUs = 0]) => durationUs);
  return {
    requests: rows.length,
    seconds,
    badStatus: rows.filter(([, status = 0]) => status >= 400).length,
    failed: rows.filter(([, status = 0]) => status < 0).length,
    p50Us: percentile(durations, 0.5),
    p99Us: percentile(durations, 0.99),
  };
}
