import { openLab } from '../lib/lab.ts';
import { saturate } from '../lib/load.ts';
import { ratiosOf } from '../lib/rounds.ts';
import { spreadOf } from '../lib/stats.ts';
import { checkAllowed, measureInTurn, openVerify } from '../lib/subjects.ts';
import type { BenchOptions, Measure, OpenSubject, Scenario, Subject } from '../lib/types.ts';
import { cookieRequests, L1_OFF } from './verify.ts';

const FEW = 1_000;
const FILLER_BYTES = 1_600;

function sized(name: string, title: string, open: Subject['open']): Subject {
  return { name, title, needs: [], open, check: checkAllowed };
}

/** Every session is kept before anything counts. */
function kept(count: number): Subject {
  return sized(`verify L1 of ${count}`, `verify, ${count} sessions in turn, all in L1`, async (lab) => {
    const requestsFile = await cookieRequests(lab, 'smallest', count);
    const l1 = { max_entries: count + FEW, max_bytes: '2GiB' };
    const open = await openVerify(lab, requestsFile, {
      settings: { store: { kind: 'redis', redis: { url: lab.redis.url }, l1 } },
    });
    // The generator begins with the first request on each run: one long run goes through all of them.
    if (count > FEW) await saturate({ port: open.port, requestsFile, connections: 64, seconds: 15 });
    return open;
  });
}

/** The same 1,000 sessions asked for, in a store with many other keys. */
function stored(keys: number): Subject {
  return sized(`verify store of ${keys}`, `verify, L1 off, ${keys} keys in the store`, async (lab) => {
    const own = await openLab({ sealSecret: lab.sealSecret, sessionsMax: lab.sessionsMax });
    try {
      const requestsFile = await cookieRequests(own, 'smallest', FEW);
      if (keys > FEW) {
        const redis = own.redis.connect();
        await redis.call('DEBUG', 'POPULATE', String(keys - FEW), 'sp:s:filler', String(FILLER_BYTES));
        redis.disconnect();
      }
      const open = await openVerify(own, requestsFile, { settings: { store: L1_OFF(own) } });
      return { ...open, close: () => open.close().then(own.close) };
    } catch (error) {
      await own.close();
      throw error;
    }
  });
}

function routed(count: number): Subject {
  return sized(`verify ${count} routes`, `verify, L1 hit, ${count} routes`, async (lab): Promise<OpenSubject> => {
    const routes = Array.from({ length: count - 1 }, (_, at) => ({
      id: `r${at}`,
      paths: [`/team-${at % 40}/app-${at}/*`],
    }));
    const asked = { id: 'asked', paths: ['/dashboard/*'], roles: ['reports'] };
    return openVerify(lab, await cookieRequests(lab, 'smallest'), { routes: { routes: [...routes, asked] } });
  });
}

/** A test must not take as long as a measurement. */
const SMALL: readonly Subject[] = [kept(FEW), stored(FEW), routed(10)];

/** P18 and P19: more sessions, more keys, more routes. */
export const growthScenario: Scenario = {
  name: 'growth',
  title: 'growth with sessions and routes',
  subjects: SMALL,
  async run(lab, options) {
    const large = sizesOf(options);
    const subjects = [kept(FEW), kept(large.kept), stored(FEW), stored(large.stored), routed(10), routed(1_000)];
    const { samples } = await measureInTurn(lab, subjects, options);
    const ratio = (target: string, above: string, below: string, note?: string): Measure => ({
      target,
      what: `${above} / ${below}, CPU`,
      spread: spreadOf(ratiosOf(samples, above, below, ({ cpuUs }) => cpuUs)),
      unit: '×',
      limit: { kind: 'at most', value: 1.15 },
      ...(note === undefined ? {} : { note }),
    });
    const measures = [
      ratio('P18', `verify L1 of ${large.kept}`, `verify L1 of ${FEW}`),
      ratio('P18', `verify store of ${large.stored}`, `verify store of ${FEW}`, `${FEW} sessions asked for`),
      ratio('P19', 'verify 1000 routes', 'verify 10 routes'),
    ];
    return { samples, measures, gaps: [] };
  },
};

function sizesOf({ quick }: BenchOptions): { readonly kept: number; readonly stored: number } {
  return quick ? { kept: 3_000, stored: 20_000 } : { kept: 100_000, stored: 1_000_000 };
}
