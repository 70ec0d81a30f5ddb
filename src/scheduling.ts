import { execFileSync } from 'node:child_process';
import type { Config } from './core/config/types.ts';
import type { Logger } from './core/log.ts';

const CHRT_TIMEOUT_MS = 5_000;

/**
 * Put this process with all its threads under SCHED_BATCH, if the configuration says so (D-36b): it then no longer
 * interrupts a gateway on the same cores for each request. Without `chrt` a warning, and all goes on as usual.
 */
export function applyScheduling({ scheduling }: Config, log: Logger): void {
  if (scheduling !== 'batch') return;
  try {
    const all = ['--all-tasks', '--batch', '--pid', '0', String(process.pid)];
    execFileSync('chrt', all, { stdio: 'ignore', timeout: CHRT_TIMEOUT_MS });
  } catch (error) {
    log.warn({ err: error }, 'scheduling: batch needs the command chrt (util-linux); scheduling stays normal');
  }
}
