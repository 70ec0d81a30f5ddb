import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { MICRO_BENCHES } from '../../bench/micro.ts';
import { projectFolder } from '../../scripts/parts.js';

const HOT_LINE = /^\/\/ hot: bench\/([a-z0-9/-]+)\.ts\b/;

describe('the bench of a hot file', () => {
  const named = globSync('src/**/*.ts', { cwd: projectFolder }).flatMap((path) => {
    const [, bench] = HOT_LINE.exec(readFileSync(join(projectFolder, path), 'utf8')) ?? [];
    return bench === undefined ? [] : [{ path, bench }];
  });
  const names = MICRO_BENCHES.map(({ name }) => name).sort();

  test('exists for every file that names one, and for no other', () => {
    assert.deepEqual([...new Set(named.map(({ bench }) => bench))].sort(), names);
    for (const name of names) readFileSync(join(projectFolder, 'bench', `${name}.ts`));
  });

  for (const bench of MICRO_BENCHES) {
    test(`${bench.name}: every way gives the result of the shipped one`, async (t) => {
      for (const { name, ways, calls, close } of await bench.createGroups()) {
        if (close !== undefined) t.after(close);
        const [[, shipped] = [], ...others] = Object.entries(ways);
        const expected = await shipped?.();
        assert.equal(Array.isArray(expected) ? expected.length : calls, calls, name);
        assert.ok(expected !== undefined && others.length > 0, name);
        for (const [way, run] of others) assert.deepEqual(await run(), expected, `${name}: ${way}`);
      }
    });
  }
});
