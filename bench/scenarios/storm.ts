import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../lib/lab.ts';
import { saturate } from '../lib/load.ts';
import { whenQuiet } from '../lib/rounds.ts';
import { startSallyport } from '../lib/sallyport.ts';
import { signIn } from '../lib/sign-in.ts';
import { spreadOf } from '../lib/stats.ts';
import type { BenchOptions, Measure, Scenario } from '../lib/types.ts';
import { cookieRequests } from './verify.ts';

const LOGINS_PER_SECOND = 50;

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
      await saturate({ ...plan, seconds: Math.max(1, options.warmUpSeconds) });
      for (let round = 1; round <= options.rounds; round++) {
        await whenQuiet(options);
        const without = await saturate({ ...plan, seconds: options.seconds });
        const storm = startStorm(lab, server.publicPort, options);
        const within = await saturate({ ...plan, seconds: options.seconds });
        const made = await storm.stop();
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

/** Begins a sign-in every 20 ms, whether the last one has finished or not. */
function startStorm(lab: Lab, port: number, { seconds }: BenchOptions): { stop(): Promise<number> } {
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
