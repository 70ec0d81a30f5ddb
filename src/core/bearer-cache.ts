// hot: bench/bearer.ts
import type { BearerCaller } from './services.ts';
import { createSweep } from './sweep.ts';

/** Validated tokens, bounded by their number and by the length of their texts together. */
export type AcceptedTokens = {
  /** The caller of a remembered token; undefined if it is unknown or over. */
  find(token: string, now: number): BearerCaller | undefined;
  /** @param until when the result is over, ms since the epoch. */
  remember(token: string, caller: BearerCaller, until: number, now: number): void;
};

type Entry = { readonly token: string; readonly caller: BearerCaller; readonly until: number };

/** 192 bits of a signature. */
const TAIL_CHARS = 32;

/** The end of a token, under which it is filed; a slice, which keeps the whole token for as long as it is kept. */
export function tailOf(token: string): string {
  return token.slice(-TAIL_CHARS);
}

/**
 * Create the memory of validated tokens. They are filed under the end of their signature and compared whole: exact,
 * and 0.4 µs where a SHA-256 of the token takes 2.0 and a Map over whole tokens 1.9 (700 characters, fresh strings).
 * The oldest go first; only what was validated enters, so nobody without valid tokens can push anything out.
 */
export function createAcceptedTokens(entriesMax: number, charsMax: number): AcceptedTokens {
  const entries = new Map<string, Entry>();
  let chars = 0;
  const remove = (tail: string): void => {
    chars -= entries.get(tail)?.token.length ?? 0;
    entries.delete(tail);
  };
  const sweep = createSweep(entries, ({ until }: Entry, now) => now >= until, remove);
  return {
    find(token, now) {
      const entry = entries.get(tailOf(token));
      return entry !== undefined && entry.token === token && now < entry.until ? entry.caller : undefined;
    },
    remember(token, caller, until, now) {
      if (entriesMax === 0) return;
      sweep(now);
      const tail = tailOf(token);
      remove(tail);
      for (const oldest of entries.keys()) {
        if (entries.size < entriesMax && chars + token.length <= charsMax) break;
        remove(oldest);
      }
      entries.set(tail, { token, caller, until });
      chars += token.length;
    },
  };
}
