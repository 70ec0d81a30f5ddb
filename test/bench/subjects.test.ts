// Each subject of `npm run bench` answers its first request as it must; nothing is timed here.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Lab, openLab } from '../../bench/lib/lab.ts';
import { askOnce } from '../../bench/lib/once.ts';
import { SCENARIOS } from '../../bench/scenarios/all.ts';
import { requirePart, skipWithout } from '../support/parts.ts';

const TIMEOUT_MS = 120_000;

describe('a subject of the benches', { skip: skipWithout('redis-server') }, () => {
  let lab: Lab;
  before(async () => {
    lab = await openLab({ sessionsMax: 5 });
  });
  after(() => lab.close());

  const all = SCENARIOS.flatMap(({ subjects }) => subjects);
  const subjects = [...new Map(all.map((subject) => [subject.name, subject])).values()];

  test('has a name of its own', () => {
    for (const subject of all) {
      const [first] = all.filter(({ name }) => name === subject.name);
      assert.equal(first?.title, subject.title);
    }
  });

  for (const subject of subjects) {
    test(`${subject.name}: ${subject.title}`, { timeout: TIMEOUT_MS }, async (t) => {
      if (subject.needs.some((part) => requirePart(t, part) === undefined)) return;
      const open = await subject.open(lab);
      try {
        const [request = ''] = readFileSync(open.requestsFile, 'latin1').split('\n%%\n', 1);
        subject.check(await askOnce(open.port, request));
      } finally {
        await open.close();
      }
    });
  }
});
