import assert from 'node:assert/strict';
import { createKeyRing } from '../../src/core/crypto.ts';
import { L1 } from '../../src/core/l1.ts';
import type { Waiter } from '../../src/core/late.ts';
import type { Session, Sessions } from '../../src/core/services.ts';
import { locatorOf, sealPart } from '../../src/core/session.ts';
import type { HotView, SessionStore } from '../../src/core/store.ts';
import { ChangeHub } from '../../src/core/store-changes.ts';
import { viewOf } from '../../src/core/store-hot.ts';
import { hotOf, NOW } from '../core/world.ts';
import { sessionsOver } from '../support/direct-sessions.ts';

/** Interval of the model's heartbeat, ms. */
export const HEARTBEAT_MS = 1_000;
/** Sessions of the model. */
export const SESSIONS = 3;

/** What the server sends on the invalidation channel. `version` is that of the change. */
type Message =
  | { readonly kind: 'changed'; readonly locator: string; readonly version: number }
  | { readonly kind: 'pong'; readonly sentAt: number }
  /** From here on changes are published. `versions` are those of the moment, by row. */
  | { readonly kind: 'subscribed'; readonly sentAt: number; readonly versions: readonly number[] };

/** One session on the server. Version 1 is its creation; each change, the deletion too, raises it. */
type Row = {
  readonly handle: string;
  readonly locator: string;
  /** When each version came to be, ms; index 0 is version 1. */
  readonly changedAt: number[];
  readonly sealed: Buffer;
  isDeleted: boolean;
  /**
   * Highest version that this process knows to be superseding: it has seen the invalidation, made the write itself, or
   * subscribed after it.
   */
  acknowledged: number;
};

type Read = {
  readonly row: Row;
  readonly waiter: Waiter<HotView | undefined>;
  reply?: HotView | undefined;
  isServed: boolean;
};

const ring = createKeyRing([{ id: 'k1', secret: Buffer.alloc(32, 7) }]);

/**
 * Real sessions with a real L1 over a model: a server, a read connection and an invalidation channel, all of them FIFO,
 * whose every delivery is a step of its own, and a clock that moves when told.
 */
export class L1World {
  #now = NOW;
  readonly rows: readonly Row[];
  readonly l1: L1;
  /** How often a session was found without a promise: shows that the model exercises the cache at all. */
  hits = 0;
  readonly #sessions: Sessions;
  readonly #hub = new ChangeHub(() => Math.min(this.#currentUntil, this.#vouchedUntil));
  /** Until when somebody who knows has named our server the master; no end while nobody is asked. */
  #vouchedUntil = Number.POSITIVE_INFINITY;
  /** Another server has become the master: ours answers PING and publishes nothing more, and reads fail. */
  #isDeposed = false;
  #currentUntil = Number.NEGATIVE_INFINITY;
  #reads: Read[] = [];
  #channel: Message[] = [];
  /** `silent`: open, and nothing passes any more. */
  #state: 'up' | 'silent' | 'down' | 'subscribing' = 'down';
  #pingedAt: number | undefined;
  readonly #pending: Promise<void>[] = [];
  readonly #failures: unknown[] = [];

  constructor(maxEntries: number) {
    this.rows = Array.from({ length: SESSIONS }, (_, index) => newRow(index));
    this.l1 = new L1({ changes: this.#hub, maxEntries, maxBytes: 1e9 });
    const store = {
      changes: this.#hub,
      lookUp: (locator: string, _now: number, waiter: Waiter<HotView | undefined>) => {
        const row = this.rows.find((each) => each.locator === locator)!;
        this.#reads.push({ row, waiter, isServed: false });
      },
    } as unknown as SessionStore;
    this.#sessions = sessionsOver({
      ...{ store, ring, l1: this.l1 },
      clock: { now: () => this.#now },
      settings: { idleMs: 1e12, absoluteMs: 1e12 },
    });
  }

  wait(ms: number): void {
    this.#now += ms;
  }

  /** A request: what it is told must not be older than the bound allows, at the time it asked. */
  find(index: number): void {
    const row = this.rows[index]!;
    const askedAt = this.#now;
    const { acknowledged } = row;
    const found = this.#sessions.find(row.handle, false);
    if (found instanceof Promise) {
      const answered = found.then(
        (session) => this.#check(row, session, askedAt, acknowledged),
        (error: Error) => assert.equal(error.message, 'cut'),
      );
      this.#pending.push(answered.catch((error: unknown) => void this.#failures.push(error)));
      return;
    }
    this.hits += 1;
    this.#check(row, found, askedAt, acknowledged);
  }

  /** Another process writes, or an operator deletes. */
  change(index: number, isDeletion: boolean): void {
    const row = this.rows[index]!;
    if (row.isDeleted) return;
    row.isDeleted = isDeletion;
    row.changedAt.push(this.#now);
    const version = row.changedAt.length;
    if (!this.#isDeposed && (this.#state === 'up' || this.#state === 'subscribing')) {
      this.#channel.push({ kind: 'changed', locator: row.locator, version });
    }
  }

  /** This process writes, and has the answer: its L1 knows at once. */
  changeOwn(index: number, isDeletion: boolean): void {
    if (this.#isDeposed) return;
    this.change(index, isDeletion);
    const row = this.rows[index]!;
    row.acknowledged = row.changedAt.length;
    this.#hub.session(row.locator);
  }

  /** The server answers the oldest read that it has not answered. */
  serveRead(): void {
    const read = this.#reads.find((each) => !each.isServed);
    if (read === undefined) return;
    const { row } = read;
    if (this.#isDeposed) {
      this.#reads = this.#reads.filter((each) => each !== read);
      read.waiter.failed(new Error('cut'));
      return;
    }
    read.isServed = true;
    const stored = { revision: row.changedAt.length, lastSeenAt: NOW, hot: row.sealed };
    read.reply = row.isDeleted ? undefined : viewOf(stored);
  }

  /** The oldest answer arrives. */
  async deliverRead(): Promise<void> {
    if (this.#reads[0]?.isServed !== true) return;
    const { waiter, reply } = this.#reads.shift()!;
    waiter.done(reply);
    await drainMicrotasks();
  }

  /** Another server becomes the master, with all that was written; nobody tells us. */
  failOver(): void {
    this.#isDeposed = true;
  }

  /** A session changes at a new master, while the old one answers every PING until the bound is over. */
  usurp(index: number): void {
    this.failOver();
    this.change(index, false);
    for (let round = 0; round < 4; round += 1) {
      this.wait(HEARTBEAT_MS / 2);
      this.beat();
      while (this.#channel.length > 0) this.deliverMessage();
    }
  }

  /** Whoever knows the masters is asked: as store-sentinel.ts and store-cluster.ts do. */
  async vouch(): Promise<void> {
    if (!this.#isDeposed) {
      this.#vouchedUntil = this.#now + 2 * HEARTBEAT_MS;
      return;
    }
    this.#isDeposed = false;
    this.#vouchedUntil = Number.NEGATIVE_INFINITY;
    this.cutChannel();
    await this.cutReads();
  }

  /** The connection of the reads breaks. */
  async cutReads(): Promise<void> {
    for (const { waiter } of this.#reads.splice(0)) waiter.failed(new Error('cut'));
    await drainMicrotasks();
  }

  /** The heartbeat of the channel, as store-tracking.ts does it. */
  beat(): void {
    if (this.#state !== 'up' && this.#state !== 'silent') return;
    if (this.#pingedAt !== undefined) {
      this.cutChannel();
      return;
    }
    this.#pingedAt = this.#now;
    if (this.#state === 'up') this.#channel.push({ kind: 'pong', sentAt: this.#now });
  }

  /** The oldest message of the channel arrives. */
  deliverMessage(): void {
    const message = this.#channel.shift();
    if (message === undefined) return;
    if (message.kind !== 'changed') {
      this.#pingedAt = undefined;
      this.#currentUntil = message.sentAt + 2 * HEARTBEAT_MS;
      if (message.kind === 'pong') return;
      this.#state = 'up';
      for (const [index, row] of this.rows.entries()) {
        row.acknowledged = Math.max(row.acknowledged, message.versions[index]!);
      }
      this.#hub.all();
    } else if (this.#state === 'up') {
      const row = this.rows.find(({ locator }) => locator === message.locator)!;
      row.acknowledged = Math.max(row.acknowledged, message.version);
      this.#hub.session(message.locator);
    }
  }

  /** The channel stays open and swallows everything. */
  silenceChannel(): void {
    if (this.#state !== 'up') return;
    this.#state = 'silent';
    this.#channel = [];
  }

  /** A change of which this process hears nothing until the bound is over. */
  lapse(index: number): void {
    this.silenceChannel();
    this.change(index, false);
    this.wait(2 * HEARTBEAT_MS);
  }

  cutChannel(): void {
    this.#state = 'down';
    this.#channel = [];
    this.#pingedAt = undefined;
    this.#currentUntil = Number.NEGATIVE_INFINITY;
    this.#hub.all();
  }

  /** Subscribed at the server; the process learns of it with the first message. */
  reconnectChannel(): void {
    if (this.#state !== 'down') return;
    this.#state = 'subscribing';
    this.#channel = [{ kind: 'subscribed', sentAt: this.#now, versions: this.rows.map((row) => row.changedAt.length) }];
  }

  /** Every read that is under way gets its answer. */
  async settleReads(): Promise<void> {
    while (this.#reads.length > 0) {
      this.serveRead();
      await this.deliverRead();
    }
  }

  /** Every request has been answered and checked. */
  async finish(): Promise<void> {
    await this.settleReads();
    await Promise.all(this.#pending);
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  #check(row: Row, session: Session | undefined, askedAt: number, acknowledged: number): void {
    if (session === undefined) {
      assert.ok(row.isDeleted, 'a live session was not found');
      return;
    }
    const supersededAt = row.changedAt[session.revision];
    assert.ok(session.revision >= acknowledged, `version ${session.revision} after ${acknowledged} was acknowledged`);
    if (supersededAt === undefined || supersededAt >= askedAt) return;
    const staleMs = askedAt - supersededAt;
    assert.ok(staleMs < 2 * HEARTBEAT_MS, `a session that changed ${staleMs} ms before it was asked for`);
  }
}

function newRow(index: number): Row {
  const handle = String(index).padStart(43, 'h');
  const locator = locatorOf(handle);
  const hot = hotOf({ absoluteAt: NOW + 1e12, idleMs: 1e12 });
  const sealed = sealPart(ring, handle, locator, 'h', hot);
  return { handle, locator, changedAt: [NOW], sealed, isDeleted: false, acknowledged: 1 };
}

async function drainMicrotasks(): Promise<void> {
  for (let round = 0; round < 10; round += 1) await Promise.resolve();
}
