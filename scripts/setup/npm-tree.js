/** Brings node_modules to what package-lock.json says, with the pinned Node among it. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { getRow, machineName, projectFolder } from '../parts.js';
import { runInstaller, say } from './run.js';

const NPM_TIMEOUT_MS = 15 * 60_000;

/**
 * Runs `npm ci` unless node_modules is already what the lock file says.
 *
 * @param {boolean} withDev false: packages for development may be absent
 * @returns {Promise<string | undefined>} what is wrong, when it cannot be had
 */
export async function ensureNpmTree(withDev, folder = projectFolder) {
  const stale = findTreeProblem(withDev, folder);
  if (stale === undefined) return undefined;
  say(`npm packages: ${stale}; running npm ci`);
  const [command, ...args] = npmCommand();
  const flags = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const problem = await runInstaller(command, [...args, ...flags], {
    label: 'npm ci',
    timeoutMs: NPM_TIMEOUT_MS,
    echo: /^uWebSockets\.js: /,
    cwd: folder,
    env: { PATH: pathWithoutProject(folder) },
  });
  if (problem !== undefined) return `${problem}. Check the network and the npm registry, then run: npm ci`;
  return checkPinnedNode(folder);
}

/** Says in what node_modules differs from the lock file; undefined when it does not. */
export function findTreeProblem(withDev, folder = projectFolder) {
  const stale = findStaleness(readLock(folder), readInstalled(folder), withDev);
  if (stale !== undefined) return stale;
  return withDev && !existsSync(pinnedNode(folder)) ? 'the pinned Node is missing' : undefined;
}

/**
 * Compares the lock file with npm's own record of what is installed, so that a plain `npm install` counts too.
 *
 * @param {Record<string, object>} lock `packages` of package-lock.json
 * @param {Record<string, object> | undefined} installed `packages` of node_modules/.package-lock.json
 * @returns {string | undefined} the first difference in words, or undefined when node_modules is up to date
 */
export function findStaleness(lock, installed, withDev) {
  if (installed === undefined) return 'not installed yet';
  for (const [path, entry] of Object.entries(lock)) {
    if (path === '' || (!withDev && (entry.dev || entry.devOptional))) continue;
    const found = installed[path];
    if (found === undefined && entry.optional) continue;
    if (found?.version !== entry.version || found?.integrity !== entry.integrity) return `${path} is not as locked`;
  }
  const extra = Object.keys(installed).find((path) => lock[path] === undefined);
  return extra === undefined ? undefined : `${extra} is not in the lock file`;
}

function readLock(folder) {
  return JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
}

function readInstalled(folder) {
  const path = join(folder, 'node_modules/.package-lock.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : undefined;
}

function pinnedNode(folder) {
  return join(folder, 'node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

/** The lock file does not cover this binary: the package `node` fetches it with an npm call of its own. */
function checkPinnedNode(folder) {
  const { version, sha256 } = getRow('node');
  const path = pinnedNode(folder);
  if (!existsSync(path)) {
    return `Node ${version} was not installed with the package "node": install scripts may be off. Run: npm ci --ignore-scripts=false`;
  }
  const expected = sha256[machineName()];
  const actual = createHash('sha256').update(readFileSync(path)).digest('hex');
  if (expected !== undefined && actual !== expected) return `${path} has SHA-256 ${actual}, expected ${expected}`;
  const found = spawnSync(path, ['--version'], { encoding: 'utf8' });
  return found.stdout?.trim() === `v${version}` ? undefined : `${path} does not run: ${found.error ?? found.stderr}`;
}

/** The npm that called us, run by its own Node: the one in node_modules is about to be replaced. */
function npmCommand() {
  const { npm_execpath: npm, npm_node_execpath: node } = process.env;
  return npm?.endsWith('.js') && node !== undefined && existsSync(node) ? [node, npm] : ['npm'];
}

function pathWithoutProject(folder) {
  const own = join(folder, 'node_modules');
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !entry.startsWith(own))
    .join(delimiter);
}
