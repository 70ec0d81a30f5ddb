// hot: bench/bearer.ts
import { hash } from 'node:crypto';
import { tailOf } from './bearer-cache.ts';
import { LIMITS } from './limits.ts';
import type { BearerRefusal } from './services.ts';

/** Tokens that were refused after their signature was looked at, for seconds. */
export type RefusedTokens = {
  find(token: string, now: number): BearerRefusal | undefined;
  remember(token: string, refusal: BearerRefusal, now: number): void;
};

/** By digest: the texts of strangers are not kept. */
type Entry = { readonly digest: string; readonly refusal: BearerRefusal; readonly until: number };

/**
 * Create the memory of refused tokens, apart from that of valid ones: a flood of refusals turns over among refusals,
 * the oldest out first. Filed under the end of the token, so that one that is not here is not digested either.
 */
export function createRefusedTokens(): RefusedTokens {
  const entries = new Map<string, Entry>();
  return {
    find(token, now) {
      const entry = entries.get(tailOf(token));
      if (entry === undefined || now >= entry.until || entry.digest !== digestOf(token)) return undefined;
      return entry.refusal;
    },
    remember(token, refusal, now) {
      // A copy: a slice would keep the whole token.
      const tail = Buffer.from(tailOf(token)).toString();
      entries.delete(tail);
      for (const oldest of entries.keys()) {
        if (entries.size < LIMITS.bearerRefusedMax) break;
        entries.delete(oldest);
      }
      entries.set(tail, { digest: digestOf(token), refusal, until: now + LIMITS.bearerRefusedTtlMs });
    },
  };
}

function digestOf(token: string): string {
  return hash('sha256', token, 'base64url');
}
