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
  StoredDescription,
  StoredSession,
  StoreLeases,
  StoreReadCounts,
  StoreStatus,
} from './store.ts';
import { readHotOf } from './store-hot.ts';
import type { StoreNodeOptions } from './store-node.ts';
import { StoreNodes } from './store-nodes.ts';
import {
  checkCreation,
  checkKey,
  DESCRIPTION_FIELD,
  HOT_FIELD,
  INDEX_ENTRIES_MAX,
  isKey,
  locatorExists,
  recordTooLarge,
  sessionParts,
} from './store-rules.ts';
import {
  checkedFields,
  type Index,
  indexesOf,
  msLeft,
  onceName,
  parseDescription,
  parseHot,
} from './store-valkey-values.ts';
import type { ReplicatedWrite } from './store-wait.ts';

/** What a Redis store needs. */
export type ValkeyStoreOptions = {
  readonly redis: RedisSettings;
  /** Told once about each fault of the connection (again after a recovery). Never holds a secret. */
  readonly onError?: (error: SallyportError) => void;
  /** Too few replicas had this write in time (`wait_replicas`): a failover now would lose it. */
  readonly onUnreplicated?: (write: ReplicatedWrite) => void;
  /** Hot reads of one server that may wait; absent: LIMITS.pendingStoreReads. */
  readonly pendingReadsMax?: number;
  /** Listen to the server's invalidations; absent: nobody keeps copies, and there is no channel. */
  readonly tracking?: NonNullable<StoreNodeOptions['tracking']>;
};

/**
 * Sessions in Redis 7 or Valkey (D-12, D-18). Connects in the background: it may start before the server does, and
 * recovers by itself; meanwhile every method throws `store_unavailable` at once, or after `commandTimeoutMs` where a
 * connection has gone silent.
 *
 * Its keys: docs/ARCHITECTURE.md. Each has an expiry; a hot read is one HMGET. Which servers there are is known to
 * store-nodes.ts: each has connections for commands, hot reads and invalidations. What concerns several keys is done in
 * an order that holds without a transaction, so that it makes no difference which servers they are on.
 */
export function createValkeyStore(options: ValkeyStoreOptions): SessionStore {
  return new ValkeyStore(options);
}

class ValkeyStore implements SessionStore {
  readonly kind = 'redis';
  readonly leases: StoreLeases;
  readonly counters: StoreCounters;
  readonly changes: StoreChanges | undefined;
  readonly reads: Readonly<StoreReadCounts>;
  readonly lookUp: SessionStore['lookUp'] = (locator, now, waiter) => this.#nodes.read(locator, now, waiter);
  readonly readHot: SessionStore['readHot'] = async (locator, now) =>
    isKey(locator) ? readHotOf(this, locator, now) : undefined;
  readonly #prefix: string;
  readonly #nodes: StoreNodes;
  readonly #waits: boolean;
  readonly #onUnreplicated: (write: ReplicatedWrite) => void;
  #unreplicated = 0;

  constructor({ redis, onError = () => {}, onUnreplicated = () => {}, pendingReadsMax, tracking }: ValkeyStoreOptions) {
    this.#prefix = redis.keyPrefix;
    this.#waits = redis.waitReplicas !== undefined;
    this.#onUnreplicated = onUnreplicated;
    const pendingMax = pendingReadsMax ?? LIMITS.pendingStoreReads;
    this.#nodes = new StoreNodes({ redis, pendingMax, onError, ...(tracking && { tracking }) });
    this.changes = tracking && this.#nodes.changes;
    this.reads = this.#nodes.counts;
    this.leases = createValkeyLeases(this.#nodes, redis.keyPrefix);
    this.counters = createValkeyCounters(this.#nodes, redis.keyPrefix);
  }

  async create(creation: SessionCreation): Promise<'created' | 'ended'> {
    checkCreation(creation);
    const fields = checkedFields(creation);
    const indexes = indexesOf(creation);
    const added = await Promise.all(indexes.map((index) => this.#addToIndex(index, creation)));
    const { locator, now, expiresAt } = creation;
    const args = [now, expiresAt, msLeft(now, expiresAt), ...fields.flat()];
    if ((await this.#nodes.script('createSession', this.#sessionKey(locator), args)) !== 1) {
      const mine = indexes.filter((_, position) => added[position]);
      await Promise.all(mine.map((index) => this.#removeFromIndex(index, [locator])));
      throw locatorExists();
    }
    return this.#settle(creation, indexes);
  }

  async readAll(locator: string, now: number): Promise<StoredSession | undefined> {
    const key = this.#sessionKey(locator);
    const { r, n, e, ...sealed } = await this.#nodes.run(key, (redis) => redis.hgetallBuffer(key));
    const hot = parseHot(r, n, e, sealed[HOT_FIELD], now);
    return hot && { ...hot, ...sessionParts(Object.entries(sealed)) };
  }

  async touch(locator: string, now: number, expiresAt: number): Promise<boolean> {
    const args = [now, expiresAt, msLeft(now, expiresAt)];
    const isAlive = (await this.#nodes.script('touchSession', this.#sessionKey(locator), args)) === 1;
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
    const written = this.#nodes.script('updateSession', this.#sessionKey(locator), args);
    const outcome = await written.finally(() => this.#tell(locator));
    if (outcome === 'size') throw recordTooLarge(LIMITS.sessionRecordMaxBytes);
    // The cold part changes when the refresh token was rotated: the one before is worth nothing any more.
    if (outcome === 'written' && change.cold !== undefined) {
      await this.#replicated('rotation', [this.#sessionKey(locator)]);
    }
    return outcome as 'written' | 'gone' | 'conflict';
  }

  async destroy(end: SessionEnd): Promise<boolean> {
    const existed = await this.#end(end.locator, 0);
    await Promise.all(indexesOf(end).map((index) => this.#removeFromIndex(index, [end.locator])));
    await this.#replicated('logout', [this.#sessionKey(end.locator)]);
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
    return this.#liveOf(await this.#listIndex({ kind: 'u', key: subjectKey }, now), now);
  }

  async readDescriptions(locators: readonly string[], now: number): Promise<readonly StoredDescription[]> {
    const keys = locators.map((locator) => this.#sessionKey(locator));
    const found = await Promise.all(
      keys.map((key) => this.#nodes.run(key, (redis) => redis.hmgetBuffer(key, 'n', 'e', DESCRIPTION_FIELD))),
    );
    return locators.flatMap((locator, position) => parseDescription(locator, found[position], now) ?? []);
  }

  async consumeOnce(kind: OnceKind, id: string, _now: number, ttlMs: number): Promise<boolean> {
    const key = this.#prefix + onceName(kind, id);
    return (await this.#nodes.run(key, (redis) => redis.set(key, '1', 'PX', msLeft(0, ttlMs), 'NX'))) === 'OK';
  }

  async isConsumed(kind: OnceKind, id: string): Promise<boolean> {
    const key = this.#prefix + onceName(kind, id);
    return (await this.#nodes.run(key, (redis) => redis.get(key))) !== null;
  }

  async ping(): Promise<void> {
    const { list } = this.#nodes;
    await Promise.all(list.map(({ connection }) => connection.run((redis) => redis.ping())));
    if (list.length === 0) await this.#nodes.run('', (redis) => redis.ping());
  }

  status(): StoreStatus {
    const { isUp, reachedOnce } = this.#nodes;
    return { reachable: isUp, reachedOnce, unreplicated: this.#unreplicated };
  }

  close(): Promise<void> {
    return this.#nodes.close();
  }

  /** This process hears of its own changes at once, also of one whose outcome is unknown. */
  #tell(locator: string): void {
    this.#nodes.changes.session(locator);
  }

  /**
   * The last step of a creation. A logout writes its tombstone before it reads the index, and we write the index
   * before we read the tombstones: whoever comes second sees the other (D-18).
   */
  async #settle(creation: SessionCreation, indexes: readonly Index[]): Promise<'created' | 'ended'> {
    const { locator, now, startedAt, maxPerSubject } = creation;
    const marks = await Promise.all(indexes.map((index) => this.#hasTombstone(index, now, startedAt)));
    if (marks.includes(true)) {
      await this.destroy(creation);
      return 'ended';
    }
    for (const index of indexes) {
      const others = (await this.#listIndex(index, now)).filter((other) => other !== locator);
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
    await this.#nodes.script('writeTombstone', this.#tombstoneKey(index), args);
    // Only now: whoever is added later reads the tombstone.
    const locators = await this.#listIndex(index, now);
    const wereLive = await Promise.all(locators.map((locator) => this.#end(locator, now)));
    // An entry without a session may belong to a creation that has not written it yet, so it stays until its end.
    const ended = locators.filter((_, position) => wereLive[position]);
    await this.#removeFromIndex(index, ended);
    await this.#replicated('logout', [this.#tombstoneKey(index), ...ended.map((locator) => this.#sessionKey(locator))]);
    return ended;
  }

  async #liveOf(locators: readonly string[], now: number): Promise<readonly string[]> {
    return (await this.readDescriptions(locators, now)).map(({ locator }) => locator);
  }

  async #end(locator: string, now: number): Promise<boolean> {
    const ended = this.#nodes.script('endSession', this.#sessionKey(locator), [now]);
    return (await ended.finally(() => this.#tell(locator))) === 1;
  }

  async #addToIndex(index: Index, creation: SessionCreation): Promise<boolean> {
    const { now, absoluteAt, locator } = creation;
    const args = [now, absoluteAt, msLeft(now, absoluteAt), locator];
    return (await this.#nodes.script('addToIndex', this.#indexKey(index), args)) === 1;
  }

  async #removeFromIndex(index: Index, locators: readonly string[]): Promise<void> {
    if (locators.length === 0) return;
    const key = this.#indexKey(index);
    await this.#nodes.run(key, (redis) => redis.zrem(key, ...locators));
  }

  async #listIndex(index: Index, now: number): Promise<readonly string[]> {
    return (await this.#nodes.script('listIndex', this.#indexKey(index), [now])) as string[];
  }

  /** Whether a tombstone in force is as new as `startedAt`. */
  async #hasTombstone(index: Index, now: number, startedAt: number): Promise<boolean> {
    const key = this.#tombstoneKey(index);
    const [writtenAt, until] = await this.#nodes.run(key, (redis) => redis.hmget(key, 'w', 'u'));
    return writtenAt != null && until != null && Number(until) > now && Number(writtenAt) >= startedAt;
  }

  /** Wait until replicas have what was written under these keys; a miss is counted and told, no failure (D-18). */
  async #replicated(write: ReplicatedWrite, keys: readonly string[]): Promise<void> {
    if (!this.#waits) return;
    const confirmed = await Promise.all(
      keys.map((key) => this.#nodes.confirm(key, `${this.#prefix}w:${key.slice(key.indexOf('{'))}`)),
    );
    if (!confirmed.includes(false)) return;
    this.#unreplicated += 1;
    this.#onUnreplicated(write);
  }

  #sessionKey(locator: string): string {
    return `${this.#prefix}s:{${locator}}`;
  }

  #indexKey(index: Index): string {
    return `${this.#prefix}${index.kind}:{${index.key}}`;
  }

  #tombstoneKey(index: Index): string {
    return `${this.#prefix}x:${index.kind}:{${index.key}}`;
  }
}
