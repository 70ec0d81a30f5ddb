import type { RedisNodeSettings } from './config/types-store.ts';
import type { SallyportError } from './errors.ts';
import type { Waiter } from './late.ts';
import { LIMITS } from './limits.ts';
import { BulkCursor, readDigits, readErrorCode, readErrorLine } from './resp-codec.ts';
import { askWhetherMaster, CLOSED, RespConnection } from './resp-connection.ts';
import type { HotView, StoreReadCounts } from './store.ts';
import { createPlaceholder, Lookup } from './store-lookup.ts';
import { parseRedirect, type StoreRedirect } from './store-slots.ts';
import type { StoreFaults } from './store-valkey-faults.ts';

/** What a reader needs. */
export type StoreReaderOptions = {
  readonly redis: RedisNodeSettings;
  /** The server must be a master: it is one of several that can take each other's place. */
  readonly isMember: boolean;
  readonly counts: StoreReadCounts;
  /** Look-ups that may wait, answered or not: above it reads are refused and counted. */
  readonly pendingMax: number;
  readonly faults: StoreFaults;
  /** The connection is up (again). */
  onUp(): void;
  /** The connection was up and broke. */
  onDown(): void;
  /** A server of a Cluster names another one, which is read there. Absent: such an answer is a failure. */
  onRedirect?(redirect: StoreRedirect, lookup: Lookup): Promise<void>;
};

/** Servers that one read is sent to at most: two redirections (MOVED, then ASK). */
const HOPS_MAX = 3;

/** Fields of a hot read; `e` is the end in the callers' clock. */
const ASKING_TEXT = '*1\r\n$6\r\nASKING\r\n';
const FIELDS_TEXT = '$1\r\nr\r\n$1\r\nn\r\n$1\r\ne\r\n$1\r\nh\r\n';
type Mutable<Value> = { -readonly [Name in keyof Value]: Value[Name] };

/** `s:{` and `}` around the locator. */
const KEY_MARKS = 4;
const NO_BYTES = Buffer.alloc(0);
/** The answers of a busy turn come with one call of the kernel. */
const READ_MAX_BYTES = 262_144;
/** A record and what RESP puts around it. */
const REPLY_MAX_BYTES = LIMITS.sessionRecordMaxBytes + 1_024;
/** How a connection ends whose server goes on: a proxy between was restarted, or somebody killed the connection. */
const BREAKS: ReadonlySet<string> = new Set([CLOSED, 'ECONNRESET', 'EPIPE']);
/** Answered look-ups kept in front of the queue before it is cut. */
const QUEUE_SLACK = 1_024;

/**
 * Hot reads over a connection of their own (D-14): those of one loop turn leave as one write, each key once, and are
 * answered in order. A read has the deadline `commandTimeoutMs`. When the connection breaks, reads wait for the one
 * attempt that follows, within their deadlines, and are sent once more: they change nothing. If that attempt fails, all
 * fail, and from then on nothing waits for a connection. One without an answer for a whole deadline is given up: the
 * peer is gone without a word, and TCP would take minutes to say so. Whatever goes wrong is `store_unavailable`.
 */
export class StoreReader {
  readonly counts: StoreReadCounts;
  readonly #options: StoreReaderOptions;
  readonly #connection: RespConnection;
  readonly #cursor = new BulkCursor();
  /** What was read last: one for all, since nobody keeps it. */
  readonly #view: Mutable<HotView> = { revision: 0, lastSeenAt: 0, bytes: NO_BYTES, start: 0, end: 0 };
  /** The reads of this loop turn by locator. */
  readonly #turn = new Map<string, Lookup>();
  /** What was sent, oldest first; those before `#head` are answered. */
  #queue: Lookup[] = [];
  #head = 0;
  #deadline: NodeJS.Timeout | undefined;
  #repliedAt = 0;
  #fault = 'connecting';
  /** The connection broke, and the next attempt is under way. */
  #isHolding = false;

  constructor(options: StoreReaderOptions) {
    const { redis, faults, isMember } = options;
    this.#options = options;
    this.counts = options.counts;
    this.#connection = new RespConnection({
      redis,
      replyMaxBytes: REPLY_MAX_BYTES,
      readMaxBytes: READ_MAX_BYTES,
      greet: async (ask) => (isMember ? askWhetherMaster(ask) : void (await ask(['PING']))),
      onUp: () => {
        this.#goOn();
        options.onUp();
      },
      onReply: (bytes, start) => this.#answer(bytes, start),
      onDown: (fault) => {
        if (BREAKS.has(fault)) this.#hold(fault);
        else this.#failAll(fault);
        options.onDown();
      },
      onFault: (fault, wasUp) => {
        this.#fault = fault;
        if (!wasUp) this.#failAll(fault);
        faults.report(fault);
      },
    });
  }

  /** Whether reads can be sent now. */
  get isUp(): boolean {
    return this.#connection.isUp;
  }

  /** Look-ups that wait now. */
  get pending(): number {
    return this.#turn.size + this.#queue.length - this.#head;
  }

  /** See SessionStore.lookUp; the session is looked for below `keyPrefix`. */
  read(locator: string, now: number, waiter: Waiter<HotView | undefined>): void {
    const known = this.#turn.get(locator);
    if (known !== undefined) {
      known.join(now, waiter);
      return;
    }
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    if (this.#turn.size === 0) setImmediate(this.#send);
    this.#turn.set(locator, new Lookup(locator, now, waiter));
  }

  /**
   * Go on behind a redirection, at once. @param asking the slot is on its way to this server.
   * @throws store_unavailable if nothing can be asked now
   */
  follow(lookup: Lookup, asking: boolean): void {
    const refusal = this.#connection.isUp ? this.#refusal() : this.#unavailable(this.#fault);
    if (refusal !== undefined) throw refusal;
    // The answer to ASKING has a place of its own in the queue; nobody waits for it.
    if (asking) this.#queue.push(createPlaceholder());
    lookup.sentAt = performance.now();
    this.#queue.push(lookup);
    this.counts.lookups += 1;
    this.counts.writes += 1;
    this.#connection.write((asking ? ASKING_TEXT : '') + this.#command(lookup.locator));
    this.#deadline ??= this.#watch(this.#options.redis.commandTimeoutMs);
  }

  /** Give the connection up and open another one; what is in flight fails. */
  renew(fault: string): void {
    this.#connection.drop(fault);
  }

  /** End the connection. Leaves no socket and no timer. */
  async close(): Promise<void> {
    this.#fault = 'closed';
    await this.#connection.close();
    this.#failAll(this.#fault);
  }

  readonly #send = (): void => {
    if (this.#turn.size === 0) return;
    const sentAt = performance.now();
    const from = this.#queue.length;
    for (const lookup of this.#turn.values()) {
      lookup.sentAt = sentAt;
      this.#queue.push(lookup);
    }
    this.#turn.clear();
    if (!this.#isHolding) this.#write(from);
    this.#deadline ??= this.#watch(this.#options.redis.commandTimeoutMs);
  };

  /** Send what stands in the queue from there on. */
  #write(from: number): void {
    let text = '';
    for (let at = from; at < this.#queue.length; at += 1) text += this.#command(this.#queue[at]!.locator);
    this.counts.lookups += this.#queue.length - from;
    this.counts.writes += 1;
    this.#connection.write(text);
  }

  /** What is under way waits for the next attempt; what did so before has had its chance. */
  #hold(fault: string): void {
    this.#fault = fault;
    this.#isHolding = true;
    const waiting = this.#queue.slice(this.#head).filter(({ isSettled }) => !isSettled);
    this.#head = 0;
    this.#queue = waiting.filter(({ isRepeated }) => !isRepeated);
    for (const lookup of waiting) {
      if (lookup.isRepeated) lookup.failed(this.#unavailable(fault));
      lookup.isRepeated = true;
    }
  }

  #goOn(): void {
    this.#isHolding = false;
    this.#queue = this.#queue.filter(({ isSettled }) => !isSettled);
    if (this.#queue.length > 0) this.#write(0);
  }

  #command(locator: string): string {
    const { keyPrefix } = this.#options.redis;
    const keyBytes = keyPrefix.length + KEY_MARKS + locator.length;
    return `*6\r\n$5\r\nHMGET\r\n$${keyBytes}\r\n${keyPrefix}s:{${locator}}\r\n${FIELDS_TEXT}`;
  }

  /** Why nothing can be sent now. */
  #refusal(): SallyportError | undefined {
    if (!this.#connection.isUp && !this.#isHolding) return this.#unavailable(this.#fault);
    if (this.pending < this.#options.pendingMax) return undefined;
    this.counts.refused += 1;
    return this.#unavailable('too many reads wait');
  }

  #answer(bytes: Buffer, start: number): void {
    const lookup = this.#queue[this.#head];
    if (lookup === undefined) {
      this.#connection.drop('protocol_error');
      return;
    }
    this.#repliedAt = this.#connection.heardAt;
    this.#head += 1;
    if (this.#head === this.#queue.length || this.#head > QUEUE_SLACK) {
      this.#queue = this.#head === this.#queue.length ? [] : this.#queue.slice(this.#head);
      this.#head = 0;
    }
    if (lookup.isSettled) return;
    const code = readErrorCode(bytes, start);
    if (code !== undefined) this.#refused(lookup, code, readErrorLine(bytes, start));
    else lookup.done(this.#readHot(bytes, start, lookup.now) ? this.#view : undefined);
  }

  #refused(lookup: Lookup, code: string, line: string): void {
    const { onRedirect } = this.#options;
    const redirect = onRedirect && lookup.hops < HOPS_MAX ? parseRedirect(line) : undefined;
    if (onRedirect === undefined || redirect === undefined) {
      lookup.failed(this.#unavailable(code));
      return;
    }
    lookup.hops += 1;
    onRedirect(redirect, lookup).catch((error: unknown) => lookup.failed(error));
  }

  /** One timer for all that is in flight. */
  #watch(afterMs: number): NodeJS.Timeout {
    // After a stall of our own event loop the timer fires before an answer that already waits in the socket is read.
    return setTimeout(() => setImmediate(() => this.#expire()), afterMs);
  }

  #expire(): void {
    this.#deadline = undefined;
    const { commandTimeoutMs } = this.#options.redis;
    const now = performance.now();
    const oldest = this.#queue[this.#head];
    let at = this.#head;
    for (; at < this.#queue.length; at += 1) {
      const lookup = this.#queue[at]!;
      if (now - lookup.sentAt < commandTimeoutMs) break;
      if (!lookup.isSettled) lookup.failed(this.#unavailable('timeout'));
    }
    const isSilent = oldest !== undefined && at > this.#head && now - this.#repliedAt >= commandTimeoutMs;
    const next = this.#queue[at];
    if (this.#isHolding && at > this.#head) this.#failAll('timeout');
    else if (isSilent) this.#connection.drop('timeout');
    else if (next !== undefined) this.#deadline = this.#watch(Math.max(1, commandTimeoutMs - (now - next.sentAt)));
  }

  #failAll(fault: string): void {
    this.#fault = fault;
    this.#isHolding = false;
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    const lost = [...this.#queue.slice(this.#head), ...this.#turn.values()];
    this.#queue = [];
    this.#head = 0;
    this.#turn.clear();
    for (const lookup of lost) if (!lookup.isSettled) lookup.failed(this.#unavailable(fault));
  }

  /** A hash that lacks one of the fields, or holds no numbers, is no session of ours: nothing of it is believed. */
  #readHot(bytes: Buffer, start: number, now: number): boolean {
    const cursor = this.#cursor;
    const view = this.#view;
    if (!cursor.open(bytes, start, 4)) return false;
    view.revision = readNumber(cursor, bytes);
    view.lastSeenAt = readNumber(cursor, bytes);
    const expiresAt = readNumber(cursor, bytes);
    const hasHot = cursor.next() && cursor.start !== -1;
    cursor.close();
    view.bytes = bytes;
    view.start = cursor.start;
    view.end = cursor.end;
    // A comparison with NaN is false, so that a field that is no number ends here.
    return hasHot && view.revision >= 0 && view.lastSeenAt >= 0 && expiresAt > now;
  }

  #unavailable(fault: string): SallyportError {
    return this.#options.faults.unavailable(fault);
  }
}

function readNumber(cursor: BulkCursor, bytes: Buffer): number {
  return cursor.next() && cursor.start !== -1 ? readDigits(bytes, cursor.start, cursor.end) : Number.NaN;
}
