/** Builds a program from its Go module into .parts/; Go checks what it downloads against its checksum database. */

import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findOnPath, findPart, projectFolder } from '../parts.js';
import { runInstaller, say } from './run.js';

const BUILD_TIMEOUT_MS = 10 * 60_000;

/**
 * Builds the program of `row` unless it is already there.
 *
 * @param {object} row a row of parts.json of kind `go`
 * @returns {Promise<string | undefined>} why it could not be had
 */
export async function ensureGoProgram(row) {
  if (findPart(row.name) !== undefined) return undefined;
  const go = findOnPath(['go']);
  if (go === undefined) return 'Go is not installed';
  say(`${row.name} ${row.version}: building ${row.package}`);
  const folder = dirname(join(projectFolder, row.file));
  mkdirSync(folder, { recursive: true });
  const options = { label: `go install ${row.package}`, timeoutMs: BUILD_TIMEOUT_MS, env: { GOBIN: folder } };
  return runInstaller(go, ['install', row.member], options);
}
