/** Old entries looked at with each new one: at more than one, the dead go faster than new ones come. */
const SWEEP_STEPS = 4;

/**
 * Keep a map free of what is over without a timer: the returned function, called with each insertion, looks at the
 * next few entries of `map`, round and round, and removes those that `isOver` at `now` (ms since the epoch).
 */
export function createSweep<V>(
  map: ReadonlyMap<string, V>,
  isOver: (value: V, now: number) => boolean,
  remove: (key: string) => void,
): (now: number) => void {
  let cursor = map.entries();
  return (now) => {
    for (let step = 0; step < SWEEP_STEPS; step += 1) {
      const next = cursor.next();
      if (next.done) {
        cursor = map.entries();
        return;
      }
      if (isOver(next.value[1], now)) remove(next.value[0]);
    }
  };
}
