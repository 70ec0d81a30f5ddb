/** Sizes that are kept; the native core hands over at most the largest at once. */
const SIZES = [4_096, 16_384, 65_536, 524_288] as const;
/** Free memory that is kept for later; what is in use is bounded by one read for each upload. */
const FREE_MAX_BYTES = 8_388_608;

/**
 * Memory for parts of request bodies, used again and again: the native core's own is gone after each call, and copies
 * that the garbage collector has to find are made faster than it finds them.
 */
export class ChunkBuffers {
  readonly #free: readonly Buffer[][] = SIZES.map(() => []);
  #freeBytes = 0;

  /** A copy of `chunk`. */
  copy(chunk: ArrayBuffer): Buffer {
    const { byteLength } = chunk;
    const kind = SIZES.findIndex((size) => size >= byteLength);
    const known = this.#free[kind]?.pop();
    if (known !== undefined) this.#freeBytes -= known.length;
    const buffer = known ?? Buffer.allocUnsafeSlow(SIZES[kind] ?? byteLength);
    buffer.set(new Uint8Array(chunk));
    return byteLength === buffer.length ? buffer : buffer.subarray(0, byteLength);
  }

  /** Take a copy back. Nobody may read it any more: not the kernel either. */
  release(copy: Buffer): void {
    const bytes = copy.buffer.byteLength;
    const free = this.#free[SIZES.indexOf(bytes as (typeof SIZES)[number])];
    if (free === undefined || this.#freeBytes + bytes > FREE_MAX_BYTES) return;
    this.#freeBytes += bytes;
    free.push(copy.length === bytes ? copy : Buffer.from(copy.buffer, 0, bytes));
  }
}
