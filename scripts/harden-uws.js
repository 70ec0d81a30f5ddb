/**
 * Corrects two things in uWebSockets.js on x86-64: it keeps every byte from 0x80 to 0xff at either end of a header value,
 * and it reads no more of a connection at once than its handler can pause.
 *
 * Header values:
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
 * Reading: after a read that filled the buffer of 512 KiB the core reads again in the same loop, whether or not its
 * handler has paused the connection. Whoever sends faster than we copy is read without an end: one upload through a slow
 * service takes as much memory as its sender's network gives, and meanwhile nobody else is served. (D-33, SPEC §8)
 * The length is compared with one that no read has, so each read is followed by a look at all other connections; what
 * is left in the kernel is announced again by the next poll.
 *
 * Only files listed by SHA-256 are touched, relinked or not, on any glibc (`uws-files.js`). One line says what was
 * done. Plain JavaScript without dependencies, for any Node from 18 on.
 */

import { UWS_FILES, updateFiles } from './uws-files.js';

/** The comparisons that are changed: at one place each, one byte. */
const CORRECTIONS = [
  // Trailing: cmp byte [r11+rax+1], 0x21; jge +0x0c becomes jae (r11 is at the colon, rax is the length minus 1).
  { code: Buffer.from('41807c0301217d0c', 'hex'), at: 6, byte: 0x73 },
  // Leading: cmp byte [r11-1], 0x20; jg +0x11 becomes ja (r11 is one past the first byte).
  { code: Buffer.from('41807bff207f11', 'hex'), at: 5, byte: 0x77 },
  // Reading: cmp r14d, 0x80000; jne +0xba: the constant becomes -0x7ff80000 (r14d is a length above 0).
  { code: Buffer.from('4181fe000008000f85ba000000', 'hex'), at: 6, byte: 0x80 },
];

const STEPS = UWS_FILES.filter(({ hardened }) => hardened !== undefined).flatMap(
  ({ name, published, relinked, hardened, both, earlier = [] }) => [
    [name, published, hardened],
    [name, relinked, both],
    ...(earlier.length === 0
      ? []
      : [
          [name, earlier[0], hardened],
          [name, earlier[1], both],
        ]),
  ],
);

/**
 * Returns a copy of `input` with every correction; those that it has already stay.
 *
 * @param {Buffer} input a whole uWebSockets.js binary for Linux on x86-64
 * @returns {Buffer} the same number of bytes, at most one changed for each correction; `input` is left as it was
 * @throws {Error} when one of the comparisons is not there exactly once
 */
export function hardenCore(input) {
  const output = Buffer.from(input);
  for (const { code, at, byte } of CORRECTIONS) {
    const corrected = Buffer.from(code);
    corrected[at] = byte;
    const places = [...placesOf(input, code), ...placesOf(input, corrected)];
    const name = code.toString('hex');
    if (places.length === 0) throw new Error(`no comparison ${name} in the file`);
    if (places.length > 1) throw new Error(`more than one comparison ${name}`);
    output[places[0] + at] = byte;
  }
  return output;
}

function placesOf(bytes, code) {
  const places = [];
  for (let at = bytes.indexOf(code); at >= 0; at = bytes.indexOf(code, at + 1)) places.push(at);
  return places;
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
  if (platform === 'linux' && arch === 'arm64')
    return 'not hardened: linux arm64 compares bytes as unsigned, and no correction of its reading is known';
  if (platform !== 'linux' || arch !== 'x64') return `not hardened: no correction is known for ${platform} ${arch}`;
  const { changed, already, unknown } = updateFiles(folder, arch, steps, hardenCore);
  const parts = [];
  if (changed.length > 0) parts.push(`hardened ${changed.length} binaries`);
  if (already.length > 0) parts.push(`${already.length} binaries already hardened`);
  if (unknown.length > 0) parts.push(`not hardened, unknown SHA-256: ${unknown.join(' ')}`);
  return parts.length === 0 ? `not hardened: no binary for linux ${arch} in the package` : parts.join('; ');
}
