import { decimal } from '../core/context-values.ts';
import { AnswerError } from './answer-problem.ts';

/** The head of an answer, and what frames its body (RFC 9112 §6.3). */
export type AnswerHead = {
  readonly status: number;
  /** Names as they were sent and values without the blanks around them, in turn; one character for each byte. */
  readonly fields: readonly string[];
  /** Declared length of the body; -1 = none declared. */
  readonly contentLength: number;
  readonly isChunked: boolean;
  /** The service leaves the connection open. */
  readonly keepsAlive: boolean;
  /** How long it does so, as far as it says; -1 = it does not. */
  readonly keepAliveMs: number;
};

const SPACE = 0x20;
const TAB = 0x09;
const TOKEN = tokenTable();

/**
 * Read a head strictly: what two readers could understand differently is refused, not repaired (RFC 9112 §11.1).
 * Values are not looked at, except those that frame the message.
 * @param text everything before the empty line, one character for each byte.
 * @throws AnswerError `malformed`
 */
export function parseHead(text: string): AnswerHead {
  let at = text.indexOf('\r\n');
  if (at === -1) at = text.length;
  const { status, isOld } = parseStatusLine(text, at);
  const fields: string[] = [];
  const framing = { contentLength: -1, isChunked: false, keepsAlive: !isOld, keepAliveMs: -1 };
  for (at += 2; at < text.length; ) {
    let end = text.indexOf('\r\n', at);
    if (end === -1) end = text.length;
    const colon = nameEnd(text, at, end);
    const name = text.slice(at, colon);
    const value = trimmed(text, colon + 1, end);
    fields.push(name, value);
    if (name.length === 14 || name.length === 17 || name.length === 10) frame(framing, name.toLowerCase(), value);
    at = end + 2;
  }
  if (framing.isChunked && (framing.contentLength !== -1 || isOld)) throw new AnswerError('malformed', 'framing');
  const { contentLength, isChunked, keepsAlive, keepAliveMs } = framing;
  return { status, fields, contentLength, isChunked, keepsAlive, keepAliveMs };
}

/** `HTTP/1.1 200 OK`; the reason may be absent together with its blank. */
function parseStatusLine(text: string, end: number): { status: number; isOld: boolean } {
  const isOld = text.startsWith('HTTP/1.0 ');
  const isEnded = end === 12 || text.charCodeAt(12) === SPACE;
  // A line end of another kind would hide fields in the reason.
  if (hasLineEnd(text, end)) throw new AnswerError('malformed', 'status line');
  if ((!isOld && !text.startsWith('HTTP/1.1 ')) || end < 12 || !isEnded) {
    throw new AnswerError('malformed', 'status line');
  }
  const status = decimal(text.slice(9, 12));
  if (status < 100) throw new AnswerError('malformed', 'status');
  return { status, isOld };
}

function hasLineEnd(text: string, end: number): boolean {
  for (let at = 0; at < end; at++) if (text[at] === '\r' || text[at] === '\n') return true;
  return false;
}

/** Place of the colon. A folded line begins with a blank, which no name has (RFC 9112 §5.2). */
function nameEnd(text: string, from: number, end: number): number {
  let at = from;
  while (at < end && TOKEN[text.charCodeAt(at)] === 1) at += 1;
  if (at === from || at === end || text[at] !== ':') throw new AnswerError('malformed', 'field name');
  return at;
}

function trimmed(text: string, from: number, end: number): string {
  let [first, last] = [from, end];
  while (first < last && isBlank(text.charCodeAt(first))) first += 1;
  while (last > first && isBlank(text.charCodeAt(last - 1))) last -= 1;
  return text.slice(first, last);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

type Framing = { -readonly [Key in 'contentLength' | 'isChunked' | 'keepsAlive' | 'keepAliveMs']: AnswerHead[Key] };

function frame(framing: Framing, name: string, value: string): void {
  switch (name) {
    case 'content-length': {
      const length = decimal(value);
      if (length === -1 || framing.contentLength !== -1) throw new AnswerError('malformed', name);
      framing.contentLength = length;
      break;
    }
    case 'transfer-encoding':
      // Another coding would reach the client undone and unnamed.
      if (framing.isChunked || value.toLowerCase() !== 'chunked') throw new AnswerError('malformed', name);
      framing.isChunked = true;
      break;
    case 'connection':
      if (value !== 'keep-alive' && /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i.test(value)) framing.keepsAlive = false;
      break;
    case 'keep-alive': {
      const seconds = /(?:^|[\t ,])timeout=(\d{1,9})/i.exec(value)?.[1];
      if (seconds !== undefined) framing.keepAliveMs = Number(seconds) * 1000;
      break;
    }
  }
}

/** RFC 9110 §5.6.2. */
function tokenTable(): Uint8Array {
  const table = new Uint8Array(256);
  for (const character of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
    table[character.charCodeAt(0)] = 1;
  }
  return table;
}
