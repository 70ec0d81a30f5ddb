import type { RedisNodeSettings } from './config/types-store.ts';
import type { SallyportError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { BulkCursor, readDigits, readErrorCode, readErrorLine } from './resp-codec.ts';
import { askWhetherMaster, RespConnection } from './resp-connection.ts';
import type { StoredHot, StoreReadCounts } from './store.ts';
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
  onRedirect?(redirect: StoreRedirect, locator: string, now: number, hops: number): Promise<StoredHot | undefined>;
};

/** Servers that one read is sent to at most: two redirections (MOVED, then ASK). */
const HOPS_MAX = 3;

/** Fields of a hot read; `e` is the end in the callers' clock. */
const ASKING_TEXT = '*1\r\n$6\r\nASKING\r\n';
const FIELDS_TEXT = '$1\r\nr\r\n$1\r\nn\r\n$1\r\ne\r\n$1\r\nh\r\n';
/** A record and what RESP puts around it. */
const REPLY_MAX_BYTES = LIMITS.sessionRecordMaxBytes + 1_024;
/** Answered look-ups kept in front of the queue before it is cut. */
const QUEUE_SLACK = 1_024;

type Lookup = {
  readonly locator: string;
  readonly answer: PromiseWithResolvers<StoredHot | undefined>;
  /** The latest time of those who ask, ms since the epoch. */
  now: number;
  /** Servers that it was sent to, this one included. */
  readonly hops: number;
  /** When it was sent, monotonic ms. */
  sentAt: number;
  isSettled: boolean;
};

/**
 * Hot reads over a connection of their own (D-14): those of one loop turn leave as one write, each key once, and are
 * answered in order. A read has the deadline `commandTimeoutMs`; nothing is queued while the connection is down and
 * nothing is sent twice. A connection without one answer for a whole deadline is given up: the peer is gone without a
 * word, and TCP would take minutes to say so. Whatever goes wrong is SallyportError `store_unavailable`.
 */
export class StoreReader {
  readonly counts: StoreReadCounts;
  readonly #options: StoreReaderOptions;
  readonly #connection: RespConnection;
  readonly #cursor = new BulkCursor();
  /** The reads of this loop turn by locator. */
  readonly #turn = new Map<string, Lookup>();
  /** What was sent, oldest first; those before `#head` are answered. */
  #queue: Lookup[] = [];
  #head = 0;
  #deadline: NodeJS.Timeout | undefined;
  #repliedAt = 0;
  #fault = 'connecting';

  constructor(options: StoreReaderOptions) {
    const { redis, faults, isMember } = options;
    this.#options = options;
    this.counts = options.counts;
    this.#connection = new RespConnection({
      redis,
      replyMaxBytes: REPLY_MAX_BYTES,
      greet: async (ask) => (isMember ? askWhetherMaster(ask) : void (await ask(['PING']))),
      onUp: () => options.onUp(),
      onReply: (bytes, start) => this.#answer(bytes, start),
      onDown: (fault) => {
        this.#failAll(fault);
        options.onDown();
      },
      onFault: (fault) => {
        this.#fault = fault;
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

  /**
   * The hot half of the session at `locator` below `keyPrefix`, which must be base64url text.
   * @param now ms since the epoch; a record that is over by then is absent.
   */
  read(locator: string, now: number): Promise<StoredHot | undefined> {
    const known = this.#turn.get(locator);
    if (known !== undefined) {
      known.now = Math.max(known.now, now);
      return known.answer.promise;
    }
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    const answer = Promise.withResolvers<StoredHot | undefined>();
    if (this.#turn.size === 0) setImmediate(() => this.#send());
    this.#turn.set(locator, { locator, answer, now, hops: 1, sentAt: 0, isSettled: false });
    return answer.promise;
  }

  /** The same behind a redirection, at once. @param asking the slot is on its way to this server. */
  follow(locator: string, now: number, hops: number, asking: boolean): Promise<StoredHot | undefined> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    const answer = Promise.withResolvers<StoredHot | undefined>();
    const lookup = { locator, answer, now, hops, sentAt: performance.now(), isSettled: false };
    // The answer to ASKING has a place of its own in the queue; nobody waits for it.
    if (asking) this.#queue.push({ ...lookup, isSettled: true });
    this.#queue.push(lookup);
    this.counts.lookups += 1;
    this.counts.writes += 1;
    this.#connection.write((asking ? ASKING_TEXT : '') + this.#command(locator));
    this.#deadline ??= this.#watch(this.#options.redis.commandTimeoutMs);
    return answer.promise;
  }

  /** Give the connection up and open another one; what is in flight fails. */
  renew(fault: string): void {
    this.#connection.drop(fault);
  }

  /** End the connection. Leaves no socket and no timer. */
  async close(): Promise<void> {
    this.#fault = 'closed';
    await this.#connection.close();
    clearTimeout(this.#deadline);
  }

  #send(): void {
    if (this.#turn.size === 0) return;
    const sentAt = performance.now();
    let text = '';
    for (const lookup of this.#turn.values()) {
      lookup.sentAt = sentAt;
      this.#queue.push(lookup);
      text += this.#command(lookup.locator);
    }
    this.counts.lookups += this.#turn.size;
    this.counts.writes += 1;
    this.#turn.clear();
    this.#connection.write(text);
    this.#deadline ??= this.#watch(this.#options.redis.commandTimeoutMs);
  }

  #command(locator: string): string {
    const key = `${this.#options.redis.keyPrefix}s:{${locator}}`;
    return `*6\r\n$5\r\nHMGET\r\n$${key.length}\r\n${key}\r\n${FIELDS_TEXT}`;
  }

  /** Why nothing can be sent now. */
  #refusal(): SallyportError | undefined {
    if (!this.#connection.isUp) return this.#unavailable(this.#fault);
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
    this.#repliedAt = performance.now();
    this.#head += 1;
    if (this.#head === this.#queue.length || this.#head > QUEUE_SLACK) {
      this.#queue = this.#head === this.#queue.length ? [] : this.#queue.slice(this.#head);
      this.#head = 0;
    }
    if (lookup.isSettled) return;
    lookup.isSettled = true;
    const code = readErrorCode(bytes, start);
    if (code !== undefined) this.#refused(lookup, code, readErrorLine(bytes, start));
    else lookup.answer.resolve(readHot(this.#cursor, bytes, start, lookup.now));
  }

  #refused({ locator, now, hops, answer }: Lookup, code: string, line: string): void {
    const { onRedirect } = this.#options;
    const redirect = onRedirect && hops < HOPS_MAX ? parseRedirect(line) : undefined;
    if (onRedirect === undefined || redirect === undefined) answer.reject(this.#unavailable(code));
    else answer.resolve(onRedirect(redirect, locator, now, hops + 1));
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
      if (lookup.isSettled) continue;
      lookup.isSettled = true;
      lookup.answer.reject(this.#unavailable('timeout'));
    }
    const isSilent = oldest !== undefined && at > this.#head && now - this.#repliedAt >= commandTimeoutMs;
    const next = this.#queue[at];
    if (isSilent) this.#connection.drop('timeout');
    else if (next !== undefined) this.#deadline = this.#watch(Math.max(1, commandTimeoutMs - (now - next.sentAt)));
  }

  #failAll(fault: string): void {
    this.#fault = fault;
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    const lost = [...this.#queue.slice(this.#head), ...this.#turn.values()];
    this.#queue = [];
    this.#head = 0;
    this.#turn.clear();
    for (const lookup of lost) if (!lookup.isSettled) lookup.answer.reject(this.#unavailable(fault));
  }

  #unavailable(fault: string): SallyportError {
    return this.#options.faults.unavailable(fault);
  }
}

/** A hash that lacks one of the fields, or holds no numbers, is no session of ours: nothing of it is believed. */
function readHot(cursor: BulkCursor, bytes: Buffer, start: number, now: number): StoredHot | undefined {
  if (!cursor.open(bytes, start, 4)) return undefined;
  const revision = readNumber(cursor, bytes);
  const lastSeenAt = readNumber(cursor, bytes);
  const expiresAt = readNumber(cursor, bytes);
  const hasHot = cursor.next() && cursor.start !== -1;
  cursor.close();
  // A comparison with NaN is false, so that a field that is no number ends here.
  if (!hasHot || !(revision >= 0 && lastSeenAt >= 0 && expiresAt > now)) return undefined;
  return { revision, lastSeenAt, hot: bytes.subarray(cursor.start, cursor.end) };
}

function readNumber(cursor: BulkCursor, bytes: Buffer): number {
  return cursor.next() && cursor.start !== -1 ? readDigits(bytes, cursor.start, cursor.end) : Number.NaN;
}
