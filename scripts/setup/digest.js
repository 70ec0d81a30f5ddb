/** SHA-256 of downloaded files. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

/**
 * Compares the file at `path` with its digest in the table.
 *
 * @param {string} expected SHA-256, hexadecimal
 * @returns {Promise<string | undefined>} undefined when it is the same, otherwise what was found
 */
export async function checkDigest(path, expected) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const actual = hash.digest('hex');
  return actual === expected ? undefined : `${path} has SHA-256 ${actual}, expected ${expected}: not used`;
}
