import type { Scenario } from '../lib/types.ts';
import { coherenceScenario } from './coherence.ts';
import { floodScenario } from './flood.ts';
import { growthScenario } from './growth.ts';
import { latencyScenario } from './latency.ts';
import { memoryScenario } from './memory.ts';
import { peersScenario } from './peers.ts';
import { proxyScenario } from './proxy.ts';
import { readsScenario } from './reads.ts';
import { scanScenario } from './scan.ts';
import { socketsScenario } from './sockets.ts';
import { startScenario } from './start.ts';
import { stormScenario } from './storm.ts';
import { streamsScenario } from './streams.ts';
import { traefikScenario } from './traefik.ts';
import { verifyScenario } from './verify.ts';
import { workersScenario } from './workers.ts';

/** Every scenario, in the order of a whole run. */
export const SCENARIOS: readonly Scenario[] = [
  verifyScenario,
  peersScenario,
  floodScenario,
  readsScenario,
  proxyScenario,
  streamsScenario,
  socketsScenario,
  traefikScenario,
  latencyScenario,
  scanScenario,
  stormScenario,
  workersScenario,
  coherenceScenario,
  growthScenario,
  startScenario,
  memoryScenario,
];
