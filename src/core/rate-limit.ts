import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { retryAfterOf } from './clock.ts';
import type { RateLimit } from './config/types-rate.ts';
import { isSallyportError, SallyportError } from './errors.ts';
import { LIMITS } from './limits.ts';
import type { StoreCounters } from './store.ts';

/**
 * Counts events by key (D-43). The first event of a key opens a window of `burst × period ÷ average`, in which `burst`
 * events pass: at most `burst` at once, and `average` for each period in the long run.
 */
export type RateLimiter = {
  /** Count one event. Resolves with undefined if it is within the limit, else with the seconds until the next window. */
  consume(key: string): Promise<number | undefined>;
};

/** What several processes count together with. */
export type SharedCounting = {
  readonly counters: StoreCounters;
  /** Kind of event; names of different limits must not share counts. */
  readonly name: string;
  /** Keyed hash: what is counted (an address, a user's name) is nobody's business in the store. */
  hash(text: string): string;
};

/**
 * A limit in the memory of this process. At most `LIMITS.rateKeysMax` keys; beyond that the count that would end first
 * is forgotten, so that a caller with many addresses neither fills the memory nor uses up what is another's.
 */
export function createLocalLimiter(limit: RateLimit): RateLimiter {
  const limiter = new RateLimiterMemory({ points: limit.burst, duration: windowMs(limit) / 1000, keyPrefix: '' });
  const forget = createForgetting(windowMs(limit), (key) => limiter.delete(key));
  return {
    async consume(key) {
      const result = await consumed(limiter, key);
      if (result.isFirstInDuration) forget(key);
      return retryAfterS(limit, result);
    },
  };
}

/**
 * A limit for all processes together. What this process alone refuses costs the store nothing; while the store is away
 * each process keeps the limit by itself: an outage stops nobody.
 */
export function createSharedLimiter(limit: RateLimit, shared: SharedCounting): RateLimiter {
  const local = createLocalLimiter(limit);
  const { counters, name, hash } = shared;
  const client = {
    // What the library expects of a client: the count and the milliseconds left, as its own script would answer.
    rlflxIncr: async ([key = '']: readonly string[]) => {
      const { count, leftMs } = await counters.increment(key, windowMs(limit));
      return [count, leftMs];
    },
  };
  const together = new RateLimiterRedis({
    storeClient: client,
    points: limit.burst,
    // The store keeps the window itself, to the millisecond; the library only tells "ends" from "never ends".
    duration: Math.max(1, Math.ceil(windowMs(limit) / 1000)),
    keyPrefix: '',
  });
  return {
    async consume(key) {
      const refused = await local.consume(key);
      if (refused !== undefined) return refused;
      try {
        return retryAfterS(limit, await consumed(together, hash(`${name} ${key}`)));
      } catch (error) {
        if (isSallyportError(error)) return undefined;
        throw error;
      }
    },
  };
}

/** The share of one of several processes that cannot know of each other's counts (D-43); never less than one at once. */
export function shareOf(limit: RateLimit, workers: number): RateLimit {
  return { ...limit, average: limit.average / workers, burst: Math.ceil(limit.burst / workers) };
}

/** Count one event. @throws rate_limited with Retry-After @param what for the log: which limit */
export async function spend(limiter: RateLimiter, key: string, what: string): Promise<void> {
  const retryAfterS = await limiter.consume(key);
  if (retryAfterS !== undefined) throw new SallyportError('rate_limited', { detail: what, retryAfterS });
}

function windowMs({ average, periodMs, burst }: RateLimit): number {
  return (burst * periodMs) / average;
}

/** The library rejects with its result where the limit is exceeded. */
async function consumed(limiter: RateLimiterMemory | RateLimiterRedis, key: string): Promise<RateLimiterRes> {
  try {
    return await limiter.consume(key);
  } catch (refusal) {
    if (refusal instanceof RateLimiterRes) return refusal;
    throw refusal;
  }
}

function retryAfterS({ burst }: RateLimit, { consumedPoints, msBeforeNext }: RateLimiterRes): number | undefined {
  return consumedPoints <= burst ? undefined : retryAfterOf(msBeforeNext);
}

/** All windows are equally long: the first opened is the first to end. */
function createForgetting(windowMs: number, forget: (key: string) => void): (opened: string) => void {
  const ends = new Map<string, number>();
  return (opened) => {
    const now = Date.now();
    ends.delete(opened);
    for (const [key, end] of ends) {
      const isFull = ends.size >= LIMITS.rateKeysMax;
      if (!isFull && end > now) break;
      ends.delete(key);
      if (end > now) forget(key);
    }
    ends.set(opened, now + windowMs);
  };
}
