/** Where every component reads the time, so that tests can set it. */
export type Clock = {
  /** Milliseconds since the Unix epoch. */
  now(): number;
};

/** Whole seconds until `end`, both ms since the epoch; 0 when it is over. Nobody is told of time that is not there. */
export function secondsUntil(end: number, now: number): number {
  return Math.max(0, Math.floor((end - now) / 1000));
}

/** A pause in ms as Retry-After counts it: whole seconds, at least 1, never less than the pause. */
export function retryAfterOf(pauseMs: number): number {
  return Math.max(1, Math.ceil(pauseMs / 1000));
}

/** The machine's wall clock. */
export const systemClock: Clock = { now: () => Date.now() };
