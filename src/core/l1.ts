// hot: bench/l1.ts
import type { Session } from './services.ts';
import type { SessionSearch } from './sessions-search.ts';
import type { StoreChanges } from './store.ts';

/** What bounds the cache, and what keeps it true. */
export type L1Options = {
  readonly changes: StoreChanges;
  readonly maxEntries: number;
  /** Of the sizes that loads are given. */
  readonly maxBytes: number;
};

/** What the cache did, for metrics. */
export type L1Counts = {
  hits: number;
  misses: number;
  evictions: number;
  /** Changes of single sessions that were told. */
  invalidations: number;
  /** Times that everything was forgotten. */
  flushes: number;
};

type Entry = {
  readonly handle: string;
  session: Session;
  readonly bytes: number;
  /** Asked for since the hand of the clock came by. */
  isUsed: boolean;
};

/** Used entries that the hand passes over before it takes one anyhow. */
const EVICTION_STEPS_MAX = 64;

/**
 * Decoded sessions of this process by handle, so that a hit needs no hash, no promise and no store (D-15).
 *
 * It serves only while the store vouches for it (`changes.currentUntil`). Each load leaves a mark under its locator;
 * a change of that session, or one that may concern all, takes the mark away, and a load without its mark is not kept:
 * an answer that was overtaken by its invalidation cannot come back. That something is absent is never kept.
 * `Load` is a look-up in the store whose answer may be kept, unless a change comes in between.
 * Above its bounds the cache forgets what was not asked for lately (CLOCK), in a bounded number of steps.
 */
export class L1<Load extends object = SessionSearch> {
  readonly counts: L1Counts = { hits: 0, misses: 0, evictions: 0, invalidations: 0, flushes: 0 };
  readonly #options: L1Options;
  readonly #changes: StoreChanges;
  readonly #ignoreChanges: () => void;
  readonly #entries = new Map<string, Entry>();
  readonly #byLocator = new Map<string, Entry>();
  /** The marks of loads under way. */
  readonly #loads = new Map<string, Load>();
  #hand: Iterator<Entry> = this.#entries.values();
  #bytes = 0;

  constructor(options: L1Options) {
    this.#options = options;
    this.#changes = options.changes;
    this.#ignoreChanges = options.changes.onInvalidate((what, locator) => {
      if (what === 'session') this.#invalidate(locator);
      else if (what === 'all') this.#flush();
    });
  }

  /** Hear of no more changes. It must not be asked any more then. */
  close(): void {
    this.#ignoreChanges();
    this.#flush();
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** True while what is kept may be served. @param now ms since the epoch. */
  isCurrent(now: number): boolean {
    return now < this.#changes.currentUntil();
  }

  /** The session kept for a handle. Its limits are the caller's to check. */
  find(handle: string, now: number): Session | undefined {
    if (now < this.#changes.currentUntil()) {
      const entry = this.#entries.get(handle);
      if (entry !== undefined) {
        this.counts.hits += 1;
        entry.isUsed = true;
        return entry.session;
      }
    }
    this.counts.misses += 1;
    return undefined;
  }

  /** A load under way whose answer is as good as a kept one. */
  findLoad(locator: string, now: number): Load | undefined {
    return now < this.#changes.currentUntil() ? this.#loads.get(locator) : undefined;
  }

  /** Mark a load that begins now. An older one of the same session loses its mark. */
  begin(locator: string, load: Load): void {
    this.#loads.set(locator, load);
  }

  /** The load failed or found nothing. */
  abandon(locator: string, load: Load): void {
    if (this.#loads.get(locator) === load) this.#loads.delete(locator);
  }

  /**
   * Keep what a load found, if it still has its mark.
   * @param handle must be a string of its own: a slice would keep the request's whole Cookie header alive.
   * @param bytes what the session takes in memory.
   */
  fill(load: Load, handle: string, session: Session, bytes: number): void {
    const { locator } = session;
    if (this.#loads.get(locator) !== load) return;
    this.#loads.delete(locator);
    const { maxBytes, maxEntries } = this.#options;
    this.drop(locator);
    if (bytes > maxBytes) return;
    while (this.#entries.size >= maxEntries || this.#bytes + bytes > maxBytes) this.#evict();
    const entry = { handle, session, bytes, isUsed: false };
    this.#entries.set(handle, entry);
    this.#byLocator.set(locator, entry);
    this.#bytes += bytes;
  }

  /** Put another view of the same record in the place of `known`, if that is what is kept. */
  replace(known: Session, next: Session): void {
    const entry = this.#byLocator.get(known.locator);
    if (entry?.session === known) entry.session = next;
  }

  /** Forget one session. */
  drop(locator: string): void {
    const entry = this.#byLocator.get(locator);
    if (entry !== undefined) this.#remove(entry);
  }

  #invalidate(locator: string): void {
    this.counts.invalidations += 1;
    this.#loads.delete(locator);
    this.drop(locator);
  }

  #flush(): void {
    this.counts.flushes += 1;
    this.#loads.clear();
    this.#entries.clear();
    this.#byLocator.clear();
    this.#hand = this.#entries.values();
    this.#bytes = 0;
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.handle);
    this.#byLocator.delete(entry.session.locator);
    this.#bytes -= entry.bytes;
  }

  /** The hand goes round in the order of insertion; a map's iterator lives through changes of the map. */
  #evict(): void {
    for (let step = 1; ; step += 1) {
      let next = this.#hand.next();
      if (next.done) {
        this.#hand = this.#entries.values();
        next = this.#hand.next();
      }
      const entry: Entry = next.value;
      if (!entry.isUsed || step >= EVICTION_STEPS_MAX) {
        this.counts.evictions += 1;
        this.#remove(entry);
        return;
      }
      entry.isUsed = false;
    }
  }
}
