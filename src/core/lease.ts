import type { Clock } from './clock.ts';
import { randomToken } from './crypto.ts';
import type { LeaseName, SessionStore } from './store.ts';

/** A lease that was taken. */
export type Lease = {
  /**
   * Whether it lasts `ms` longer for certain: counted from before it was asked for, by the clock and by the machine's
   * monotonic one, so that neither a process that was paused nor a clock that was set back believes in a lease that is
   * over (D-19).
   */
  hasLeft(ms: number): boolean;
  /** Give it back; never throws, because it ends by itself. */
  release(): Promise<void>;
};

/** What waits, and how time passes for it. */
export type Timers = {
  /** Run once after `ms`; the returned function prevents it. */
  schedule(ms: number, run: () => void): () => void;
};

/** Real timers, which do not keep the process alive. */
export const systemTimers: Timers = {
  schedule(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** What a promise resolves to, or undefined if that takes longer than `ms`; it goes on all the same. */
export async function within<Value>(timers: Timers, ms: number, promise: Promise<Value>): Promise<Value | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const cancel = timers.schedule(Math.max(0, ms), () => resolve(undefined));
  try {
    return await Promise.race([promise, late]);
  } finally {
    cancel();
  }
}

/** Changes are asked for as often, in case that the store tells of none. */
const LEASE_POLL_MS = 250;

/**
 * Take a lease of a session, or learn that somebody else has it (undefined). A new owner's name each time: an attempt
 * whose outcome is unknown is given back, so that it blocks nobody for long.
 * @throws store_unavailable
 */
async function takeLease(
  { store, clock }: { readonly store: SessionStore; readonly clock: Clock },
  locator: string,
  name: LeaseName,
  ttlMs: number,
): Promise<Lease | undefined> {
  const owner = randomToken(16);
  const [asked, monotonic] = [clock.now(), performance.now()];
  const release = (): Promise<void> =>
    store.leases.release(locator, name, owner).then(
      () => {},
      () => {},
    );
  try {
    if (!(await store.leases.acquire(locator, name, owner, asked, ttlMs))) return undefined;
  } catch (error) {
    void release();
    throw error;
  }
  return {
    hasLeft: (ms) => Math.max(clock.now() - asked, performance.now() - monotonic) + ms <= ttlMs,
    release,
  };
}

/** Waits for what happens to sessions: their records and leases (D-19). */
export type ChangeWaiter = {
  /** Resolves once the record or a lease of the session changes, at the latest after 250 ms. */
  next(locator: string): Promise<void>;
  /** Wake everybody, now and from now on. */
  close(): void;
};

/** Create a waiter; without a channel of changes it is a timer alone. */
export function createChangeWaiter({ changes }: SessionStore, timers: Timers): ChangeWaiter {
  const waiting = new Map<string, Set<() => void>>();
  let isClosed = false;
  const wake = (locator: string): void => {
    for (const resolve of [...(waiting.get(locator) ?? [])]) resolve();
  };
  const wakeAll = (): void => {
    for (const locator of [...waiting.keys()]) wake(locator);
  };
  const stop = changes?.onInvalidate((what, locator) => (what === 'all' ? wakeAll() : wake(locator)));
  return {
    next(locator) {
      if (isClosed) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      const others = waiting.get(locator) ?? new Set();
      waiting.set(locator, others);
      const cancel = timers.schedule(LEASE_POLL_MS, () => done());
      const done = (): void => {
        cancel();
        others.delete(done);
        if (others.size === 0 && waiting.get(locator) === others) waiting.delete(locator);
        resolve();
      };
      others.add(done);
      return promise;
    },
    close() {
      isClosed = true;
      stop?.();
      wakeAll();
    },
  };
}

/** What attempts under a lease are made with. */
export type LeaseServices = {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly waiter: ChangeWaiter;
  isClosing(): boolean;
};

/**
 * Take a lease of a session, or wait for whoever has it, until `advance` knows an end (D-19): it is told the lease, or
 * undefined where somebody else has it, and returns undefined to look again.
 * @returns undefined if that takes longer than two leases last, or the process is closing.
 * @throws store_unavailable
 */
export async function underLease<End>(
  services: LeaseServices,
  locator: string,
  name: LeaseName,
  ttlMs: number,
  advance: (lease: Lease | undefined) => Promise<End | undefined>,
): Promise<End | undefined> {
  const { clock, waiter } = services;
  const giveUpAt = clock.now() + 2 * ttlMs;
  for (;;) {
    const lease = await takeLease(services, locator, name, ttlMs);
    // Waiting begins before anything is read: a change in between wakes us too.
    const changed = lease === undefined ? waiter.next(locator) : undefined;
    try {
      const end = await advance(lease);
      if (end !== undefined) return end;
    } finally {
      await lease?.release();
    }
    if (services.isClosing() || clock.now() >= giveUpAt) return undefined;
    await changed;
  }
}
