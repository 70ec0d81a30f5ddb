/** The middle value; of an even number the mean of the middle two. @throws RangeError without values */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no values');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The smallest value with at least `share` (0 to 1) of all values at or below it. @throws RangeError without values */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new RangeError('no values');
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]!;
}

/** A value with the spread of the rounds it was taken from. */
export type Spread = { readonly value: number; readonly low: number; readonly high: number };

/** Median, lowest and highest of rounds. */
export function spreadOf(values: readonly number[]): Spread {
  return { value: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** A value that was measured once. */
export function exactly(value: number): Spread {
  return { value, low: value, high: value };
}

/** The noise band: half of what lies between the lowest and the highest round. */
export function bandOf({ low, high }: Spread): number {
  return (high - low) / 2;
}
