/**
 * The parts from outside that tests need (scripts/parts.json), asked for in one way: a test that cannot have its part
 * is skipped with one line that names it, or fails when CI=true. `npm test` ends with a table of what was used.
 */

import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { TestContext } from 'node:test';
import { describeRemedy, findPart, projectFolder } from '../../scripts/parts.js';

/** Name of the environment variable that holds the file where uses are noted; scripts/test.ts sets it. */
export const PARTS_LOG_VARIABLE = 'SALLYPORT_PARTS_LOG';

/** One line of that file, as JSON. */
export interface PartUse {
  readonly part: string;
  readonly outcome: 'used' | 'skipped';
  /** Test file, below the project. */
  readonly file: string;
}

/**
 * For the option `skip` of a test or suite: false when all parts are there, otherwise the line that says what is missing.
 *
 * @throws {Error} instead, when CI=true: there nothing may be skipped
 */
export function skipWithout(...names: readonly string[]): string | false {
  const missing = names.filter((name) => findPart(name) === undefined);
  if (missing.length === 0) {
    for (const part of names) note(part, 'used');
    return false;
  }
  const line = missing.map((name) => `needs ${name}; get it with: ${describeRemedy(name)}`).join('; ');
  if (process.env['CI'] === 'true') throw new Error(`${line} (CI=true: no test may be skipped)`);
  for (const part of missing) note(part, 'skipped');
  return line;
}

/**
 * Returns the path of the part `name`, or marks the running test as skipped and returns undefined: the test then returns.
 *
 * @throws {Error} when it is missing and CI=true
 */
export function requirePart(t: TestContext, name: string): string | undefined {
  const reason = skipWithout(name);
  if (reason !== false) t.skip(reason);
  return findPart(name);
}

/**
 * Returns the path of the part `name`, for set-up code behind `skipWithout`.
 *
 * @throws {Error} when it is missing
 */
export function getPart(name: string): string {
  const path = findPart(name);
  if (path === undefined) throw new Error(`needs ${name}; get it with: ${describeRemedy(name)}`);
  return path;
}

function note(part: string, outcome: PartUse['outcome']): void {
  const log = process.env[PARTS_LOG_VARIABLE];
  if (log === undefined) return;
  const use: PartUse = { part, outcome, file: relative(projectFolder, process.argv[1] ?? '') };
  appendFileSync(log, `${JSON.stringify(use)}\n`);
}
