import type { InvalidationListener, StoreChanges } from './store.ts';

/** Those who want to know what changed in a store. */
export class ChangeHub implements StoreChanges {
  readonly #listeners = new Set<InvalidationListener>();
  readonly #readCurrentUntil: () => number;

  /** @param readCurrentUntil see StoreChanges.currentUntil. */
  constructor(readCurrentUntil: () => number) {
    this.#readCurrentUntil = readCurrentUntil;
  }

  currentUntil(): number {
    return this.#readCurrentUntil();
  }

  onInvalidate(listener: InvalidationListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The record of a session changed or went. */
  session(locator: string): void {
    for (const listener of this.#listeners) listener('session', locator);
  }

  /** A lease of a session changed or went. */
  lease(locator: string): void {
    for (const listener of this.#listeners) listener('lease', locator);
  }

  /** Anything may have changed unseen. */
  all(): void {
    for (const listener of this.#listeners) listener('all', '');
  }
}
