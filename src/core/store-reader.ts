import type { RedisSettings } from './config/types-store.ts';
import type { SallyportError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { BulkCursor, readDigits, readErrorCode } from './resp-codec.ts';
import { RespConnection } from './resp-connection.ts';
import type { StoredHot, StoreReadCounts } from './store.ts';
import type { StoreFaults } from './store-valkey-faults.ts';

/** What a reader needs. */
export type StoreReaderOptions = {
  readonly redis: RedisSettings;
  /** Look-ups that may wait, answered or not: above it reads are refused and counted. */
  readonly pendingMax: number;
  readonly faults: StoreFaults;
  /** The connection is up (again). */
  onUp(): void;
};

/** Fields of a hot read; `e` is the end in the callers' clock. */
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
  readonly counts: StoreReadCounts = { lookups: 0, writes: 0, refused: 0 };
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
    const { redis, faults } = options;
    this.#options = options;
    this.#connection = new RespConnection({
      redis,
      replyMaxBytes: REPLY_MAX_BYTES,
      greet: async (ask) => void (await ask(['PING'])),
      onUp: () => options.onUp(),
      onReply: (bytes, start) => this.#answer(bytes, start),
      onDown: (fault) => this.#failAll(fault),
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
    if (!this.#connection.isUp) return Promise.reject(this.#unavailable(this.#fault));
    if (this.pending >= this.#options.pendingMax) {
      this.counts.refused += 1;
      return Promise.reject(this.#unavailable('too many reads wait'));
    }
    const answer = Promise.withResolvers<StoredHot | undefined>();
    if (this.#turn.size === 0) setImmediate(() => this.#send());
    this.#turn.set(locator, { locator, answer, now, sentAt: 0, isSettled: false });
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
    const { keyPrefix } = this.#options.redis;
    const sentAt = performance.now();
    let text = '';
    for (const lookup of this.#turn.values()) {
      lookup.sentAt = sentAt;
      this.#queue.push(lookup);
      const key = `${keyPrefix}s:{${lookup.locator}}`;
      text += `*6\r\n$5\r\nHMGET\r\n$${key.length}\r\n${key}\r\n${FIELDS_TEXT}`;
    }
    this.counts.lookups += this.#turn.size;
    this.counts.writes += 1;
    this.#turn.clear();
    this.#connection.write(text);
    this.#deadline ??= this.#watch(this.#options.redis.commandTimeoutMs);
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
    if (code !== undefined) lookup.answer.reject(this.#unavailable(code));
    else lookup.answer.resolve(readHot(this.#cursor, bytes, start, lookup.now));
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
