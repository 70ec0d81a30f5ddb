/**
 * Lets the uWebSockets.js binary load on a glibc older than 2.38 (down to 2.36, Debian 12).
 *
 * Only files listed below by SHA-256 are touched, and only if the result has the SHA-256 listed for it; each is replaced
 * in one step. Everywhere else (newer glibc, musl, other systems, unknown files) nothing changes. One line says what
 * was done. Plain JavaScript without dependencies, for any Node from 18 on.
 */

import { createHash } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { relinkForOlderGlibc } from './relink-elf.js';

/** File name, SHA-256 as published in @btc-vision/uwebsockets.js 20.57.0, SHA-256 after relinking. */
const KNOWN_FILES = [
  [
    'uws_linux_x64_115.node',
    '5b126ee00bf754b02e97e4c27090365a8562c5820c93f93918ac2212d4503e91',
    'd1156432c696075e653325e7d7a784796db200923221e1e4a36293d15d724e32',
  ],
  [
    'uws_linux_x64_127.node',
    '4b55b1f2cb7a7913febbb65a89496412b96af77e838552980092ba6b33723aac',
    'f1608f301188933e79a50cf7d219a30ee83814aaba5e400e37c10eb9be7958db',
  ],
  [
    'uws_linux_x64_137.node',
    '98128405dba2fb608448e921a979530f70c946a2cc9889c15f2fa70c2d00ab05',
    '337e7312c83b0df8accbe2446055c1e663ef14824712a055dfb8c34852cd8d69',
  ],
  [
    'uws_linux_x64_141.node',
    '813d788b347c6fd76b779d8932311ec05a044e612b4b83af220f16e6ea789683',
    '66513ca63ef5fe6c0534f58cee955fcb272d49194dda12a806c2c1ccfb9b636d',
  ],
  [
    'uws_linux_arm64_115.node',
    '6bdbc8ff976b4371af1906175e9025804bacc38a414969f4f02314e6b99f206c',
    'c2d1ed56dd649fa070edc7f40ab7f001220b779a25ccf74b4668956815add011',
  ],
  [
    'uws_linux_arm64_127.node',
    '82b79bd18d1e3563de336156005bd01b7f39fc387b65173d69a29da4ee79f895',
    '2c554a4acaef582e6cff58bbe9d555749d492153167e06c38721e39fd4f467ae',
  ],
  [
    'uws_linux_arm64_137.node',
    '88618b30ddf6b2b62310db89f40a701616676352aac5e0f6184dd8ef876199ce',
    'c52f98e37763f821adfd7a24445de06c5941db0bb99b92fd2ac06d5f65cd50f8',
  ],
  [
    'uws_linux_arm64_141.node',
    '81d0186dd1549ed6a7f47e68e323573fc27d69d2920527654ce2dd993af2b0ec',
    'ca84857b2027db75652dfed569fdac54439f5ba932e91de17ad04f895ec631e0',
  ],
];

const GLIBC_NATIVE = '2.38';
const GLIBC_OLDEST = '2.36';

/**
 * Relinks the binaries of `folder` that belong to `system`, where that is needed and known to work.
 *
 * @param {string} folder the installed uWebSockets.js package
 * @param {{platform: string, arch: string, glibc: string | undefined}} system `glibc` is undefined on musl and elsewhere
 * @param {readonly (readonly string[])[]} knownFiles rows of file name, SHA-256 before, SHA-256 after
 * @returns {string} one line that says what was done, without the name of the product
 * @throws {Error} when a file cannot be read or written, or relinks to something unexpected; that file is then unchanged
 */
export function relinkFolder(folder, system, knownFiles = KNOWN_FILES) {
  if (system.platform !== 'linux' || system.glibc === undefined) return 'no relink needed: not a glibc system';
  if (!isOlder(system.glibc, GLIBC_NATIVE)) return `no relink needed: glibc ${system.glibc}`;
  if (isOlder(system.glibc, GLIBC_OLDEST)) {
    return `not relinked: glibc ${system.glibc} is too old, ${GLIBC_OLDEST} or newer is needed`;
  }
  const prefix = `uws_linux_${system.arch}_`;
  const files = readdirSync(folder).filter((name) => name.startsWith(prefix) && name.endsWith('.node'));
  if (files.length === 0) return `not relinked: no binary for linux ${system.arch} in the package`;
  const done = { relinked: [], already: [], unknown: [] };
  for (const name of files.sort()) done[relinkFile(join(folder, name), name, knownFiles)].push(name);
  return describe(done, system.glibc);
}

function relinkFile(path, name, knownFiles) {
  const input = readFileSync(path);
  const digest = sha256(input);
  if (knownFiles.some(([known, , after]) => known === name && after === digest)) return 'already';
  const row = knownFiles.find(([known, before]) => known === name && before === digest);
  if (row === undefined) return 'unknown';
  const output = relinkForOlderGlibc(input);
  if (sha256(output) !== row[2]) throw new Error(`${name} relinks to SHA-256 ${sha256(output)}, expected ${row[2]}`);
  replaceFile(path, output);
  return 'relinked';
}

/** A process that loads the file meanwhile sees the old bytes or the new ones, never a mixture. */
function replaceFile(path, bytes) {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, bytes, { flag: 'wx' });
    chmodSync(temporary, statSync(path).mode);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function describe({ relinked, already, unknown }, glibc) {
  const parts = [];
  if (relinked.length > 0) parts.push(`relinked ${relinked.length} binaries for glibc ${glibc}`);
  if (already.length > 0) parts.push(`${already.length} binaries already relinked for glibc ${glibc}`);
  if (unknown.length > 0) parts.push(`left alone, unknown SHA-256: ${unknown.join(' ')}`);
  return parts.join('; ');
}

function isOlder(version, than) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [thanMajor = 0, thanMinor = 0] = than.split('.').map(Number);
  return major === thanMajor ? minor < thanMinor : major < thanMajor;
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Says what this machine is, as far as relinking cares.
 *
 * @returns {{platform: string, arch: string, glibc: string | undefined}}
 */
export function readSystem() {
  // Without this the report resolves the names of open sockets, which can take seconds.
  process.report.excludeNetwork = true;
  const { glibcVersionRuntime } = process.report.getReport().header;
  return { platform: process.platform, arch: process.arch, glibc: glibcVersionRuntime };
}

/**
 * Finds the installed uWebSockets.js package as seen from this file.
 *
 * @returns {string} its folder
 * @throws {Error} when it is not installed
 */
export function findPackageFolder() {
  return dirname(createRequire(import.meta.url).resolve('uWebSockets.js'));
}
