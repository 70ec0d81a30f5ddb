import { setTimeout as sleep } from 'node:timers/promises';

/** Wait until something is true, asking again and again. @throws Error that names `what` after `deadlineMs` */
export async function until(
  isTrue: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = 10_000,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`not reached within ${deadlineMs} ms: ${what}`);
    await sleep(10);
  }
}
