import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { bytesPerCall } from '../../bench/lib/alloc.ts';
import { cpuSeconds, machineTime, ownSeconds, residentBytes } from '../../bench/lib/proc.ts';
import { formatTable, judge } from '../../bench/lib/report.ts';
import { realisticHeaders, requestText, smallestHeaders } from '../../bench/lib/requests.ts';
import { bandOf, median, percentile, spreadOf } from '../../bench/lib/stats.ts';
import { drawCpu } from '../../bench/lib/svg.ts';
import { TARGETS } from '../../bench/lib/targets.ts';
import type { Measure, Sample } from '../../bench/lib/types.ts';
import { projectFolder } from '../../scripts/parts.js';

const AT_MOST: Measure = {
  target: 'P1',
  what: 'x',
  spread: { value: 1.5, low: 1.4, high: 1.8 },
  unit: '×',
  limit: { kind: 'at most', value: 1.6 },
};

describe('judging', () => {
  test('a value within its target is ok, on either side', () => {
    assert.equal(judge(AT_MOST), 'ok');
    assert.equal(judge({ ...AT_MOST, limit: { kind: 'at least', value: 1.5 } }), 'ok');
  });
  test('a value beyond it by less than the noise band is no miss yet', () => {
    assert.equal(judge({ ...AT_MOST, limit: { kind: 'at most', value: 1.4 } }), 'near');
    assert.equal(judge({ ...AT_MOST, limit: { kind: 'at least', value: 1.6 } }), 'near');
  });
  test('a value beyond it by more is a miss, and so is no number at all', () => {
    assert.equal(judge({ ...AT_MOST, limit: { kind: 'at most', value: 1.2 } }), 'miss');
    assert.equal(judge({ ...AT_MOST, limit: { kind: 'at least', value: 1.8 } }), 'miss');
    assert.equal(judge({ ...AT_MOST, spread: { value: Number.NaN, low: 1, high: 1 } }), 'miss');
  });
  test('without a target it is only shown', () => assert.equal(judge({ ...AT_MOST, limit: undefined }), 'shown'));
});

describe('the table', () => {
  test('has a row for every target, measured or not', () => {
    const gaps = [{ target: 'P2', reason: 'no part' }];
    const table = formatTable([{ samples: [], measures: [AT_MOST], gaps }]);
    for (const { id } of TARGETS) assert.match(table, new RegExp(`^\\| ${id} \\|`, 'm'));
    assert.match(table, /^\| P1 \| x \| ≤ 1\.60 × \| 1\.50 × \| ± 0\.20 \| ok \|$/m);
    assert.match(table, /^\| P2 \|.*not measured: no part \|$/m);
    assert.match(table, /^\| P3 \|.*its scenario was not run \|$/m);
  });
});

describe('the numbers', () => {
  test('medians, percentiles and bands', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
    assert.equal(percentile([5, 1, 4, 2, 3], 0.99), 5);
    assert.equal(percentile([5, 1, 4, 2, 3], 0.5), 3);
    assert.equal(bandOf(spreadOf([1, 2, 4])), 1.5);
    assert.throws(() => median([]), RangeError);
  });
  test('processor time grows with work and is that of the named process and its children', () => {
    const before = { own: cpuSeconds([process.pid]), tree: ownSeconds(), machine: machineTime() };
    const child = 'const end = process.cpuUsage().user + 3e5; while (process.cpuUsage().user < end);';
    assert.equal(spawnSync(process.execPath, ['-e', child]).status, 0);
    assert.ok(ownSeconds() - before.tree >= 0.25, 'an ended child counts for its parent');
    assert.ok(cpuSeconds([process.pid]) - before.own < 0.25, 'and not as running');
    assert.ok(machineTime().busy > before.machine.busy);
    assert.equal(cpuSeconds([2 ** 22 + 1]), 0);
  });
  test('resident memory is that of the process', () => {
    const share = residentBytes([process.pid]) / process.memoryUsage.rss();
    assert.ok(share > 0.8 && share < 1.5, String(share));
  });
  test('allocated bytes of a call are told apart from none', () => {
    let sink: unknown;
    const object = bytesPerCall(() => {
      sink = { a: 1, b: 2, c: 3, d: 4 };
    });
    assert.ok(object >= 24 && object < 200, String(object));
    assert.ok(bytesPerCall(() => sink === undefined) < 4);
  });
});

describe('the requests', () => {
  test('a realistic one has 25 headers, the smallest one those that verify needs', () => {
    const count = (text: string): number => text.split('\r\n').length - 3;
    const cookie = 'bff_session=x';
    assert.equal(count(requestText('/auth/verify', realisticHeaders({ cookie }))), 25);
    assert.equal(count(requestText('/auth/verify', smallestHeaders({ cookie }))), 6);
  });
});

describe('the picture', () => {
  test('names each subject once, with its median', () => {
    const sample: Sample = {
      subject: 'a <b>',
      round: 1,
      requests: 1,
      perSecond: 1,
      cpuUs: 8,
      serverShare: 1,
      p50Us: 1,
      p99Us: 1,
      foreignShare: 0,
      stealShare: 0,
      repeats: 0,
    };
    const svg = drawCpu('title', [sample, { ...sample, round: 2, cpuUs: 10 }]);
    assert.equal(svg.split('a &lt;b>').length, 2);
    assert.match(svg, />9\.0</);
    assert.equal(drawCpu('title', []), '');
  });
});

describe('the command', () => {
  test('says what there is when it is asked for something else', () => {
    for (const args of [['none'], ['--rounds', '0'], ['--seconds', 'x'], ['--other']]) {
      const { status, stderr } = spawnSync(process.execPath, ['scripts/bench.ts', ...args], {
        cwd: projectFolder,
        encoding: 'utf8',
      });
      assert.equal(status, 2, args.join(' '));
      assert.match(stderr, /^usage: npm run bench/m);
      assert.match(stderr, /verify, peers/);
    }
  });
});
