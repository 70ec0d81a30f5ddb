// hot: bench/verify.ts

/** Who waits for something. One of the two is called, once. */
export type Waiter<Value> = {
  done(value: Value): void;
  failed(error: unknown): void;
};

/**
 * A value that comes in a later turn of the event loop, to one who waits. Each request that reads the store passes
 * three of them, and a promise costs several times as much: it is made for any number of listeners, at any time.
 */
export class Late<Value> {
  #waiter: Waiter<Value> | undefined;

  /** Say who waits; in the turn in which this was made, and once. */
  wait(waiter: Waiter<Value>): void {
    this.#waiter = waiter;
  }

  /** The same as a promise, for what is not hot. */
  promise(): Promise<Value> {
    return new Promise((resolve, reject) => this.wait({ done: resolve, failed: reject }));
  }

  /** For whoever made it: the value is there. */
  settle(value: Value): void {
    this.#waiter?.done(value);
  }

  /** For whoever made it: it will never be. */
  fail(error: unknown): void {
    this.#waiter?.failed(error);
  }
}
