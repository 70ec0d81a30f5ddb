import { SallyportError } from './errors.ts';
import type { OnceKind, SessionCreation } from './store.ts';
import { checkKey } from './store-rules.ts';
import { createSweep } from './sweep.ts';

type Tombstone = { readonly writtenAt: number; readonly until: number };

/**
 * What the memory store remembers besides sessions: consumed ids and tombstones (D-18). Consumed ids above the bound
 * are refused with `store_unavailable`, because forgetting one would allow a replay; tombstones above it lose
 * the oldest. All times are ms since the epoch.
 */
export class MemoryMarks {
  readonly #max: number;
  /** End of each consumed id. */
  readonly #consumed = new Map<string, number>();
  readonly #tombstones = new Map<string, Tombstone>();
  readonly #sweepConsumed = createSweep(
    this.#consumed,
    (until, now) => until <= now,
    (id) => this.#consumed.delete(id),
  );
  readonly #sweepTombstones = createSweep(
    this.#tombstones,
    (tombstone, now) => tombstone.until <= now,
    (key) => this.#tombstones.delete(key),
  );

  /** @param max consumed ids, and tombstones, that are remembered. */
  constructor(max: number) {
    this.#max = max;
  }

  /** True exactly once for each (kind, id) within `ttlMs`. */
  consumeOnce(kind: OnceKind, id: string, now: number, ttlMs: number): boolean {
    if (this.isConsumed(kind, id, now)) return false;
    this.#sweepConsumed(now);
    if (this.#consumed.size >= this.#max) {
      throw new SallyportError('store_unavailable', { detail: `memory store holds ${this.#max} consumed ids` });
    }
    this.#consumed.set(`${kind}:${id}`, now + ttlMs);
    return true;
  }

  /** Whether (kind, id) was consumed and is still remembered. */
  isConsumed(kind: OnceKind, id: string, now: number): boolean {
    checkKey(id);
    return (this.#consumed.get(`${kind}:${id}`) ?? 0) > now;
  }

  /** Whether a tombstone in force is as new as the login of this creation. */
  isTombstoned(creation: SessionCreation): boolean {
    const keys = [`u:${creation.subjectKey}`, `p:${creation.providerSessionKey}`];
    return keys.some((key) => {
      const tombstone = this.#tombstones.get(key);
      return tombstone !== undefined && tombstone.until > creation.now && tombstone.writtenAt >= creation.startedAt;
    });
  }

  /** Write a tombstone, neither value ever backwards. @param ttlMs 0 = none. */
  writeTombstone(key: string, now: number, ttlMs: number): void {
    this.#sweepTombstones(now);
    if (ttlMs <= 0) return;
    const old = this.#tombstones.get(key);
    const until = Math.max(now + ttlMs, old?.until ?? 0);
    this.#tombstones.delete(key);
    if (this.#tombstones.size >= this.#max) {
      for (const oldest of [...this.#tombstones.keys()].slice(0, 1)) this.#tombstones.delete(oldest);
    }
    this.#tombstones.set(key, { writtenAt: Math.max(now, old?.writtenAt ?? 0), until });
  }

  /** Forget everything. */
  clear(): void {
    this.#consumed.clear();
    this.#tombstones.clear();
  }
}
