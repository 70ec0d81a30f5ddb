import type { StoreLeases } from './store.ts';
import { checkKey } from './store-rules.ts';
import { createSweep } from './sweep.ts';

type Held = { readonly owner: string; readonly until: number };

/**
 * Leases of the embedded store. The times that callers pass decide what is over; each one taken looks at a few old ones.
 * @param onRelease told the locator of a lease that was given back.
 */
export function createMemoryLeases(onRelease: (locator: string) => void): StoreLeases {
  const held = new Map<string, Held>();
  const sweep = createSweep(
    held,
    (lease, now) => lease.until <= now,
    (key) => held.delete(key),
  );
  return {
    async acquire(locator, name, owner, now, ttlMs) {
      checkKey(locator);
      checkKey(owner);
      const key = `${locator}:${name}`;
      if ((held.get(key)?.until ?? 0) > now) return false;
      sweep(now);
      held.set(key, { owner, until: now + ttlMs });
      return true;
    },
    async release(locator, name, owner) {
      const key = `${locator}:${name}`;
      if (held.get(key)?.owner !== owner) return false;
      held.delete(key);
      onRelease(locator);
      return true;
    },
  };
}
