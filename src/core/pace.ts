/** Waits for a turn of the event loop in which little other paced work is done. */
export type Pace = () => Promise<void>;

/** One piece more in each turn for so many that wait. */
const CROWD = 16;

/**
 * Keep the pieces of long work apart: whoever waits goes on one after the other, one in each turn of the event loop, so
 * that requests answered at once wait for one piece at most where a few sign-ins come together. A crowd goes faster, the
 * longer it is: its wait stays within some dozens of turns. Those who wait are bounded by the requests and calls under
 * way; on an idle loop a turn takes some microseconds.
 */
export function createPace(): Pace {
  const waiting: (() => void)[] = [];
  const next = (): void => {
    const going = waiting.splice(0, 1 + Math.floor(waiting.length / CROWD));
    if (waiting.length > 0) setImmediate(next);
    for (const goOn of going) goOn();
  };
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length === 1) setImmediate(next);
    });
}
