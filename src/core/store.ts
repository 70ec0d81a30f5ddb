import type { Waiter } from './late.ts';

/**
 * The hot half of a stored session, as one read returns it (D-12). The store knows bytes and keys only: what is
 * sealed inside is the business of sessions.ts.
 */
export type StoredHot = {
  /** Rises by one with every guarded write. */
  readonly revision: number;
  /** When the session was last seen, ms since the epoch. */
  readonly lastSeenAt: number;
  /** Sealed hot part. */
  readonly hot: Buffer;
};

/** The same in the memory where it was read: valid until the call returns that brings it. */
export type HotView = {
  readonly revision: number;
  readonly lastSeenAt: number;
  /** Holds the sealed hot part in [start, end). */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
};

/** The whole stored session. */
export type StoredSession = StoredHot & {
  /** Sealed cold part (refresh token, ID token), if there is one. */
  readonly cold: Buffer | undefined;
  /** Sealed service tokens by field hash. */
  readonly tokens: ReadonlyMap<string, Buffer>;
  /** What the last failed refresh left behind, in the clear (D-19); absent until one fails. */
  readonly backoff?: Buffer;
};

/** What a session list needs of one session. */
export type StoredDescription = {
  readonly locator: string;
  /** ms since the epoch. */
  readonly lastSeenAt: number;
  /** Sealed, where the creation gave one. */
  readonly description: Buffer | undefined;
};

/** What `create` writes. */
export type SessionCreation = {
  /** base64url(SHA-256(handle)): 43 characters. */
  readonly locator: string;
  readonly hot: Buffer;
  readonly cold: Buffer | undefined;
  /** Sealed description, for session lists. */
  readonly description?: Buffer;
  /** ms since the epoch. */
  readonly now: number;
  /** When the record goes by itself unless touched: min(now + idle, absolute), ms since the epoch. */
  readonly expiresAt: number;
  /** Absolute end, ms since the epoch; the score of the index entries. */
  readonly absoluteAt: number;
  /** Keyed hash of issuer and subject. */
  readonly subjectKey: string;
  /** Keyed hash of issuer and the provider's session id, where the provider names one. */
  readonly providerSessionKey: string | undefined;
  /** When the login began (ms): a tombstone written at or after it undoes the creation (D-18). */
  readonly startedAt: number;
  /** Sessions a user may have; the oldest end. 0 = no bound. */
  readonly maxPerSubject: number;
};

/** A guarded change of an existing session. Absent members stay as they are. */
export type SessionChange = {
  readonly hot?: Buffer;
  readonly cold?: Buffer;
  readonly tokens?: ReadonlyMap<string, Buffer>;
  /** Empty = no pause. */
  readonly backoff?: Buffer;
};

/** Which session to end, with the index entries to clean where they are known. */
export type SessionEnd = {
  readonly locator: string;
  readonly subjectKey: string | undefined;
  readonly providerSessionKey: string | undefined;
};

/** What is consumed once for the whole cluster: a login's state, or a token id. */
export type OnceKind = 'state' | 'jti';

/**
 * What a lease is for (D-19): `grant` = whoever spends the refresh token of a session; `t:<hash>` = whoever obtains the
 * service token of that field without it; `restore` = whoever made a new session of its refresh cookie, or ended it so
 * that nobody may.
 */
export type LeaseName = 'grant' | 'restore' | `t:${string}`;

/**
 * Locks of sessions with an owner and an end (D-19), in the slot of their session. Both methods throw
 * `store_unavailable`; the outcome is then unknown.
 */
export type StoreLeases = {
  /**
   * Take a lease that nobody holds; false = somebody does.
   * @param owner unique for each attempt, base64url.
   * @param now ms since the epoch, for stores without a clock of their own; others count `ttlMs` themselves.
   */
  acquire(locator: string, name: LeaseName, owner: string, now: number, ttlMs: number): Promise<boolean>;
  /** Give a lease back, unless it has passed to another owner; true if it was held. */
  release(locator: string, name: LeaseName, owner: string): Promise<boolean>;
};

/** Counts for all processes together (D-43). */
export type StoreCounters = {
  /**
   * Add one to the count of `key`. The first opens a window of `windowMs`, at whose end the count is gone.
   * @param key 43 characters of base64url.
   * @throws store_unavailable; the outcome is then unknown.
   */
  increment(key: string, windowMs: number): Promise<{ readonly count: number; readonly leftMs: number }>;
};

/** How the store is doing, for /readyz and metrics. */
export type StoreStatus = {
  readonly reachable: boolean;
  /** True once a command has succeeded since the start (D-43). */
  readonly reachedOnce: boolean;
  /** Writes since the start that too few replicas had confirmed in time (D-18). */
  readonly unreplicated: number;
};

/** How hot reads were made, for metrics and for tests that count instead of measuring time. */
export type StoreReadCounts = {
  /** Look-ups made: what was asked for several times in one turn of the event loop counts once. */
  lookups: number;
  /** Writes to the store's connection that carried them: one for a turn. */
  writes: number;
  /** Reads refused because too many were waiting. */
  refused: number;
};

/**
 * What changed: the record of a session, a lease of it, or perhaps everything (`locator` is then empty): the store was
 * emptied, or changes may have been missed.
 */
export type InvalidationListener = (what: 'session' | 'lease' | 'all', locator: string) => void;

/** Tells about changes to whoever keeps copies of records, or waits for a change (D-15). */
export type StoreChanges = {
  /**
   * Copies may be served before this time, ms since the epoch by the store's clock: until then every change has been
   * told that is older than the bound of the store. In the past while changes may be missed.
   */
  currentUntil(): number;
  /**
   * Call `listener` for each change, whoever made it, at once; for a change by this process before the method that
   * made it resolves, except for a touch, which may be told later or not at all. Returns the end of the subscription.
   */
  onInvalidate(listener: InvalidationListener): () => void;
};

/**
 * Sessions by locator (D-12, D-18). Implemented by store-memory.ts and store-valkey.ts, which pass one contract test.
 * All times are ms since the epoch and come from the caller, so that a test's clock rules.
 *
 * Every method throws SallyportError `store_unavailable` when the store cannot answer in time: a missing session is
 * an answer, an outage never is.
 */
export type SessionStore = {
  readonly kind: 'memory' | 'redis';
  /** undefined = nobody is told: no copies may be kept. */
  readonly changes: StoreChanges | undefined;
  readonly reads: Readonly<StoreReadCounts>;
  readonly leases: StoreLeases;
  /** Absent = the one process that uses the store counts by itself. */
  readonly counters?: StoreCounters;
  /**
   * Write index, then session, then read the tombstones and undo the write if one is as new as `startedAt`.
   * Ends the user's oldest sessions above `maxPerSubject`. Never overwrites an existing locator (throws).
   */
  create(creation: SessionCreation): Promise<'created' | 'ended'>;
  /**
   * One look-up, shared with others of the same turn of the event loop, told in a later one; `undefined` if the session
   * does not exist. For the hot path.
   * @param locator as locatorOf makes it; it is not looked at.
   * @throws store_unavailable if nothing can be asked now
   */
  lookUp(locator: string, now: number, waiter: Waiter<HotView | undefined>): void;
  /** The same, whatever the locator, and with memory of its own. */
  readHot(locator: string, now: number): Promise<StoredHot | undefined>;
  /** The whole record; not for the hot path. */
  readAll(locator: string, now: number): Promise<StoredSession | undefined>;
  /**
   * Note that the session was seen: sets last seen and the expiry, neither ever backwards, only if it exists.
   * False = the session is gone (D-17).
   */
  touch(locator: string, now: number, expiresAt: number): Promise<boolean>;
  /**
   * Write only if the session exists and is at `revision`; raises the revision by one. `gone` and `conflict` change
   * nothing (D-18: no write can resurrect a session).
   */
  update(
    locator: string,
    revision: number,
    change: SessionChange,
    now: number,
  ): Promise<'written' | 'gone' | 'conflict'>;
  /** End one session; true if it existed. */
  destroy(end: SessionEnd): Promise<boolean>;
  /** Tombstone the user, then end all sessions of it; returns the locators ended. */
  destroyBySubject(subjectKey: string, now: number, tombstoneTtlMs: number): Promise<readonly string[]>;
  /**
   * Tombstone the provider's session, then end all of ours that belong to it; returns the locators ended.
   * @param tombstoneTtlMs 0 = leave no tombstone.
   */
  destroyByProviderSession(key: string, now: number, tombstoneTtlMs: number): Promise<readonly string[]>;
  /** Locators of a user's sessions whose absolute end lies ahead, oldest end first. */
  listBySubject(subjectKey: string, now: number): Promise<readonly string[]>;
  /** What lists show of these sessions, in their order; those that are gone are left out. */
  readDescriptions(locators: readonly string[], now: number): Promise<readonly StoredDescription[]>;
  /** True exactly once for each (kind, id) within `ttlMs`. */
  consumeOnce(kind: OnceKind, id: string, now: number, ttlMs: number): Promise<boolean>;
  /** Whether (kind, id) was consumed and is still remembered. */
  isConsumed(kind: OnceKind, id: string, now: number): Promise<boolean>;
  /** Ask the store for a sign of life. */
  ping(): Promise<void>;
  status(): StoreStatus;
  /** Free connections and timers. */
  close(): Promise<void>;
};
