import { bearerBench } from './bearer.ts';
import { contextBench } from './context.ts';
import { cookieBench } from './cookie.ts';
import { l1Bench } from './l1.ts';
import type { MicroBench } from './lib/micro.ts';
import { pathBench } from './path.ts';
import { replyBench } from './reply.ts';
import { routesBench } from './routes.ts';
import { verifyBench } from './verify.ts';

/** The bench of every hot file. */
export const MICRO_BENCHES: readonly MicroBench[] = [
  bearerBench,
  contextBench,
  cookieBench,
  l1Bench,
  pathBench,
  replyBench,
  routesBench,
  verifyBench,
];
