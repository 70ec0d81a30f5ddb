/**
 * Makes uWebSockets.js keep every byte from 0x80 to 0xff at either end of a header value on x86-64.
 *
 * Its HTTP parser trims each value with `while (value.length() && value.back() < 33) value.remove_suffix(1)` and the
 * same for `front()`. `char` is signed on x86-64, so the bytes from 0x80 on count as negative and vanish like spaces.
 * The attack: a browser keeps `<0x80>__Host-name=…` as a cookie of another name, which the `__Host-` rules do not
 * guard, so a sibling host or a plain http page may set it; at the start of the Cookie header the trim turns it into
 * `__Host-name=…`, a session cookie of the attacker's choice. Likewise `chunked<0xff>` becomes `chunked`, and
 * `app.example<0xff>` becomes `app.example`, while the proxy in front saw something else. (R-022, SECURITY.md §3.6)
 *
 * No code behind the parser can see the lost bytes, hence the parser itself is corrected: one byte in each of the two
 * loops, which turns the signed jump behind the comparison into the unsigned one. From there on the x86-64 parser does
 * what the AArch64 one always did, where `char` is unsigned.
 *
 * Only files listed by SHA-256 are touched, relinked or not, on any glibc (`uws-files.js`). One line says what was
 * done. Plain JavaScript without dependencies, for any Node from 18 on.
 */

import { UWS_FILES, updateFiles } from './uws-files.js';

/** The two comparisons, each with the jump that ends its loop at the first byte that stays; `at` is the opcode's place. */
const JUMPS = [
  // Trailing: cmp byte [r11+rax+1], 0x21; jge +0x0c becomes jae (r11 is at the colon, rax is the length minus 1).
  { code: Buffer.from('41807c0301217d0c', 'hex'), at: 6, unsigned: 0x73 },
  // Leading: cmp byte [r11-1], 0x20; jg +0x11 becomes ja (r11 is one past the first byte).
  { code: Buffer.from('41807bff207f11', 'hex'), at: 5, unsigned: 0x77 },
];

const STEPS = UWS_FILES.filter(({ hardened }) => hardened !== undefined).flatMap(
  ({ name, published, relinked, hardened, both }) => [
    [name, published, hardened],
    [name, relinked, both],
  ],
);

/**
 * Returns a copy of `input` in which the trim of header values compares bytes as unsigned.
 *
 * @param {Buffer} input a whole uWebSockets.js binary for Linux on x86-64
 * @returns {Buffer} the same number of bytes, two of them changed; `input` is left as it was
 * @throws {Error} when one of the two comparisons is not there exactly once
 */
export function hardenHeaderTrim(input) {
  const output = Buffer.from(input);
  for (const { code, at, unsigned } of JUMPS) {
    const start = input.indexOf(code);
    if (start < 0) throw new Error(`no comparison ${code.toString('hex')} in the file`);
    if (input.indexOf(code, start + 1) >= 0) throw new Error(`more than one comparison ${code.toString('hex')}`);
    output[start + at] = unsigned;
  }
  return output;
}

/**
 * Hardens the binaries of `folder` that belong to `system`, where that is needed and known to work.
 *
 * @param {string} folder the installed uWebSockets.js package
 * @param {{platform: string, arch: string}} system
 * @param {readonly (readonly string[])[]} steps rows of file name, SHA-256 before, SHA-256 after
 * @returns {string} one line that says what was done, without the name of the product
 * @throws {Error} when a file cannot be read or written, or becomes something unexpected; that file is then unchanged
 */
export function hardenFolder(folder, { platform, arch }, steps = STEPS) {
  if (platform === 'linux' && arch === 'arm64') return 'no hardening needed: linux arm64 compares bytes as unsigned';
  if (platform !== 'linux' || arch !== 'x64') return `not hardened: no correction is known for ${platform} ${arch}`;
  const { changed, already, unknown } = updateFiles(folder, arch, steps, hardenHeaderTrim);
  const parts = [];
  if (changed.length > 0) parts.push(`hardened ${changed.length} binaries against cut header values`);
  if (already.length > 0) parts.push(`${already.length} binaries already hardened against cut header values`);
  if (unknown.length > 0) parts.push(`not hardened, unknown SHA-256: ${unknown.join(' ')}`);
  return parts.length === 0 ? `not hardened: no binary for linux ${arch} in the package` : parts.join('; ');
}
