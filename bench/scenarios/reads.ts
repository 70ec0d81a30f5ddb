import assert from 'node:assert/strict';
import { locatorOf } from '../../src/core/session.ts';
import type { Lab } from '../lib/lab.ts';
import { ratiosOf } from '../lib/rounds.ts';
import { spreadOf } from '../lib/stats.ts';
import { measureInTurn, openServer, SESSIONS } from '../lib/subjects.ts';
import type { Measure, Scenario, Subject } from '../lib/types.ts';
import { cookieRequests, hello } from './verify.ts';

/** Ways to read one session per request; the first is the shipped one (bench/servers/store-read.ts). */
const WAYS: readonly (readonly [way: string, title: string])[] = [
  ['reader', 'own RESP pipeline, one write per loop turn (shipped)'],
  ['get', 'iovalkey get'],
  ['auto', 'iovalkey get, auto-pipelining'],
  ['mget', 'iovalkey mget, one per loop turn'],
];

const SUBJECTS: readonly Subject[] = [
  hello('smallest'),
  ...WAYS.map(
    ([way, title]): Subject => ({ name: `read ${way}`, title, needs: [], open: (lab) => open(lab, way), check }),
  ),
];

/** Store reads: the way that was taken against those that were not. */
export const readsScenario: Scenario = {
  name: 'reads',
  title: 'one store read per request, three headers',
  subjects: SUBJECTS,
  async run(lab, options) {
    const { samples } = await measureInTurn(lab, SUBJECTS, options);
    const measures = WAYS.map(([way]): Measure => {
      const ratios = ratiosOf(samples, `read ${way}`, 'hello smallest', ({ cpuUs }) => cpuUs);
      return { target: '-', what: `read ${way} / hello, CPU`, spread: spreadOf(ratios), unit: '×', limit: undefined };
    });
    return { samples, measures, gaps: [] };
  },
};

async function open(lab: Lab, way: string) {
  const handles = await lab.handles(SESSIONS);
  const redis = lab.redis.connect();
  for (const handle of handles) {
    const locator = locatorOf(handle);
    const hot = await redis.hgetBuffer(`sp:s:{${locator}}`, 'h');
    if (hot === null) throw new Error('a session of the lab is not in the store');
    await redis.set(`raw:${locator}`, hot);
  }
  redis.disconnect();
  const args = [String(lab.redis.port), lab.sealSecret, way];
  return openServer('store-read.ts', args, await cookieRequests(lab, 'smallest'));
}

function check({ status, headers }: { readonly status: number; readonly headers: ReadonlyMap<string, string> }): void {
  assert.equal(status, 200);
  assert.equal(headers.get('x-user-id'), 'u0');
  assert.equal(headers.get('x-user-email'), 'u0@example.com');
  assert.match(headers.get('authorization') ?? '', /^Bearer token-of-u0\./);
}
