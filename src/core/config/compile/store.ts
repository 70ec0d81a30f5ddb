import { durationMs, sizeBytes } from '../schema/units.ts';
import type { L1Settings, StoreSettings } from '../types-store.ts';
import type { CompileContext } from './context.ts';
import { compileRedis } from './redis.ts';

type Store = NonNullable<CompileContext['settings']['sections']['store']>;
const URL_PATH = ['store', 'redis', 'url'];

/** Compile where sessions live. An empty Redis URL means the memory store, with a warning (D-26). */
export function compileStore(context: CompileContext): StoreSettings | undefined {
  const { settings } = context;
  const { store, workers } = settings.sections;
  if (store === undefined) return undefined;
  const common = {
    retryAfterMs: durationMs(store.retry_after),
    heartbeatMs: durationMs(store.l1.heartbeat),
    l1: compileL1(store.l1),
  };
  const memory: StoreSettings = { kind: 'memory', ...common };
  const empty = store.kind === 'redis' && store.redis.mode === 'single' && store.redis.url === '';
  if (empty) settings.warn(URL_PATH, 'empty: sessions live in memory and end with the process');
  if (store.kind === 'memory' || empty) {
    if (workers !== undefined && workers !== 1) {
      const problem = `the memory store serves one process, but workers is ${workers}`;
      settings.fail(['store', 'kind'], problem, 'redis', 'use a Redis store or set workers: 1');
    }
    return memory;
  }
  const redis = compileRedis(context, store.redis);
  return redis === undefined ? memory : { kind: 'redis', ...common, redis };
}

function compileL1(l1: Store['l1']): L1Settings | undefined {
  if (l1.mode === 'none') return undefined;
  return {
    maxEntries: l1.max_entries,
    maxBytes: sizeBytes(l1.max_bytes),
  };
}
