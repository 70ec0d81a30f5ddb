import type { RefreshSettings } from '../core/config/types-refresh.ts';

/** What failed refreshes left in a record (D-19): who waits does not try again in turn. */
export type Backoff = {
  /** Not to be tried before, ms since the epoch. */
  readonly until: number;
  /** Failures in a row. */
  readonly failures: number;
};

/** Nothing failed. */
export const NO_BACKOFF: Backoff = { until: 0, failures: 0 };

const FAILURES_MAX = 1_000;

/** Read the field of a record; anything else than `<until> <failures>` is no pause. */
export function parseBackoff(field: Buffer | undefined): Backoff {
  const [, until, failures] = /^([0-9]{1,15}) ([0-9]{1,4})$/.exec(field?.toString('latin1') ?? '') ?? [];
  return until === undefined ? NO_BACKOFF : { until: Number(until), failures: Number(failures) };
}

/** The field of a record; empty for NO_BACKOFF. */
export function formatBackoff({ until, failures }: Backoff): Buffer {
  return Buffer.from(failures === 0 ? '' : `${Math.ceil(until)} ${failures}`, 'latin1');
}

/**
 * The pause after one more failure: twice as long each time up to the longest, and up to a quarter shorter, so that
 * many sessions do not come back at once.
 * @param random from 0 to 1.
 */
export function nextBackoff(
  { failures }: Backoff,
  { firstMs, maxMs }: RefreshSettings['backoff'],
  now: number,
  random: number,
): Backoff {
  const pauseMs = Math.min(maxMs, firstMs * 2 ** Math.min(failures, 30));
  return { until: now + pauseMs * (1 - random / 4), failures: Math.min(failures + 1, FAILURES_MAX) };
}
