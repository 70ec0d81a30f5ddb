import { setTimeout as sleep } from 'node:timers/promises';
import { saturate } from './load.ts';
import { cpuSeconds, machineTime, ownSeconds } from './proc.ts';
import type { BenchOptions, OpenSubject, Sample, Subject } from './types.ts';

/** A subject that runs. */
export type Contender = { readonly subject: Subject; readonly open: OpenSubject };

/** More than this share of the machine for other programs, or taken by its host: the measurement is repeated. */
const NOISE_MAX_SHARE = 0.04;
const QUIET_LOOK_MS = 500;
const USED_MIN_SECONDS = 0.2;

/**
 * Measure subjects in turn, A B C A B C …, so that whatever drifts on the machine meets all of them alike.
 * @throws Error if a server answers otherwise than it must, or not at all.
 */
export async function runRounds(contenders: readonly Contender[], options: BenchOptions): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    await whenQuiet(options);
    for (const contender of contenders) {
      const sample = await measureQuietly(contender, round, options);
      samples.push(sample);
      options.say(describe(sample));
    }
  }
  return samples;
}

/** The values of one subject, round by round. */
export function valuesOf(samples: readonly Sample[], subject: string, read: (sample: Sample) => number): number[] {
  return samples
    .filter((sample) => sample.subject === subject)
    .sort((a, b) => a.round - b.round)
    .map(read);
}

/** Ratios of two subjects, each taken within one round. */
export function ratiosOf(
  samples: readonly Sample[],
  above: string,
  below: string,
  read: (sample: Sample) => number,
): number[] {
  const denominators = valuesOf(samples, below, read);
  return valuesOf(samples, above, read).map((value, at) => value / (denominators[at] ?? Number.NaN));
}

/** Wait until other programs leave the machine alone for a moment, at most `patienceSeconds`. */
export async function whenQuiet({ patienceSeconds, say }: BenchOptions): Promise<void> {
  const end = performance.now() + patienceSeconds * 1000;
  let waited = false;
  while (performance.now() < end) {
    const look = beginLook();
    await sleep(QUIET_LOOK_MS);
    const { foreign, steal } = look();
    if (foreign + steal <= NOISE_MAX_SHARE) return;
    if (!waited) say(`waiting for a quiet machine (others use ${percent(foreign)}, its host takes ${percent(steal)})`);
    waited = true;
  }
}

/** Wait for a quiet machine, and measure again while it is not, as long as patience lasts; the quietest one counts. */
async function measureQuietly(contender: Contender, round: number, options: BenchOptions): Promise<Sample> {
  const end = performance.now() + options.patienceSeconds * 1000;
  await whenQuiet({ ...options, say: () => {} });
  let best = await measure(contender, round, 0, options);
  for (let repeats = 1; noiseOf(best) > NOISE_MAX_SHARE && performance.now() < end; repeats++) {
    const patienceSeconds = (end - performance.now()) / 1000;
    await whenQuiet({ ...options, patienceSeconds, say: () => {} });
    const next = await measure(contender, round, repeats, options);
    if (noiseOf(next) < noiseOf(best)) best = next;
  }
  return best;
}

function noiseOf({ foreignShare, stealShare }: Sample): number {
  return foreignShare + stealShare;
}

async function measure(
  { subject, open }: Contender,
  round: number,
  repeats: number,
  { seconds, warmUpSeconds, connections }: BenchOptions,
): Promise<Sample> {
  const plan = { port: open.port, requestsFile: open.requestsFile, connections: open.connections ?? connections };
  if (warmUpSeconds > 0) await saturate({ ...plan, seconds: warmUpSeconds });
  const look = beginLook();
  const before = cpuSeconds(open.pids);
  const result = await saturate({ ...plan, seconds });
  const used = cpuSeconds(open.pids) - before;
  const { foreign, steal } = look();
  const expected = subject.refuses === true ? result.requests : 0;
  if (result.requests === 0 || result.failed > 0 || result.badStatus !== expected) {
    throw new Error(`${subject.name} answered wrongly: ${JSON.stringify(result)}`);
  }
  return {
    subject: subject.name,
    round,
    requests: result.requests,
    perSecond: result.requests / result.seconds,
    cpuUs: (used / result.requests) * 1e6,
    serverShare: used / result.seconds,
    p50Us: result.p50Us,
    p99Us: result.p99Us,
    // The kernel's clock of processes ticks 100 times a second: less than this says nothing.
    foreignShare: used < USED_MIN_SECONDS ? 1 : foreign,
    stealShare: steal,
    repeats,
  };
}

/** Look at the machine from now on; the answer is the shares of it since then. */
function beginLook(): () => { readonly foreign: number; readonly steal: number } {
  const before = { machine: machineTime(), own: ownSeconds() };
  return () => {
    const machine = machineTime();
    const total = Math.max(machine.total - before.machine.total, 0.01);
    const foreign = machine.busy - before.machine.busy - (ownSeconds() - before.own);
    return { foreign: Math.max(0, foreign / total), steal: (machine.steal - before.machine.steal) / total };
  };
}

function describe(sample: Sample): string {
  const { subject, round, perSecond, cpuUs, serverShare, p99Us, repeats } = sample;
  const noise = noiseOf(sample) > NOISE_MAX_SHARE ? `, noise ${percent(noiseOf(sample))}` : '';
  const again = repeats > 0 ? `, repeated ${repeats}x` : '';
  const load = `${Math.round(perSecond)}/s, core ${percent(serverShare)}, p99 ${p99Us} µs`;
  return `  round ${round}  ${subject.padEnd(28)} ${cpuUs.toFixed(2).padStart(8)} µs  ${load}${noise}${again}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
