import { ChunkReader } from './answer-chunks.ts';
import { type AnswerHead, parseHead } from './answer-head.ts';
import { AnswerError } from './answer-problem.ts';

/** Hears of one answer after the other. Whoever wants no more calls `stop` of the reader. */
export type AnswerListener = {
  /** Informational heads (1xx), and the final one. */
  onHead(head: AnswerHead): void;
  /** A view of the bytes that were read: whoever keeps it copies it. */
  onData(part: Buffer): void;
  /** The answer is complete. */
  onEnd(): void;
};

/** Names and values of one head, and its status line. */
const HEAD_MAX_BYTES = 65_536;
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const BEGINNING = 'HTTP/1.';
const LF = 0x0a;
const CR = 0x0d;

const NOTHING_EXPECTED = 0;
const HEAD = 1;
const LENGTH = 2;
const CHUNKS = 3;
const UNTIL_CLOSE = 4;

/**
 * Reads the answers of one connection (RFC 9112), strictly: what could be understood in two ways fails. Sees to it that
 * no byte behind an answer belongs to the next one.
 */
export class AnswerReader {
  readonly #listener: AnswerListener;
  #state = NOTHING_EXPECTED;
  #isHeadRequest = false;
  /** A head that came in parts. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  #left = 0;
  #chunks: ChunkReader | undefined;

  constructor(listener: AnswerListener) {
    this.#listener = listener;
  }

  /** A request is sent: its answer is the next to come. @param isHead it has no body, whatever its fields say. */
  expect(isHead: boolean): void {
    this.#state = HEAD;
    this.#isHeadRequest = isHead;
  }

  /** Read no more. */
  stop(): void {
    this.#state = NOTHING_EXPECTED;
    this.#held = undefined;
  }

  /**
   * Read what has come.
   * @returns false if there is more than the expected answer, or was none expected: the connection cannot be used again.
   * @throws AnswerError `malformed`
   */
  read(bytes: Buffer): boolean {
    let at = 0;
    while (at < bytes.length) {
      switch (this.#state) {
        case NOTHING_EXPECTED:
          return false;
        case HEAD:
          at = this.#readHead(bytes, at);
          break;
        case LENGTH:
          at = this.#readLength(bytes, at);
          break;
        case CHUNKS:
          at = this.#readChunks(bytes, at);
          break;
        default:
          this.#listener.onData(at === 0 ? bytes : bytes.subarray(at));
          return true;
      }
    }
    return true;
  }

  /** The service has ended the connection. @returns true if that ends the answer, too. */
  end(): boolean {
    if (this.#state !== UNTIL_CLOSE) return false;
    this.#finish();
    return true;
  }

  #readHead(bytes: Buffer, from: number): number {
    if (this.#held !== undefined) return this.#readHeldHead(this.#held, bytes);
    const end = bytes.indexOf(END_OF_HEAD, from);
    if (end !== -1) {
      this.#takeHead(bytes, from, end);
      return end + END_OF_HEAD.length;
    }
    this.#hold(Buffer.allocUnsafe(HEAD_MAX_BYTES), bytes, from);
    return bytes.length;
  }

  /** @returns where in `bytes` the head ends. */
  #readHeldHead(held: Buffer, bytes: Buffer): number {
    const before = this.#heldBytes;
    const copied = Math.min(bytes.length, held.length - before);
    bytes.copy(held, before, 0, copied);
    const end = held.subarray(0, before + copied).indexOf(END_OF_HEAD, Math.max(0, before - 3));
    if (end === -1) {
      this.#hold(held, bytes, 0);
      return bytes.length;
    }
    this.#held = undefined;
    this.#heldBytes = 0;
    this.#takeHead(held, 0, end);
    return end + END_OF_HEAD.length - before;
  }

  /** Keep a part of a head. What can never become one fails at once: the service might wait for us for ever. */
  #hold(held: Buffer, bytes: Buffer, from: number): void {
    const before = this.#heldBytes;
    if (before + bytes.length - from > held.length) throw new AnswerError('malformed', 'too long a head');
    bytes.copy(held, before, from);
    this.#held = held;
    this.#heldBytes = before + bytes.length - from;
    const beginning = held.toString('latin1', 0, Math.min(this.#heldBytes, BEGINNING.length));
    if (!BEGINNING.startsWith(beginning)) throw new AnswerError('malformed', 'not HTTP/1.1');
    for (let at = before; at < this.#heldBytes; at++) {
      if (held[at] === LF && held[at - 1] !== CR) throw new AnswerError('malformed', 'a line end without CR');
    }
  }

  #takeHead(bytes: Buffer, from: number, end: number): void {
    if (end - from > HEAD_MAX_BYTES) throw new AnswerError('malformed', 'too long a head');
    const head = parseHead(bytes.toString('latin1', from, end));
    const { status, contentLength, isChunked } = head;
    const isBodiless = this.#isHeadRequest || status === 204 || status === 304 || contentLength === 0;
    if (status >= 200) {
      this.#left = contentLength;
      this.#chunks = isChunked ? new ChunkReader() : undefined;
      this.#state = isChunked ? CHUNKS : contentLength === -1 ? UNTIL_CLOSE : LENGTH;
    }
    this.#listener.onHead(head);
    if (status >= 200 && isBodiless) this.#finish();
  }

  #readLength(bytes: Buffer, from: number): number {
    const end = Math.min(bytes.length, from + this.#left);
    this.#left -= end - from;
    this.#listener.onData(from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end));
    if (this.#left === 0) this.#finish();
    return end;
  }

  #readChunks(bytes: Buffer, from: number): number {
    const chunks = this.#chunks as ChunkReader;
    const end = chunks.read(bytes, from, this.#onPart);
    if (chunks.isOver) this.#finish();
    return end;
  }

  readonly #onPart = (part: Buffer): boolean => {
    this.#listener.onData(part);
    return this.#state === CHUNKS;
  };

  /** Not if the listener has stopped. */
  #finish(): void {
    if (this.#state === NOTHING_EXPECTED) return;
    this.#state = NOTHING_EXPECTED;
    this.#chunks = undefined;
    this.#listener.onEnd();
  }
}
