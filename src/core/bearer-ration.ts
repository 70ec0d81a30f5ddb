// hot: bench/bearer.ts
import { type AddressMatcher, addressGroup, clientAddress } from './address.ts';
import { LIMITS } from './limits.ts';
import type { BearerAsker } from './services.ts';

/** How many unknown tokens may be validated. */
export type BearerRation = {
  /** One validation more. False: not now. */
  take(asker: BearerAsker, now: number): boolean;
  /** It did not end in a refusal. */
  giveBack(): void;
  /** Who is counted if it does. */
  clientOf(asker: BearerAsker): string;
  /** It did. */
  countRefusal(client: string, now: number): void;
};

/** Refusals of one client, as a bucket that empties with time. */
type Count = { readonly level: number; readonly at: number };

/** Kept for clients whose validations are few. */
const RESERVE = LIMITS.bearerRefusalsBurst / 2;

/**
 * Create the ration. A signature costs some hundred times what a remembered token does, so validations that end in a
 * refusal are rationed for the whole process, and remembered tokens never meet the ration. Clients who had many
 * refusals lately share its upper half: their flood leaves the lower one to whoever comes with a token that was not
 * seen yet. A client is an IPv4 address or an IPv6 /64 as the gateway saw it. Within one client, and in a flood from so
 * many that none of them stands out, it is a lottery: who loses is told 503 and can come again.
 */
export function createBearerRation(trusted: AddressMatcher): BearerRation {
  const counts = new Map<string, Count>();
  let left: number = LIMITS.bearerRefusalsBurst;
  let filledAt = Number.NEGATIVE_INFINITY;
  const clientOf = ({ peer, forwardedFor }: BearerAsker): string =>
    addressGroup(clientAddress(peer, forwardedFor, trusted));
  const levelOf = (client: string, now: number): number => {
    const count = counts.get(client);
    if (count === undefined) return 0;
    return Math.max(0, count.level - (Math.max(0, now - count.at) * LIMITS.bearerClientRefusalsPerSecond) / 1000);
  };
  return {
    clientOf,
    take(asker, now) {
      // A clock that was set back refills nothing, and does not wait for its old time either.
      const passedMs = now - filledAt;
      const { bearerRefusalsBurst: most, bearerRefusalsPerSecond: perSecond } = LIMITS;
      if (passedMs > 0) left = Math.min(most, left + (passedMs * perSecond) / 1000);
      filledAt = now;
      if (left < 1) return false;
      // In calm times nobody's address is asked for.
      const isScarce = left < RESERVE + 1 && counts.size > 0;
      if (isScarce && levelOf(clientOf(asker), now) >= LIMITS.bearerClientRefusalsBurst) return false;
      left -= 1;
      return true;
    },
    giveBack() {
      left = Math.min(LIMITS.bearerRefusalsBurst, left + 1);
    },
    countRefusal(client, now) {
      const level = levelOf(client, now) + 1;
      counts.delete(client);
      for (const oldest of counts.keys()) {
        if (counts.size < LIMITS.bearerClientsMax) break;
        counts.delete(oldest);
      }
      counts.set(client, { level: Math.min(level, LIMITS.bearerClientRefusalsBurst + 1), at: now });
    },
  };
}
