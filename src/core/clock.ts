/** Where every component reads the time, so that tests can set it. */
export type Clock = {
  /** Milliseconds since the Unix epoch. */
  now(): number;
};

/** The machine's wall clock. */
export const systemClock: Clock = { now: () => Date.now() };
