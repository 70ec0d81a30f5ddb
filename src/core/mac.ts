import { hash } from 'node:crypto';

/** Block of SHA-256, bytes: a longer key would have to be hashed first. */
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;
/** Longest text that is written behind the padded key; a longer one gets memory of its own. */
const ROOM_BYTES = 1_024;
/** Bytes that UTF-8 takes at most for one UTF-16 code unit. */
const UNIT_MAX_BYTES = 3;

/**
 * A key of HMAC-SHA-256 (RFC 2104), prepared once: two digests in one call each cost a quarter of what an object of
 * `createHmac` does, its garbage included (1.3 against 5.5 µs), and the first sight of a session needs two of them.
 */
export class MacKey {
  /** The padded key, and room for what is signed. */
  readonly #inner = Buffer.alloc(BLOCK_BYTES + ROOM_BYTES, 0);
  readonly #outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES, 0);

  /** @param secret at most 64 bytes. @throws TypeError for a longer one */
  constructor(secret: Uint8Array) {
    if (secret.length > BLOCK_BYTES) throw new TypeError('a key of HMAC longer than a block');
    for (let at = 0; at < BLOCK_BYTES; at += 1) {
      const byte = secret[at] ?? 0;
      this.#inner[at] = byte ^ INNER_PAD;
      this.#outer[at] = byte ^ OUTER_PAD;
    }
  }

  /** The MAC of a text in UTF-8: 43 characters of base64url, or its 32 bytes as so many characters. */
  sign(text: string, encoding: 'base64url' | 'binary'): string {
    this.#outer.write(hash('sha256', this.#padded(text), 'binary'), BLOCK_BYTES, 'latin1');
    return hash('sha256', this.#outer, encoding);
  }

  #padded(text: string): Buffer {
    if (text.length * UNIT_MAX_BYTES > ROOM_BYTES) {
      return Buffer.concat([this.#inner.subarray(0, BLOCK_BYTES), Buffer.from(text, 'utf8')]);
    }
    return this.#inner.subarray(0, BLOCK_BYTES + this.#inner.write(text, BLOCK_BYTES, 'utf8'));
  }
}
