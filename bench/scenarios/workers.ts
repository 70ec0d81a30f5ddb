import type { Lab } from '../lib/lab.ts';
import { LOAD_CORE, SERVER_CORE } from '../lib/process.ts';
import { ratiosOf } from '../lib/rounds.ts';
import { spreadOf } from '../lib/stats.ts';
import { checkAllowed, measureInTurn, openVerify } from '../lib/subjects.ts';
import type { OpenSubject, Scenario, Subject } from '../lib/types.ts';
import { cookieRequests } from './verify.ts';

const BOTH_CORES = `${SERVER_CORE},${LOAD_CORE}`;

function workers(count: number): Subject {
  return {
    name: `verify ${count} worker${count === 1 ? '' : 's'}`,
    title: `verify, L1 hit, workers: ${count}, on both cores`,
    needs: [],
    open: (lab) => open(lab, count),
    check: checkAllowed,
  };
}

async function open(lab: Lab, count: number): Promise<OpenSubject> {
  const requestsFile = await cookieRequests(lab, 'smallest');
  return openVerify(lab, requestsFile, { settings: { workers: count }, core: BOTH_CORES });
}

const SUBJECTS: readonly Subject[] = [workers(1), workers(2)];

/** P15: what a second worker costs the first. */
export const workersScenario: Scenario = {
  name: 'workers',
  title: 'one worker and two, on both cores',
  subjects: SUBJECTS,
  async run(lab, options) {
    const { samples } = await measureInTurn(lab, SUBJECTS, options);
    const ratios = ratiosOf(samples, 'verify 2 workers', 'verify 1 worker', ({ cpuUs }) => cpuUs);
    const limit = { kind: 'at most', value: 1.05 } as const;
    const what = 'two workers / one, CPU per request';
    const note = 'the generator shares the two cores with them';
    return { samples, measures: [{ target: 'P15', what, spread: spreadOf(ratios), unit: '×', limit, note }], gaps: [] };
  },
};
