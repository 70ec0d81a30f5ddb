import { availableParallelism } from 'node:os';
import type { Config } from './config/types.ts';

/** Processes that accept on the same ports; `workers: auto` is as many as this process may use CPUs. At least 1. */
export function countWorkers({ workers }: Pick<Config, 'workers'>): number {
  return workers === 'auto' ? availableParallelism() : workers;
}
