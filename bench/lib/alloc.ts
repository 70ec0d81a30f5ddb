import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { median } from './stats.ts';

const CALLS = 2_000;
const TRIES = 25;

/**
 * Bytes of the JavaScript heap that one call leaves behind before any collection, the middle of 25 tries with 2,000
 * calls each. Runs the function warm first.
 */
export function bytesPerCall(run: () => unknown): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let call = 0; call < CALLS * 20; call++) run();
  const tries: number[] = [];
  for (let attempt = 0; attempt < TRIES; attempt++) {
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let call = 0; call < CALLS; call++) run();
    tries.push((process.memoryUsage().heapUsed - before) / CALLS);
  }
  // What the two looks at the memory leave behind themselves.
  const idle: number[] = [];
  for (let attempt = 0; attempt < TRIES; attempt++) {
    collect();
    const before = process.memoryUsage().heapUsed;
    idle.push((process.memoryUsage().heapUsed - before) / CALLS);
  }
  return Math.max(0, median(tries) - median(idle));
}
