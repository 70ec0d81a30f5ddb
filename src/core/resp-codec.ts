const CR = 0x0d;
const LF = 0x0a;
const PLUS = 0x2b;
const MINUS = 0x2d;
const COLON = 0x3a;
const DOLLAR = 0x24;
const STAR = 0x2a;
const ZERO = 0x30;
const NINE = 0x39;
/** Longest status, error or length line that a server of ours sends. */
const LINE_MAX_BYTES = 4_096;
const EMPTY = Buffer.alloc(0);

/** A reply of RESP2: status text, integer, bulk bytes, nil, error or a list of these. */
export type RespValue = string | number | Buffer | null | RespError | readonly RespValue[];

/** An error reply. Only the code is kept, `NOAUTH` or `LOADING`: the text may quote what was sent. */
export class RespError {
  readonly code: string;

  constructor(code: string) {
    this.code = code;
  }
}

/** What the server sent is no RESP2, or larger than the bound: the connection is of no use any more. */
export class RespProtocolError extends Error {}

/** Memory for replies that span chunks is kept up to this size. */
const CARRY_KEPT_BYTES = 65_536;

/**
 * Cuts a byte stream into RESP2 replies, wherever its chunks are split. Nothing is decoded and nothing copied but
 * replies that span chunks; one above `replyMaxBytes` is refused before it is kept.
 */
export class RespFramer {
  readonly #replyMaxBytes: number;
  readonly #onReply: (bytes: Buffer, start: number) => void;
  /** The beginning of a reply whose end has not come yet. */
  #carry: Buffer = EMPTY;
  #have = 0;
  /** Bytes without which looking again is useless. */
  #need = 0;
  #stopped = false;

  /** @param onReply called with the position of each complete reply; the bytes are valid until it returns. */
  constructor(replyMaxBytes: number, onReply: (bytes: Buffer, start: number) => void) {
    this.#replyMaxBytes = replyMaxBytes;
    this.#onReply = onReply;
  }

  /** Take the next bytes of the stream. @throws RespProtocolError; the framer is then of no use. */
  push(chunk: Buffer): void {
    let at = this.#have === 0 ? 0 : this.#complete(chunk);
    while (at < chunk.length && !this.#stopped) {
      const end = findEnd(chunk, at, this.#replyMaxBytes);
      if (end < 0) {
        this.#need = -end;
        this.#keep(chunk, at, chunk.length);
        return;
      }
      this.#onReply(chunk, at);
      at = end;
    }
  }

  /** No further reply is passed on, not even of the chunk at hand. */
  stop(): void {
    this.#stopped = true;
  }

  /** Pass on the reply that began in earlier chunks; returns where the next one begins. */
  #complete(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length) {
      const end = Math.min(chunk.length, at + this.#need - this.#have);
      this.#keep(chunk, at, end);
      at = end;
      if (this.#have < this.#need) break;
      const reply = this.#carry.subarray(0, this.#have);
      const found = findEnd(reply, 0, this.#replyMaxBytes);
      if (found < 0) {
        this.#need = -found;
        continue;
      }
      // Its end is not before the bytes that it needed at least, and no more than those were taken.
      this.#have = 0;
      if (!this.#stopped) this.#onReply(reply, 0);
      if (this.#carry.length > CARRY_KEPT_BYTES) this.#carry = EMPTY;
      break;
    }
    return at;
  }

  #keep(chunk: Buffer, from: number, to: number): void {
    const wanted = this.#have + to - from;
    if (this.#carry.length < wanted) {
      const larger = Buffer.allocUnsafeSlow(Math.max(wanted, this.#need, 2 * this.#carry.length));
      this.#carry.copy(larger, 0, 0, this.#have);
      this.#carry = larger;
    }
    chunk.copy(this.#carry, this.#have, from, to);
    this.#have = wanted;
  }
}

/** Where the reply at `start` ends; if it is not all there, minus the bytes that it takes at least. */
function findEnd(bytes: Buffer, start: number, maxBytes: number): number {
  let at = start;
  for (let left = 1; left > 0; left -= 1) {
    const lineEnd = findLineFeed(bytes, at);
    if (lineEnd === -1) {
      if (bytes.length - at > LINE_MAX_BYTES) throw new RespProtocolError('a line without an end');
      return -(bytes.length - start + 1);
    }
    if (lineEnd === at || bytes[lineEnd - 1] !== CR) throw new RespProtocolError('a line without CR LF');
    const type = bytes[at];
    if (type === DOLLAR) {
      const length = readInteger(bytes, at + 1, lineEnd - 1);
      at = lineEnd + 1 + (length < 0 ? 0 : length + 2);
    } else if (type === STAR) {
      left += Math.max(0, readInteger(bytes, at + 1, lineEnd - 1));
      at = lineEnd + 1;
    } else if (type === PLUS || type === MINUS || type === COLON) {
      at = lineEnd + 1;
    } else {
      throw new RespProtocolError('an unknown type');
    }
    // Each element still missing takes four bytes or more.
    if (at - start + (left - 1) * 4 > maxBytes) throw new RespProtocolError(`a reply above ${maxBytes} bytes`);
    if (at > bytes.length) return start - at;
    if (type === DOLLAR && (bytes[at - 2] !== CR || bytes[at - 1] !== LF)) {
      throw new RespProtocolError('a length that is wrong');
    }
  }
  return at;
}

/** A line is a few bytes long: a call of the native `indexOf` would cost more than this loop. */
function findLineFeed(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at += 1) if (bytes[at] === LF) return at;
  return -1;
}

/** The integer written in [from, to). @throws RespProtocolError if anything else is written there. */
function readInteger(bytes: Buffer, from: number, to: number): number {
  const first = bytes[from] === MINUS ? from + 1 : from;
  const value = readDigits(bytes, first, to);
  if (Number.isNaN(value)) throw new RespProtocolError('a number that is none');
  return first === from ? value : -value;
}

/** The number written in decimal digits in [from, to), at most 15 of them; NaN for anything else. */
export function readDigits(bytes: Buffer, from: number, to: number): number {
  if (to <= from || to - from > 15) return Number.NaN;
  let value = 0;
  for (let at = from; at < to; at += 1) {
    const code = bytes[at]!;
    if (code < ZERO || code > NINE) return Number.NaN;
    value = value * 10 + code - ZERO;
  }
  return value;
}

/** The code of the error reply at `start`, or undefined if another reply stands there. */
export function readErrorCode(bytes: Buffer, start: number): string | undefined {
  if (bytes[start] !== MINUS) return undefined;
  return /^[A-Z]+/.exec(readErrorLine(bytes, start))?.[0] ?? 'ERR';
}

/** The text of the error reply at `start`. It may quote what was sent: not for logs. */
export function readErrorLine(bytes: Buffer, start: number): string {
  return bytes.toString('latin1', start + 1, bytes.indexOf(CR, start));
}

/**
 * Walks over the elements of one complete list of bulk strings without making anything. One instance serves all
 * replies of a connection.
 */
export class BulkCursor {
  /** The element that `next` found; `start` is -1 for nil. */
  start = -1;
  end = -1;
  #bytes: Buffer = EMPTY;
  #at = 0;

  /** Stand before the first element. False if the reply at `start` is no list of `count` elements. */
  open(bytes: Buffer, start: number, count: number): boolean {
    if (bytes[start] !== STAR) return false;
    this.#bytes = bytes;
    this.#at = start;
    return this.#readLine() === count;
  }

  /** Move to the next element. False if it is no bulk string. */
  next(): boolean {
    const bytes = this.#bytes;
    if (bytes[this.#at] !== DOLLAR) return false;
    const length = this.#readLine();
    this.start = length < 0 ? -1 : this.#at;
    this.end = this.start + length;
    if (length >= 0) this.#at = this.end + 2;
    return true;
  }

  /** Forget the bytes, so that they can be freed. */
  close(): void {
    this.#bytes = EMPTY;
  }

  /** The length in the line that begins with the type, and a step behind that line. */
  #readLine(): number {
    const from = this.#at + 1;
    const lineEnd = findLineFeed(this.#bytes, from);
    this.#at = lineEnd + 1;
    return readInteger(this.#bytes, from, lineEnd - 1);
  }
}

/** Decode the complete reply at `start`, into memory of its own. For what is not hot. */
export function readReply(bytes: Buffer, start: number): RespValue {
  return decode(bytes, { at: start });
}

function decode(bytes: Buffer, cursor: { at: number }): RespValue {
  const { at } = cursor;
  const lineEnd = findLineFeed(bytes, at);
  cursor.at = lineEnd + 1;
  switch (bytes[at]) {
    case PLUS:
      return bytes.toString('latin1', at + 1, lineEnd - 1);
    case MINUS:
      return new RespError(readErrorCode(bytes, at) ?? 'ERR');
    case COLON:
      return readInteger(bytes, at + 1, lineEnd - 1);
    case DOLLAR: {
      const length = readInteger(bytes, at + 1, lineEnd - 1);
      if (length < 0) return null;
      const from = cursor.at;
      cursor.at = from + length + 2;
      return Buffer.from(bytes.subarray(from, from + length));
    }
    default: {
      const count = readInteger(bytes, at + 1, lineEnd - 1);
      return count < 0 ? null : Array.from({ length: count }, () => decode(bytes, cursor));
    }
  }
}

/** One command as it is sent. Arguments are texts, sent as UTF-8. */
export function encodeCommand(args: readonly string[]): string {
  const parts = args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`);
  return `*${args.length}\r\n${parts.join('')}`;
}
