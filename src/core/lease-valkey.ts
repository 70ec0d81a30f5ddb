import type { LeaseName, StoreLeases } from './store.ts';
import { checkKey } from './store-rules.ts';
import type { StoreCommands } from './store-topology.ts';
import { msLeft } from './store-valkey-values.ts';

/**
 * Leases in Redis (D-19): `<prefix>l:{locator}:<name>` holds the owner's name and ends by itself. The braces keep it in
 * the slot of its session.
 */
export function createValkeyLeases(commands: StoreCommands, keyPrefix: string): StoreLeases {
  const keyOf = (locator: string, name: LeaseName): string => `${keyPrefix}l:{${locator}}:${name}`;
  return {
    async acquire(locator, name, owner, _now, ttlMs) {
      checkKey(locator);
      checkKey(owner);
      const key = keyOf(locator, name);
      return (await commands.run(key, (redis) => redis.set(key, owner, 'PX', msLeft(0, ttlMs), 'NX'))) === 'OK';
    },
    async release(locator, name, owner) {
      return (await commands.script('releaseLease', keyOf(locator, name), [owner])) === 1;
    },
  };
}
