/**
 * Lets the uWebSockets.js binary load on a glibc older than 2.38 (down to 2.36, Debian 12).
 *
 * Only files listed by SHA-256 are touched, hardened or not (`uws-files.js`). Everywhere else (newer glibc, musl, other
 * systems, unknown files) nothing changes. One line says what was done. Plain JavaScript without dependencies, for any
 * Node from 18 on.
 */

import { relinkForOlderGlibc } from './relink-elf.js';
import { UWS_FILES, updateFiles } from './uws-files.js';

const STEPS = UWS_FILES.flatMap(({ name, published, relinked, hardened, both, earlier }) =>
  hardened === undefined
    ? [[name, published, relinked]]
    : [[name, published, relinked], [name, hardened, both], ...(earlier === undefined ? [] : [[name, ...earlier]])],
);

const GLIBC_NATIVE = '2.38';
const GLIBC_OLDEST = '2.36';

/**
 * Relinks the binaries of `folder` that belong to `system`, where that is needed and known to work.
 *
 * @param {string} folder the installed uWebSockets.js package
 * @param {{platform: string, arch: string, glibc: string | undefined}} system `glibc` is undefined on musl and elsewhere
 * @param {readonly (readonly string[])[]} steps rows of file name, SHA-256 before, SHA-256 after
 * @returns {string} one line that says what was done, without the name of the product
 * @throws {Error} when a file cannot be read or written, or relinks to something unexpected; that file is then unchanged
 */
export function relinkFolder(folder, system, steps = STEPS) {
  if (system.platform !== 'linux' || system.glibc === undefined) return 'no relink needed: not a glibc system';
  if (!isOlder(system.glibc, GLIBC_NATIVE)) return `no relink needed: glibc ${system.glibc}`;
  if (isOlder(system.glibc, GLIBC_OLDEST)) {
    return `not relinked: glibc ${system.glibc} is too old, ${GLIBC_OLDEST} or newer is needed`;
  }
  const line = describe(updateFiles(folder, system.arch, steps, relinkForOlderGlibc), system.glibc);
  return line === '' ? `not relinked: no binary for linux ${system.arch} in the package` : line;
}

function describe({ changed, already, unknown }, glibc) {
  const parts = [];
  if (changed.length > 0) parts.push(`relinked ${changed.length} binaries for glibc ${glibc}`);
  if (already.length > 0) parts.push(`${already.length} binaries already relinked for glibc ${glibc}`);
  if (unknown.length > 0) parts.push(`left alone, unknown SHA-256: ${unknown.join(' ')}`);
  return parts.join('; ');
}

function isOlder(version, than) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [thanMajor = 0, thanMinor = 0] = than.split('.').map(Number);
  return major === thanMajor ? minor < thanMinor : major < thanMajor;
}
