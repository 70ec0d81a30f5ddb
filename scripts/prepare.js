/**
 * `node scripts/prepare.js start|demo|quick|test|bench`: installs what that command lacks, and nothing twice.
 *
 * Runs before the npm scripts (`pre…` in package.json), on any Node from 18 on, without dependencies. Silent when
 * nothing is missing. What cannot be installed is named with the reason and the command that helps; the tests that need
 * it are then skipped. With CI=true a missing part is a failure.
 */

import { join } from 'node:path';
import { describeRemedy, findPart, parts, projectFolder } from './parts.js';
import { installDebianPackages } from './setup/apt.js';
import { ensureGoProgram } from './setup/go.js';
import { takeLock } from './setup/lock.js';
import { ensureMavenServer } from './setup/maven.js';
import { ensureNpmTree, findTreeProblem } from './setup/npm-tree.js';
import { say } from './setup/run.js';
import { ensureWheelProgram } from './setup/wheel.js';

const GOALS = ['start', 'demo', 'quick', 'test', 'bench'];
const NODE_MAJOR_MIN = 24;

async function prepare(goal) {
  // A deployment runs on its own Node and without the packages for development.
  const withDev = goal !== 'start' || Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN;
  if (isComplete(goal, withDev)) return 0;
  await takeLock(join(projectFolder, '.parts'));
  const broken = await ensureNpmTree(withDev);
  if (broken !== undefined) {
    say(broken);
    return 1;
  }
  const missing = [...(await prepareDebianParts(goal)), ...(await preparePrograms(goal))];
  for (const line of missing) say(line);
  const mayBeMissing = goal === 'demo' || goal === 'bench' || process.env.CI !== 'true';
  if (missing.length > 0 && goal === 'test')
    say(mayBeMissing ? 'tests that need them are skipped' : 'CI=true: none may be missing');
  return missing.length === 0 || mayBeMissing ? 0 : 1;
}

/** Reads only, so that it also works where nothing may be written. */
function isComplete(goal, withDev) {
  const others = parts.filter((part) => part.kind !== 'npm' && part.goals.includes(goal));
  return findTreeProblem(withDev) === undefined && others.every((part) => findPart(part.name) !== undefined);
}

async function prepareDebianParts(goal) {
  const wanted = parts.filter((part) => part.kind === 'apt' && part.goals.includes(goal));
  const absent = wanted.filter((part) => findPart(part.name) === undefined);
  if (absent.length === 0) return [];
  const problem = await installDebianPackages(absent.map((part) => part.package));
  const still = absent.filter((part) => findPart(part.name) === undefined).map((part) => part.name);
  return still.length === 0
    ? []
    : [`missing: ${still.join(', ')}: ${problem ?? 'not on the PATH after the installation'}`];
}

async function preparePrograms(goal) {
  const missing = [];
  for (const part of parts) {
    const ensure = { pypi: ensureWheelProgram, go: ensureGoProgram, maven: ensureMavenServer }[part.kind];
    if (ensure === undefined || !part.goals.includes(goal)) continue;
    const problem = await ensure(part);
    const then = goal === 'demo' ? '; the demo goes on without it' : `; by hand: ${describeRemedy(part.name)}`;
    if (problem !== undefined) missing.push(`missing: ${part.name}: ${problem}${then}`);
  }
  return missing;
}

const goal = process.argv[2] ?? '';
if (!GOALS.includes(goal)) {
  console.error(`usage: node scripts/prepare.js ${GOALS.join('|')}`);
  process.exitCode = 64;
} else {
  process.exitCode = await prepare(goal);
}
