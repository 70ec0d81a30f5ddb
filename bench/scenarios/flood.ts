import type { Lab } from '../lib/lab.ts';
import { ratiosOf, runRounds, valuesOf } from '../lib/rounds.ts';
import { median, spreadOf } from '../lib/stats.ts';
import { checkRefused, openVerify } from '../lib/subjects.ts';
import type { Measure, Sample, Scenario, Subject } from '../lib/types.ts';
import { bearerRequest, bearerRequests, checkCaller } from './verify.ts';

/** Distinct ones; what is refused is not remembered, so that each costs anew however often it comes. */
const FORGED = 20_000;
/** So many distinct invalid ones must not slow valid ones down. */
const DEMANDED_PER_SECOND = 10_000;

const valid: Subject = {
  name: 'remembered tokens',
  title: 'verify, cached bearer tokens, between floods',
  needs: [],
  open: async (lab) => openVerify(lab, await bearerRequests(lab), { bearer: true }),
  check: checkCaller,
};

const forged: Subject = {
  name: 'forged tokens',
  title: 'verify, ever new tokens with a wrong signature',
  needs: [],
  open: async (lab) => openVerify(lab, await forgedRequests(lab), { bearer: true }),
  check: checkRefused,
  refuses: true,
};

/** A flood of distinct invalid bearer tokens, at saturation, between measurements of valid ones on the same server. */
export const floodScenario: Scenario = {
  name: 'flood',
  title: 'a flood of forged bearer tokens',
  subjects: [valid, forged],
  async run(lab, options) {
    const open = await valid.open(lab);
    try {
      const flood = { ...open, requestsFile: await forgedRequests(lab) };
      const calm = await runRounds([{ subject: valid, open }], { ...options, rounds: 1 });
      const samples = await runRounds(
        [
          { subject: forged, open: flood },
          { subject: valid, open },
        ],
        options,
      );
      return { samples, measures: measuresOf(samples, calm), gaps: [] };
    } finally {
      await open.close();
    }
  },
};

function measuresOf(samples: readonly Sample[], calm: readonly Sample[]): Measure[] {
  const [before = Number.NaN] = valuesOf(calm, valid.name, ({ cpuUs }) => cpuUs);
  const after = valuesOf(samples, valid.name, ({ cpuUs }) => cpuUs / before);
  const [slowest = Number.NaN] = valuesOf(samples, forged.name, ({ perSecond }) => perSecond).sort((a, b) => a - b);
  const share = median(valuesOf(samples, forged.name, ({ cpuUs }) => cpuUs)) * (DEMANDED_PER_SECOND / 1e6);
  return [
    {
      target: 'P3',
      what: 'a forged token / a remembered one, CPU',
      spread: spreadOf(ratiosOf(samples, forged.name, valid.name, ({ cpuUs }) => cpuUs)),
      unit: '×',
      limit: undefined,
      note: `${Math.round(slowest)} distinct ones a second or more; 10,000 take ${(share * 100).toFixed(0)} % of a core`,
    },
    {
      target: 'P3',
      what: 'a remembered token after a flood / before the first, CPU',
      spread: spreadOf(after),
      unit: '×',
      limit: { kind: 'at most', value: 1.1 },
    },
  ];
}

/** One real token with ever other signatures: in form they are good, so that only a look at the key tells. */
async function forgedRequests(lab: Lab): Promise<string> {
  const token = await lab.provider.accessToken('u0');
  const signed = token.slice(0, token.lastIndexOf('.') + 1);
  const { length } = token.slice(signed.length);
  const texts = Array.from({ length: Math.min(FORGED, lab.sessionsMax * 10) }, (_, number) => {
    const signature = Buffer.from(`forged ${number} `.padEnd(length, '0123456789abcdef'));
    return bearerRequest(signed + signature.toString('base64url').slice(0, length - 1) + token.slice(-1));
  });
  return lab.requests('bearer-forged', texts);
}
