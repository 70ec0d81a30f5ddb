// hot: bench/reply.ts

/** A search of the native engine looks at the 800 characters of a token in a third of the time of a loop. */
const UNWRITABLE = /[^\t\x20-\x7e]/;

/**
 * Identity headers as they are written: name, value, name, value, … Immutable.
 *
 * A native call for each header costs 0.6 µs, more than everything else on a hit. So all of them stand in one text, line
 * ends included, that goes out as one value. Nothing else is kept: most sessions are never asked for single headers, and
 * an array of their pieces takes a third of the memory of the text.
 */
export class HeaderList {
  /**
   * `no-store`, the value of the `cache-control` before it, and behind it a line for each header; empty if a header
   * cannot be written, whose place in the list is `unwritable` then.
   */
  readonly block: string;
  readonly unwritable: number;
  /** What it was made of, if it cannot be written. */
  readonly #refused: readonly string[] | undefined;

  /**
   * Names and values are checked once, here: the native core copies bytes as they are.
   * @param isKnownWritable the caller has checked them.
   */
  constructor(pairs: readonly string[], isKnownWritable = false) {
    this.unwritable = isKnownWritable ? -1 : findUnwritable(pairs);
    const isWritable = this.unwritable === -1;
    this.block = isWritable ? blockOf(pairs) : '';
    this.#refused = isWritable ? undefined : pairs;
  }

  /** The list, made anew at each call; its values share the memory of the block. */
  get pairs(): readonly string[] {
    return this.#refused ?? piecesOf(this.block);
  }
}

const FIRST = 'no-store';

function blockOf(pairs: readonly string[]): string {
  let text = FIRST;
  for (let i = 0; i < pairs.length; i += 2) text += `\r\n${pairs[i]}: ${pairs[i + 1]}`;
  return Buffer.from(text, 'latin1').toString('latin1');
}

/** No name holds a colon, and no value a line end. */
function piecesOf(block: string): readonly string[] {
  const pieces: string[] = [];
  for (let at = FIRST.length + 2; at < block.length; ) {
    const colon = block.indexOf(':', at);
    const lineEnd = block.indexOf('\r\n', colon);
    const end = lineEnd === -1 ? block.length : lineEnd;
    pieces.push(block.slice(at, colon), block.slice(colon + 2, end));
    at = end + 2;
  }
  return pieces;
}

/** Where the first header stands that must not be written; -1 = none. */
function findUnwritable(pairs: readonly string[]): number {
  for (let i = 0; i < pairs.length; i += 2) {
    if (!isToken((pairs[i] as string).toLowerCase()) || !isFieldValue(pairs[i + 1] as string)) return i;
  }
  return -1;
}

/** RFC 9110 §5.6.2, in lower case. */
export function isToken(name: string): boolean {
  if (name.length === 0) return false;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (!((code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x5f))
      return false;
  }
  return true;
}

/** RFC 9110 §5.5 without obs-text: visible ASCII, spaces and tabs. */
export function isFieldValue(value: string): boolean {
  return !UNWRITABLE.test(value);
}
