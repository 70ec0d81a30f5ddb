import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findGlobalFetch, findSlowCode, findWrongHotMarks } from './call-rules.ts';
import {
  findDefaultExports,
  findLongParts,
  findModuleVariables,
  findUndocumentedExports,
} from './declaration-rules.ts';
import { findBarrels, findCycles, findMisplacedPackages, findWrongDirections } from './import-rules.ts';
import { readSources, type Source } from './source.ts';

const product = readSources('src/**/*.ts');
const tools = readSources('{bin,scripts,bench}/**/*.{ts,js}');
const tests = readSources('test/**/*.ts');

function check(name: string, rule: (sources: readonly Source[]) => string[], sources: readonly Source[]): void {
  test(name, () => {
    const problems = rule(sources);
    if (problems.length > 0) assert.fail(problems.join('\n'));
  });
}

describe('the project', () => {
  test('has files to look at', () => assert.ok(product.length > 0 && tools.length > 0 && tests.length > 0));
  check('imports in one direction: core below flows and proxy, main on top', findWrongDirections, product);
  check('keeps each protocol package in its one place', findMisplacedPackages, product);
  check('has no import cycles', findCycles, product);
  check('has no barrels', findBarrels, product);
  check('has no default exports', findDefaultExports, [...product, ...tools, ...tests]);
  check('documents every exported symbol', findUndocumentedExports, product);
  check('has no module-level variables', findModuleVariables, product);
  check('keeps files and functions short', findLongParts, [...product, ...tools]);
  check('marks its hot files, each with its bench', findWrongHotMarks, product);
  check('keeps hot files synchronous and free of slow code', findSlowCode, product);
  check('never uses the global fetch', findGlobalFetch, product);
});
