import type { Clock } from './clock.ts';
import type { ErrorCode } from './errors.ts';

/** Lets `perSecond` lines of each code through and counts the rest (D-10). */
export type DeniedLog = {
  /** How many lines of this code were held back since the last one, or undefined if this one is held back too. */
  admit(code: ErrorCode): number | undefined;
};

/** Create the token bucket of refusal lines: a flood of refusals must not become a flood of log. */
export function createDeniedLog(perSecond: number, clock: Clock): DeniedLog {
  const buckets = new Map<ErrorCode, { tokens: number; at: number; suppressed: number }>();
  return {
    admit(code) {
      const now = clock.now();
      let bucket = buckets.get(code);
      if (bucket === undefined) {
        bucket = { tokens: perSecond, at: now, suppressed: 0 };
        buckets.set(code, bucket);
      }
      bucket.tokens = Math.min(perSecond, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * perSecond);
      bucket.at = now;
      if (bucket.tokens < 1) {
        bucket.suppressed += 1;
        return undefined;
      }
      bucket.tokens -= 1;
      const { suppressed } = bucket;
      bucket.suppressed = 0;
      return suppressed;
    },
  };
}
