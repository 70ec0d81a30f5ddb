import { AnswerError } from './answer-problem.ts';

/** Hexadecimal digits of a size: more could not be counted exactly. */
const SIZE_DIGITS_MAX = 13;
/** Extensions of chunks, and trailers: nobody needs them, and nobody may fill memory or time with them. */
const IGNORED_MAX_BYTES = 65_536;
const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
/** At the beginning of a trailer or of the empty line that ends them. */
const LINE = 6;
const TRAILER = 7;
const TRAILER_LF = 8;
const LAST_LF = 9;
const OVER = 10;

/** A chunked body (RFC 9112 §7.1), read piece by piece. Every line ends in CRLF; extensions and trailers are dropped. */
export class ChunkReader {
  #state = SIZE;
  #size = 0;
  #digits = 0;
  #ignored = 0;

  /** The last byte of the body was read. */
  get isOver(): boolean {
    return this.#state === OVER;
  }

  /**
   * Read what has come, until the body is over or `onData` says stop.
   * @param onData gets views of `bytes`; false = no more is wanted.
   * @returns where reading stopped.
   * @throws AnswerError `malformed`
   */
  read(bytes: Buffer, from: number, onData: (part: Buffer) => boolean): number {
    let at = from;
    while (at < bytes.length && this.#state !== OVER) {
      if (this.#state !== DATA) {
        this.#step(bytes[at] as number);
        at += 1;
        continue;
      }
      const end = Math.min(bytes.length, at + this.#size);
      this.#size -= end - at;
      if (this.#size === 0) this.#state = DATA_CR;
      const goesOn = onData(bytes.subarray(at, end));
      at = end;
      if (!goesOn) return at;
    }
    return at;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case SIZE:
        this.#readSize(byte);
        break;
      case EXTENSION:
        this.#skip(byte, SIZE_LF);
        break;
      case SIZE_LF:
        this.#expect(byte, LF, this.#size === 0 ? LINE : DATA);
        break;
      case DATA_CR:
        this.#expect(byte, CR, DATA_LF);
        break;
      case DATA_LF:
        this.#expect(byte, LF, SIZE);
        this.#digits = 0;
        break;
      case LINE:
        if (byte === CR) this.#state = LAST_LF;
        else this.#skip(byte, TRAILER_LF);
        if (this.#state === LINE) this.#state = TRAILER;
        break;
      case TRAILER:
        this.#skip(byte, TRAILER_LF);
        break;
      case TRAILER_LF:
        this.#expect(byte, LF, LINE);
        break;
      case LAST_LF:
        this.#expect(byte, LF, OVER);
        break;
    }
  }

  #readSize(byte: number): void {
    const digit = hexadecimal(byte);
    if (digit !== -1) {
      if (this.#digits === 0) this.#size = 0;
      this.#digits += 1;
      this.#size = this.#size * 16 + digit;
      if (this.#digits > SIZE_DIGITS_MAX) throw new AnswerError('malformed', 'chunk size');
    } else if (this.#digits === 0 || (byte !== CR && byte !== SEMICOLON)) {
      throw new AnswerError('malformed', 'chunk size');
    } else this.#state = byte === CR ? SIZE_LF : EXTENSION;
  }

  /** One byte of what is dropped, up to its CR. */
  #skip(byte: number, next: number): void {
    this.#ignored += 1;
    if (byte === LF || byte === 0 || this.#ignored > IGNORED_MAX_BYTES) {
      throw new AnswerError('malformed', 'chunk extension or trailer');
    }
    if (byte === CR) this.#state = next;
  }

  #expect(byte: number, expected: number, next: number): void {
    if (byte !== expected) throw new AnswerError('malformed', 'chunk');
    this.#state = next;
  }
}

/** Value of a digit; -1 = none. */
function hexadecimal(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
