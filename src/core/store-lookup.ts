import type { Waiter } from './late.ts';
import type { HotView } from './store.ts';

/** One look-up under way, and all who wait for it. */
export class Lookup implements Waiter<HotView | undefined> {
  readonly locator: string;
  /** The latest time of those who ask, ms since the epoch. */
  now: number;
  /** Servers that it was sent to. */
  hops = 1;
  /** When it was sent first, monotonic ms: its deadline counts from then. */
  sentAt = 0;
  /** It was on a connection that broke, and is sent once more. */
  isRepeated = false;
  isSettled = false;
  readonly #first: Waiter<HotView | undefined>;
  #others: Waiter<HotView | undefined>[] | undefined;

  constructor(locator: string, now: number, waiter: Waiter<HotView | undefined>) {
    this.locator = locator;
    this.now = now;
    this.#first = waiter;
  }

  /** Wait for it, too. */
  join(now: number, waiter: Waiter<HotView | undefined>): void {
    this.now = Math.max(this.now, now);
    this.#others ??= [];
    this.#others.push(waiter);
  }

  done(view: HotView | undefined): void {
    this.isSettled = true;
    this.#first.done(view);
    for (const waiter of this.#others ?? []) waiter.done(view);
  }

  failed(error: unknown): void {
    this.isSettled = true;
    this.#first.failed(error);
    for (const waiter of this.#others ?? []) waiter.failed(error);
  }
}

const NOBODY: Waiter<HotView | undefined> = { done() {}, failed() {} };

/** Takes the place of an answer in the queue that nobody waits for. */
export function createPlaceholder(): Lookup {
  const lookup = new Lookup('', 0, NOBODY);
  lookup.isSettled = true;
  return lookup;
}
