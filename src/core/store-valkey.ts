import type { Clock } from './clock.ts';
import type { RedisSettings } from './config/types-store.ts';
import { createValkeyCounters } from './counters-valkey.ts';
import type { SallyportError } from './errors.ts';
import { createValkeyLeases } from './lease-valkey.ts';
import { LIMITS } from './limits.ts';
import type {
  OnceKind,
  SessionChange,
  SessionCreation,
  SessionEnd,
  SessionStore,
  StoreChanges,
  StoreCounters,
  StoredHot,
  StoredSession,
  StoreLeases,
  StoreReadCounts,
  StoreStatus,
} from './store.ts';
import { StoreReader } from './store-reader.ts';
import {
  checkCreation,
  checkKey,
  HOT_FIELD,
  INDEX_ENTRIES_MAX,
  isKey,
  locatorExists,
  recordTooLarge,
  sessionParts,
} from './store-rules.ts';
import { StoreTracking } from './store-tracking.ts';
import { type ScriptArgument, ValkeyConnection } from './store-valkey-client.ts';
import { StoreFaults } from './store-valkey-faults.ts';
import { checkedFields, type Index, indexesOf, msLeft, parseHot } from './store-valkey-values.ts';

/** What a Redis store needs. */
export type ValkeyStoreOptions = {
  readonly redis: RedisSettings;
  /** Told once about each fault of the connection (again after a recovery). Never holds a secret. */
  readonly onError?: (error: SallyportError) => void;
  /** Hot reads that may wait; absent: LIMITS.pendingStoreReads. */
  readonly pendingReadsMax?: number;
  /** Listen to the server's invalidations; absent: nobody keeps copies, and there is no channel. */
  readonly tracking?: {
    readonly heartbeatMs: number;
    readonly clock: Clock;
    /** The server does not allow tracking; told once for each code. */
    onRefused(code: string): void;
  };
};

/**
 * Sessions in Redis 7 or Valkey (D-12, D-18). Connects in the background: it may start before the server does, and
 * recovers by itself; meanwhile every method throws `store_unavailable` at once, or after `commandTimeoutMs` where a
 * connection has gone silent.
 *
 * Keys below the prefix: `s:{locator}` the session (hash: `r` revision, `n` last seen, `e` end in the callers' clock,
 * `h` hot, `c` cold, `b` pause after a failed refresh, `t:<hash>` service tokens), `l:{locator}:<name>` its leases, `u:{subject}` and `p:{provider session}` sorted sets of locators by
 * absolute end, `x:u:{…}` and `x:p:{…}` tombstones (hash: `w` written at, `u` in force until), `o:<id>` and `j:<id>`
 * consumed once, `q:<key>` counts (hash: `n`). Each key has an expiry. A hot read is one HMGET.
 *
 * Hot reads have a connection of their own (store-reader.ts), and so have invalidations (store-tracking.ts).
 */
export function createValkeyStore(options: ValkeyStoreOptions): SessionStore {
  return new ValkeyStore(options);
}

class ValkeyStore implements SessionStore {
  readonly kind = 'redis';
  readonly leases: StoreLeases;
  readonly counters: StoreCounters;
  readonly #prefix: string;
  readonly #connection: ValkeyConnection;
  readonly #reader: StoreReader;
  readonly #tracking: StoreTracking | undefined;
  readonly #faults: StoreFaults;
  #reachedOnce = false;

  constructor({ redis, onError = () => {}, pendingReadsMax, tracking }: ValkeyStoreOptions) {
    this.#prefix = redis.keyPrefix;
    this.#faults = new StoreFaults(redis, onError);
    const shared = { faults: this.#faults, onUp: () => this.#onUp() };
    this.#connection = new ValkeyConnection(redis, { ...shared, onDemoted: () => this.#renew('READONLY') });
    this.leases = createValkeyLeases(this.#connection, redis.keyPrefix);
    this.counters = createValkeyCounters(this.#connection, redis.keyPrefix);
    this.#reader = new StoreReader({ redis, pendingMax: pendingReadsMax ?? LIMITS.pendingStoreReads, ...shared });
    this.#tracking = tracking && new StoreTracking({ redis, ...tracking });
  }

  get changes(): StoreChanges | undefined {
    return this.#tracking?.changes;
  }

  get reads(): Readonly<StoreReadCounts> {
    return this.#reader.counts;
  }

  async create(creation: SessionCreation): Promise<'created' | 'ended'> {
    checkCreation(creation);
    const fields = checkedFields(creation);
    const indexes = indexesOf(creation);
    const added = await Promise.all(indexes.map((index) => this.#addToIndex(index, creation)));
    const { locator, now, expiresAt } = creation;
    const args = [now, expiresAt, msLeft(now, expiresAt), ...fields.flat()];
    if ((await this.#connection.script('createSession', [this.#sessionKey(locator)], args)) !== 1) {
      const mine = indexes.filter((_, position) => added[position]);
      await Promise.all(mine.map((index) => this.#removeFromIndex(index, [locator])));
      throw locatorExists();
    }
    return this.#settle(creation, indexes);
  }

  readHot(locator: string, now: number): Promise<StoredHot | undefined> {
    return isKey(locator) ? this.#reader.read(locator, now) : Promise.resolve(undefined);
  }

  async readAll(locator: string, now: number): Promise<StoredSession | undefined> {
    const key = this.#sessionKey(locator);
    const { r, n, e, ...sealed } = await this.#connection.run((redis) => redis.hgetallBuffer(key));
    const hot = parseHot(r, n, e, sealed[HOT_FIELD], now);
    return hot && { ...hot, ...sessionParts(Object.entries(sealed)) };
  }

  async touch(locator: string, now: number, expiresAt: number): Promise<boolean> {
    const args = [now, expiresAt, msLeft(now, expiresAt)];
    const isAlive = (await this.#connection.script('touchSession', [this.#sessionKey(locator)], args)) === 1;
    if (!isAlive) this.#tell(locator);
    return isAlive;
  }

  async update(
    locator: string,
    revision: number,
    change: SessionChange,
    now: number,
  ): Promise<'written' | 'gone' | 'conflict'> {
    const fields = checkedFields(change);
    const args = [now, revision, LIMITS.sessionRecordMaxBytes, ...fields.flat()];
    const written = this.#connection.script('updateSession', [this.#sessionKey(locator)], args);
    const outcome = await written.finally(() => this.#tell(locator));
    if (outcome === 'size') throw recordTooLarge(LIMITS.sessionRecordMaxBytes);
    return outcome as 'written' | 'gone' | 'conflict';
  }

  async destroy(end: SessionEnd): Promise<boolean> {
    const existed = await this.#end(end.locator, 0);
    await Promise.all(indexesOf(end).map((index) => this.#removeFromIndex(index, [end.locator])));
    return existed;
  }

  async destroyBySubject(subjectKey: string, now: number, tombstoneTtlMs: number): Promise<readonly string[]> {
    return this.#destroyIndexed({ kind: 'u', key: subjectKey }, now, tombstoneTtlMs);
  }

  async destroyByProviderSession(key: string, now: number, tombstoneTtlMs: number): Promise<readonly string[]> {
    return this.#destroyIndexed({ kind: 'p', key }, now, tombstoneTtlMs);
  }

  async listBySubject(subjectKey: string, now: number): Promise<readonly string[]> {
    checkKey(subjectKey);
    const key = this.#indexKey({ kind: 'u', key: subjectKey });
    return this.#liveOf((await this.#connection.script('listIndex', [key], [now])) as string[], now);
  }

  async consumeOnce(kind: OnceKind, id: string, _now: number, ttlMs: number): Promise<boolean> {
    const key = this.#onceKey(kind, id);
    return (await this.#connection.run((redis) => redis.set(key, '1', 'PX', msLeft(0, ttlMs), 'NX'))) === 'OK';
  }

  async isConsumed(kind: OnceKind, id: string): Promise<boolean> {
    const key = this.#onceKey(kind, id);
    return (await this.#connection.run((redis) => redis.get(key))) !== null;
  }

  async ping(): Promise<void> {
    await this.#connection.run((redis) => redis.ping());
  }

  status(): StoreStatus {
    return { reachable: this.#connection.isUp && this.#reader.isUp, reachedOnce: this.#reachedOnce };
  }

  async close(): Promise<void> {
    await Promise.all([this.#connection.close(), this.#reader.close(), this.#tracking?.close()]);
  }

  #onUp(): void {
    if (!this.status().reachable) return;
    if (this.#reachedOnce) this.#tracking?.renew('reconnected');
    this.#reachedOnce = true;
    this.#faults.recovered();
  }

  /** The server is no master any more: reads and invalidations move together with the writes (D-20). */
  #renew(fault: string): void {
    this.#reader.renew(fault);
    this.#tracking?.renew(fault);
  }

  /** This process hears of its own changes at once, also of one whose outcome is unknown. */
  #tell(locator: string): void {
    this.#tracking?.changes.session(locator);
  }

  /**
   * The last step of a creation. A logout writes its tombstone before it reads the index, and we write the index
   * before we read the tombstones: whoever comes second sees the other (D-18).
   */
  async #settle(creation: SessionCreation, indexes: readonly Index[]): Promise<'created' | 'ended'> {
    const { locator, now, startedAt, maxPerSubject } = creation;
    const replies = await Promise.all(
      indexes.map((index) => this.#script('settleCreation', this.#markedIndex(index), [now, startedAt])),
    );
    if (replies.some((reply) => reply[0] === 1)) {
      await this.destroy(creation);
      return 'ended';
    }
    for (const [position, index] of indexes.entries()) {
      const others = (replies[position]!.slice(1) as string[]).filter((other) => other !== locator);
      await this.#endExcess(index, others, index.kind === 'u' ? maxPerSubject : 0, now);
    }
    return 'created';
  }

  /** Make room for the session that was just made: it counts, but it never ends for its own sake. */
  async #endExcess(index: Index, others: readonly string[], max: number, now: number): Promise<void> {
    const surplus = others.slice(0, Math.max(0, others.length + 1 - INDEX_ENTRIES_MAX));
    const kept = others.slice(surplus.length);
    const live = max > 0 && kept.length >= max ? await this.#liveOf(kept, now) : [];
    const excess = live.slice(0, Math.max(0, live.length + 1 - max));
    await Promise.all([...surplus, ...excess].map((locator) => this.#end(locator, now)));
    await this.#removeFromIndex(index, [...surplus, ...excess]);
  }

  async #destroyIndexed(index: Index, now: number, tombstoneTtlMs: number): Promise<readonly string[]> {
    checkKey(index.key);
    const args = [now, now + tombstoneTtlMs, msLeft(0, tombstoneTtlMs)];
    const locators = (await this.#script('writeTombstone', this.#markedIndex(index), args)) as string[];
    const wereLive = await Promise.all(locators.map((locator) => this.#end(locator, now)));
    // An entry without a session may belong to a creation that has not written it yet, so it stays until its end.
    const ended = locators.filter((_, position) => wereLive[position]);
    await this.#removeFromIndex(index, ended);
    return ended;
  }

  async #liveOf(locators: readonly string[], now: number): Promise<readonly string[]> {
    const ends = await Promise.all(
      locators.map((locator) => this.#connection.run((redis) => redis.hget(this.#sessionKey(locator), 'e'))),
    );
    return locators.filter((_, position) => Number(ends[position] ?? 0) > now);
  }

  async #end(locator: string, now: number): Promise<boolean> {
    const ended = this.#connection.script('endSession', [this.#sessionKey(locator)], [now]);
    return (await ended.finally(() => this.#tell(locator))) === 1;
  }

  async #addToIndex(index: Index, creation: SessionCreation): Promise<boolean> {
    const { now, absoluteAt, locator } = creation;
    const args = [now, absoluteAt, msLeft(now, absoluteAt), locator];
    return (await this.#connection.script('addToIndex', [this.#indexKey(index)], args)) === 1;
  }

  async #removeFromIndex(index: Index, locators: readonly string[]): Promise<void> {
    if (locators.length === 0) return;
    await this.#connection.run((redis) => redis.zrem(this.#indexKey(index), ...locators));
  }

  async #script(
    name: 'settleCreation' | 'writeTombstone',
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): Promise<(string | number)[]> {
    return (await this.#connection.script(name, keys, args)) as (string | number)[];
  }

  #sessionKey(locator: string): string {
    return `${this.#prefix}s:{${locator}}`;
  }

  #onceKey(kind: OnceKind, id: string): string {
    checkKey(id);
    return `${this.#prefix}${kind === 'state' ? 'o' : 'j'}:${id}`;
  }

  #indexKey(index: Index): string {
    return `${this.#prefix}${index.kind}:{${index.key}}`;
  }

  /** The tombstone and the index of one user or provider session; the braces keep both in one slot. */
  #markedIndex(index: Index): [tombstone: string, index: string] {
    return [`${this.#prefix}x:${index.kind}:{${index.key}}`, this.#indexKey(index)];
  }
}
