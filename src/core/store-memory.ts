import type { Waiter } from './late.ts';
import { createMemoryLeases } from './lease-memory.ts';
import { LIMITS } from './limits.ts';
import type {
  HotView,
  OnceKind,
  SessionChange,
  SessionCreation,
  SessionEnd,
  SessionStore,
  StoredDescription,
  StoredHot,
  StoredSession,
  StoreReadCounts,
  StoreStatus,
} from './store.ts';
import { ChangeHub } from './store-changes.ts';
import { readHotOf, viewOf } from './store-hot.ts';
import { MemoryMarks } from './store-memory-marks.ts';
import {
  checkCreation,
  checkKey,
  DESCRIPTION_FIELD,
  FIRST_REVISION,
  HOT_FIELD,
  INDEX_ENTRIES_MAX,
  locatorExists,
  recordTooLarge,
  sealedBytes,
  sealedFields,
  sessionParts,
} from './store-rules.ts';
import { createSweep } from './sweep.ts';

/** Bounds of a memory store; what is absent comes from LIMITS. */
export type MemoryStoreOptions = {
  readonly limits?: {
    readonly memorySessionsMax?: number;
    readonly memoryMarksMax?: number;
    readonly sessionRecordMaxBytes?: number;
  };
};

/**
 * The embedded store: one process, no connection, gone with it. The times that callers pass decide what is over;
 * nothing runs on a timer, each write looks at a few old entries instead.
 *
 * Bounds: above `memorySessionsMax` the session created first ends; `memoryMarksMax` as MemoryMarks says.
 * Buffers that reads return are the stored ones and must not be changed.
 */
export function createMemoryStore(options: MemoryStoreOptions = {}): SessionStore {
  return new MemoryStore(options.limits ?? {});
}

type MemoryRecord = {
  revision: number;
  lastSeenAt: number;
  expiresAt: number;
  readonly absoluteAt: number;
  readonly subjectKey: string;
  readonly providerSessionKey: string | undefined;
  readonly fields: Map<string, Buffer>;
};

class MemoryStore implements SessionStore {
  readonly kind = 'memory';
  /** Every change is ours and told at once. */
  readonly changes = new ChangeHub(() => Number.POSITIVE_INFINITY);
  readonly reads: StoreReadCounts = { lookups: 0, writes: 0, refused: 0 };
  readonly leases = createMemoryLeases((locator) => this.changes.lease(locator));
  readonly #sessionsMax: number;
  readonly #recordMaxBytes: number;
  readonly #sessions = new Map<string, MemoryRecord>();
  readonly #bySubject = new Map<string, Set<string>>();
  readonly #byProviderSession = new Map<string, Set<string>>();
  readonly #marks: MemoryMarks;
  readonly #sweepSessions = createSweep(
    this.#sessions,
    (record, now) => record.expiresAt <= now,
    (locator) => this.#remove(locator),
  );

  constructor(limits: NonNullable<MemoryStoreOptions['limits']>) {
    this.#sessionsMax = limits.memorySessionsMax ?? LIMITS.memorySessionsMax;
    this.#marks = new MemoryMarks(limits.memoryMarksMax ?? LIMITS.memoryMarksMax);
    this.#recordMaxBytes = limits.sessionRecordMaxBytes ?? LIMITS.sessionRecordMaxBytes;
  }

  async create(creation: SessionCreation): Promise<'created' | 'ended'> {
    checkCreation(creation);
    const fields = sealedFields(creation);
    if (sealedBytes(fields) > this.#recordMaxBytes) throw recordTooLarge(this.#recordMaxBytes);
    if (this.#findLive(creation.locator, creation.now) !== undefined) throw locatorExists();
    if (this.#marks.isTombstoned(creation)) return 'ended';
    this.#sweepSessions(creation.now);
    while (this.#sessions.size >= this.#sessionsMax) this.#removeFirst();
    this.#insert(creation, new Map(fields.map(([name, value]) => [name, Buffer.from(value)])));
    this.#enforceBounds(creation);
    return 'created';
  }

  lookUp(locator: string, now: number, waiter: Waiter<HotView | undefined>): void {
    this.reads.lookups += 1;
    const record = this.#findLive(locator, now);
    const view = record && viewOf(hotOf(record));
    queueMicrotask(() => waiter.done(view));
  }

  readHot(locator: string, now: number): Promise<StoredHot | undefined> {
    return readHotOf(this, locator, now);
  }

  async readAll(locator: string, now: number): Promise<StoredSession | undefined> {
    const record = this.#findLive(locator, now);
    return record && { ...hotOf(record), ...sessionParts(record.fields) };
  }

  async touch(locator: string, now: number, expiresAt: number): Promise<boolean> {
    const record = this.#findLive(locator, now);
    if (record === undefined) return false;
    record.lastSeenAt = Math.max(record.lastSeenAt, now);
    record.expiresAt = Math.max(record.expiresAt, expiresAt);
    return true;
  }

  async update(
    locator: string,
    revision: number,
    change: SessionChange,
    now: number,
  ): Promise<'written' | 'gone' | 'conflict'> {
    const fields = sealedFields(change);
    if (sealedBytes(fields) > this.#recordMaxBytes) throw recordTooLarge(this.#recordMaxBytes);
    const record = this.#findLive(locator, now);
    if (record === undefined) return 'gone';
    if (record.revision !== revision) return 'conflict';
    const merged = new Map([...record.fields, ...fields]);
    if (sealedBytes(merged) > this.#recordMaxBytes) throw recordTooLarge(this.#recordMaxBytes);
    for (const [name, value] of fields) record.fields.set(name, Buffer.from(value));
    record.revision += 1;
    this.changes.session(locator);
    return 'written';
  }

  async destroy(end: SessionEnd): Promise<boolean> {
    return this.#remove(end.locator);
  }

  async destroyBySubject(subjectKey: string, now: number, tombstoneTtlMs: number): Promise<readonly string[]> {
    checkKey(subjectKey);
    this.#marks.writeTombstone(`u:${subjectKey}`, now, tombstoneTtlMs);
    return this.#endAll(this.#bySubject.get(subjectKey), now);
  }

  async destroyByProviderSession(key: string, now: number, tombstoneTtlMs: number): Promise<readonly string[]> {
    checkKey(key);
    this.#marks.writeTombstone(`p:${key}`, now, tombstoneTtlMs);
    return this.#endAll(this.#byProviderSession.get(key), now);
  }

  async listBySubject(subjectKey: string, now: number): Promise<readonly string[]> {
    checkKey(subjectKey);
    return this.#liveOf(this.#bySubject.get(subjectKey), now);
  }

  async readDescriptions(locators: readonly string[], now: number): Promise<readonly StoredDescription[]> {
    return locators.flatMap((locator) => {
      const record = this.#findLive(locator, now);
      if (record === undefined) return [];
      return [{ locator, lastSeenAt: record.lastSeenAt, description: record.fields.get(DESCRIPTION_FIELD) }];
    });
  }

  async consumeOnce(kind: OnceKind, id: string, now: number, ttlMs: number): Promise<boolean> {
    return this.#marks.consumeOnce(kind, id, now, ttlMs);
  }

  async isConsumed(kind: OnceKind, id: string, now: number): Promise<boolean> {
    return this.#marks.isConsumed(kind, id, now);
  }

  async ping(): Promise<void> {}

  status(): StoreStatus {
    return { reachable: true, reachedOnce: true, unreplicated: 0 };
  }

  async close(): Promise<void> {
    this.#sessions.clear();
    this.#bySubject.clear();
    this.#byProviderSession.clear();
    this.#marks.clear();
    this.changes.all();
  }

  #findLive(locator: string, now: number): MemoryRecord | undefined {
    const record = this.#sessions.get(locator);
    if (record === undefined || record.expiresAt > now) return record;
    this.#remove(locator);
    return undefined;
  }

  #insert(creation: SessionCreation, fields: Map<string, Buffer>): void {
    const { locator, subjectKey, providerSessionKey, now, expiresAt, absoluteAt } = creation;
    const times = { revision: FIRST_REVISION, lastSeenAt: now, expiresAt, absoluteAt };
    this.#sessions.set(locator, { ...times, subjectKey, providerSessionKey, fields });
    addTo(this.#bySubject, subjectKey, locator);
    if (providerSessionKey !== undefined) addTo(this.#byProviderSession, providerSessionKey, locator);
  }

  #remove(locator: string): boolean {
    const record = this.#sessions.get(locator);
    if (record === undefined) return false;
    this.#sessions.delete(locator);
    removeFrom(this.#bySubject, record.subjectKey, locator);
    if (record.providerSessionKey !== undefined) {
      removeFrom(this.#byProviderSession, record.providerSessionKey, locator);
    }
    this.changes.session(locator);
    return true;
  }

  #removeFirst(): void {
    const [first] = this.#sessions.keys();
    if (first !== undefined) this.#remove(first);
  }

  /** End what is too much, oldest end first, but never the session that was just made. */
  #enforceBounds(creation: SessionCreation): void {
    const { locator, now, maxPerSubject, subjectKey, providerSessionKey } = creation;
    const subjectMax = maxPerSubject > 0 ? Math.min(maxPerSubject, INDEX_ENTRIES_MAX) : INDEX_ENTRIES_MAX;
    this.#trim(this.#bySubject.get(subjectKey), subjectMax, locator, now);
    if (providerSessionKey === undefined) return;
    this.#trim(this.#byProviderSession.get(providerSessionKey), INDEX_ENTRIES_MAX, locator, now);
  }

  #trim(locators: Set<string> | undefined, max: number, own: string, now: number): void {
    if (locators === undefined || locators.size <= max) return;
    const live = this.#liveOf(locators, now);
    const excess = Math.max(0, live.length - max);
    for (const locator of live.filter((other) => other !== own).slice(0, excess)) this.#remove(locator);
  }

  /** Live sessions, the one that ends first in front; equal ends in the order of the locators, as Redis sorts. */
  #liveOf(locators: Set<string> | undefined, now: number): string[] {
    const live: [string, number][] = [];
    for (const locator of [...(locators ?? [])]) {
      const record = this.#findLive(locator, now);
      if (record !== undefined && record.absoluteAt > now) live.push([locator, record.absoluteAt]);
    }
    return live.sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1)).map(([locator]) => locator);
  }

  #endAll(locators: Set<string> | undefined, now: number): readonly string[] {
    const live = this.#liveOf(locators, now);
    for (const locator of live) this.#remove(locator);
    return live;
  }
}

function hotOf(record: MemoryRecord): StoredHot {
  const hot = record.fields.get(HOT_FIELD) as Buffer;
  return { revision: record.revision, lastSeenAt: record.lastSeenAt, hot };
}

function addTo(index: Map<string, Set<string>>, key: string, locator: string): void {
  const locators = index.get(key);
  if (locators === undefined) index.set(key, new Set([locator]));
  else locators.add(locator);
}

function removeFrom(index: Map<string, Set<string>>, key: string, locator: string): void {
  const locators = index.get(key);
  if (locators === undefined) return;
  locators.delete(locator);
  if (locators.size === 0) index.delete(key);
}
