import type { RateLimit } from './types-rate.ts';

/** The sink for numbers of the front end (SPEC §13). */
export type TelemetrySettings = {
  readonly bodyMaxBytes: number;
  /** For each client address. */
  readonly rateLimit: RateLimit;
  /** Accepted names; empty = every well-formed one, as far as there is room. */
  readonly names: ReadonlySet<string>;
  /** Different values of one label; further ones count as `other`. */
  readonly labelValuesMax: number;
};
