import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../lib/lab.ts';
import { type LoadPlan, type LoadResult, saturate } from '../lib/load.ts';
import { whenQuiet } from '../lib/rounds.ts';
import { type Sallyport, startSallyport } from '../lib/sallyport.ts';
import { signIn } from '../lib/sign-in.ts';
import { spreadOf } from '../lib/stats.ts';
import type { Measure, Scenario } from '../lib/types.ts';
import { cookieRequests } from './verify.ts';

const LOGINS_PER_SECOND = 50;
/** Of this process while it plays provider and browsers; the generator keeps what it was started with. */
const STORM_NICENESS = 10;

/** P12: whole sign-ins beside full verify load. */
export const stormScenario: Scenario = {
  name: 'storm',
  title: 'verify under a login storm',
  subjects: [],
  async run(lab, options) {
    const requestsFile = await cookieRequests(lab, 'smallest');
    const server = await startSallyport(lab);
    const calm: number[] = [];
    const stormy: number[] = [];
    let logins = 0;
    const plan = { port: server.verifyPort, requestsFile, connections: options.connections };
    try {
      // Sign-ins are warmed up like everything else: their code, too, is compiled as it is used.
      await saturateInStorm(lab, server, { ...plan, seconds: Math.max(1, options.warmUpSeconds) });
      for (let round = 1; round <= options.rounds; round++) {
        await whenQuiet(options);
        const without = await saturate({ ...plan, seconds: options.seconds });
        const { within, made } = await saturateInStorm(lab, server, { ...plan, seconds: options.seconds });
        if (without.failed + without.badStatus + within.failed + within.badStatus > 0)
          throw new Error('a verify failed');
        calm.push(without.p99Us);
        stormy.push(within.p99Us);
        logins += made;
        options.say(`  round ${round}  p99 ${without.p99Us} µs, with ${made} sign-ins ${within.p99Us} µs`);
      }
    } finally {
      await server.stop();
    }
    const perSecond = logins / (options.rounds * options.seconds);
    return { samples: [], measures: [measureOf(calm, stormy, perSecond)], gaps: [] };
  },
};

async function saturateInStorm(
  lab: Lab,
  server: Sallyport,
  plan: LoadPlan,
): Promise<{ readonly within: LoadResult; readonly made: number }> {
  const load = saturate(plan);
  const restore = yieldCore();
  const storm = startStorm(lab, server.publicPort, plan.seconds);
  const within = await load;
  const made = await storm.stop();
  restore();
  return { within, made };
}

function measureOf(calm: readonly number[], stormy: readonly number[], perSecond: number): Measure {
  return {
    target: 'P12',
    what: 'p99 of verify at saturation with sign-ins / without',
    spread: spreadOf(stormy.map((value, at) => value / (calm[at] ?? Number.NaN))),
    unit: '×',
    limit: { kind: 'at most', value: 2 },
    note: `${perSecond.toFixed(0)} sign-ins a second were finished`,
  };
}

/**
 * Provider, browsers and the generator of verify requests share a core: when one of the former is at work the generator
 * reads its answers later, and calls that latency. So they take what it leaves them.
 * @returns back to where it was; who may not do that measures the later rounds like this.
 */
function yieldCore(): () => void {
  const before = getPriority();
  setPriorities(STORM_NICENESS);
  return () => {
    try {
      setPriorities(before);
    } catch {
      // Programs that are started from now on are as nice as this one, so they compete as before.
    }
  };
}

/** Each thread has its own: signatures are made in those of the pool. */
function setPriorities(niceness: number): void {
  for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), niceness);
}

/** Begins a sign-in every 20 ms, whether the last one has finished or not. */
function startStorm(lab: Lab, port: number, seconds: number): { stop(): Promise<number> } {
  const running = new Set<Promise<void>>();
  let made = 0;
  let number = 0;
  let failure: unknown;
  const timer = setInterval(() => {
    number += 1;
    const login = signIn(lab.provider, port, `storm${number % 1_000}`).then(
      () => {
        made += 1;
      },
      (error: unknown) => {
        failure ??= error;
      },
    );
    running.add(login);
    void login.finally(() => running.delete(login));
  }, 1_000 / LOGINS_PER_SECOND);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.race([Promise.all(running), sleep(seconds * 1_000, undefined, { ref: false })]);
      if (failure !== undefined) throw failure;
      return made;
    },
  };
}
