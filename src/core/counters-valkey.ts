import type { StoreCounters } from './store.ts';
import { checkKey } from './store-rules.ts';
import type { StoreCommands } from './store-topology.ts';

/** Counts in Redis (D-43): `<prefix>q:<key>`, a hash that ends with its window. */
export function createValkeyCounters(commands: StoreCommands, keyPrefix: string): StoreCounters {
  return {
    async increment(key, windowMs) {
      checkKey(key);
      // Redis takes whole milliseconds, and a key that ends at once would count nothing.
      const reply = await commands.script('countEvent', `${keyPrefix}q:${key}`, [Math.max(1, Math.ceil(windowMs))]);
      const [count, leftMs] = reply as number[];
      return { count: count ?? 0, leftMs: leftMs ?? 0 };
    },
  };
}
