/** Waits for a turn of the event loop in which no other piece of paced work is done. */
export type Pace = () => Promise<void>;

/**
 * Keep the pieces of long work apart: whoever waits goes on one after the other, one in each turn of the event loop, so
 * that requests answered at once wait for one piece at most, however many sign-ins come together. Those who wait are
 * bounded by the requests and calls under way; on an idle loop a turn takes some microseconds.
 */
export function createPace(): Pace {
  const waiting: (() => void)[] = [];
  const next = (): void => {
    const goOn = waiting.shift();
    if (waiting.length > 0) setImmediate(next);
    goOn?.();
  };
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length === 1) setImmediate(next);
    });
}
