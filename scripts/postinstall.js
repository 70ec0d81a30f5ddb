/**
 * Runs after every `npm ci` and `npm install` of this package: makes the native core loadable and safe, compiles the built
 * program where there is one, and says how.
 */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { hardenFolder } from './harden-uws.js';
import { relinkFolder } from './relink-uws.js';
import { findPackageFolder, readSystem } from './uws-files.js';

const NODE_MAJOR_MIN = 24;
const COMPILE_MS = 60_000;

/** The program works without it, and starts more slowly. */
function compileProgram() {
  if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN)
    return `not compiled: this is Node ${process.version}`;
  const script = fileURLToPath(new URL('compile.js', import.meta.url));
  const { status, error, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8', timeout: COMPILE_MS });
  if (status === 0) return `compiled for Node ${process.version}`;
  const reason = error?.code ?? /^\w*Error\b.*$/m.exec(stderr)?.[0] ?? stderr.trim();
  return `not compiled, starts take longer: ${reason}`;
}

const folder = findPackageFolder();
const system = readSystem();
for (const step of [relinkFolder, hardenFolder]) console.log(`uWebSockets.js: ${step(folder, system)}`);
if (existsSync(new URL('../dist/main.js', import.meta.url))) console.log(`sallyport: ${compileProgram()}`);
