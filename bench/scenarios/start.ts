import { setTimeout as sleep } from 'node:timers/promises';
import { askOnce } from '../lib/once.ts';
import { buildPackage } from '../lib/package.ts';
import { isListening } from '../lib/process.ts';
import { requestText, smallestHeaders } from '../lib/requests.ts';
import { whenQuiet } from '../lib/rounds.ts';
import { runSallyport, writeConfiguration } from '../lib/sallyport.ts';
import { spreadOf } from '../lib/stats.ts';
import type { Scenario } from '../lib/types.ts';
import { VERIFY_PATH } from './verify.ts';

const START_MAX_MS = 20_000;
const LOOK_MS = 2;

/** P14: from the start of the process to its first answer. */
export const startScenario: Scenario = {
  name: 'start',
  title: 'start to first answer',
  subjects: [],
  async run(lab, options) {
    const times: number[] = [];
    const program = buildPackage(lab);
    const request = requestText(VERIFY_PATH, smallestHeaders({}));
    for (let round = 1; round <= options.rounds; round++) {
      await whenQuiet(options);
      const { folder, verifyPort } = await writeConfiguration(lab, {});
      const startedAt = performance.now();
      const running = runSallyport(folder, { program });
      try {
        await firstAnswer(verifyPort, request);
        times.push(performance.now() - startedAt);
      } finally {
        await running.stop();
      }
      options.say(`  round ${round}  ${(times.at(-1) ?? 0).toFixed(0)} ms`);
    }
    const limit = { kind: 'at most', value: 400 } as const;
    const what = 'start of the built package to its first 401';
    return { samples: [], measures: [{ target: 'P14', what, spread: spreadOf(times), unit: 'ms', limit }], gaps: [] };
  },
};

async function firstAnswer(port: number, request: string): Promise<void> {
  for (const end = performance.now() + START_MAX_MS; performance.now() < end; await sleep(LOOK_MS)) {
    if (!isListening(port)) continue;
    const { status } = await askOnce(port, request);
    if (status !== 401) throw new Error(`the first answer was ${status}`);
    return;
  }
  throw new Error('no answer within 20 s');
}
