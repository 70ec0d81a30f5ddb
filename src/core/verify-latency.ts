// hot: bench/verify.ts

/** Upper bounds of the buckets, seconds. */
export const LATENCY_BUCKETS_S: readonly number[] = [
  0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
  0.25, 0.5, 1, 2.5, 5,
];

/** One in so many answers is timed that need nobody else; it stands for all of them. */
const SAMPLE = 64;

/**
 * How long verify takes. Reading a precise clock twice costs 0.1 to 0.5 µs, and an answer from the cache 9: so of those
 * that are answered at once every 64th is timed and counts for 64. Those that wait for the store or a provider are all
 * counted, to the millisecond. Allocates nothing.
 */
export class VerifyLatency {
  /** Answers by bucket, not summed up; the last holds what is above all bounds. */
  readonly counts = new Float64Array(LATENCY_BUCKETS_S.length + 1);
  sumS = 0;
  #turn = 0;

  /** A request has come: when, if it is one that is timed, in monotonic ms; else -1. */
  begin(): number {
    this.#turn = (this.#turn + 1) % SAMPLE;
    return this.#turn === 1 ? performance.now() : -1;
  }

  /** It was answered at once. @param startedAt what `begin` returned. */
  end(startedAt: number): void {
    if (startedAt >= 0) this.#count((performance.now() - startedAt) / 1000, SAMPLE);
  }

  /** A request that had to wait was answered after `ms`. */
  waited(ms: number): void {
    this.#count(Math.max(0, ms) / 1000, 1);
  }

  #count(seconds: number, weight: number): void {
    let at = 0;
    while (at < LATENCY_BUCKETS_S.length && seconds > LATENCY_BUCKETS_S[at]!) at += 1;
    this.counts[at]! += weight;
    this.sumS += seconds * weight;
  }
}
