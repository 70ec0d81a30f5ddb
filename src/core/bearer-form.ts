import { isUtf8 } from 'node:buffer';
import { isJsonObject, type JsonObject } from './json-object.ts';
import { LIMITS } from './limits.ts';

/** A token whose form is right. Nothing in it is proven yet. */
export type TokenForm = { readonly header: JsonObject; readonly payload: JsonObject };

/** What is wrong with a token's form; for the log. */
export type FormProblem = 'size' | 'parts' | 'base64url' | 'json' | 'duplicate_member' | 'crit' | 'kid';

const NONE = 255;
/** Value of each base64url character by its byte, or NONE. */
const BASE64URL: Uint8Array = compileAlphabet();

/** Where the parts of a token end: the indexes of its two dots. */
export type TokenParts = { readonly headerEnd: number; readonly payloadEnd: number };

/**
 * Read the form of a compact JWS (RFC 7515 §7.1) without any cryptography: three parts of strict base64url, JSON
 * objects without repeated members (RFC 7515 §4, RFC 7519 §4), no critical extension, for we know none (RFC 7515
 * §4.1.11). Its cost is bounded by the token's size (R-013, 16 KiB). Never throws.
 */
export function readTokenForm(token: string): TokenForm | FormProblem {
  const parts = findTokenParts(token, createScratch(Math.min(token.length, LIMITS.tokenMaxChars)));
  if (typeof parts === 'string') return parts;
  const header = readTokenHeader(token.slice(0, parts.headerEnd));
  if (typeof header === 'string') return header;
  const payload = readTokenPayload(token, parts);
  return typeof payload === 'string' ? payload : { header, payload };
}

/** Room for one token while it is looked at. @param chars of the longest */
export function createScratch(chars: number): Buffer {
  return Buffer.allocUnsafe(chars);
}

/**
 * Its three parts, if they are strict base64url. As bytes, because those of a string that is a slice of another, as a
 * token is of its header, cost four times as much to look at.
 */
export function findTokenParts(token: string, scratch: Buffer): TokenParts | FormProblem {
  if (token.length > LIMITS.tokenMaxChars) return 'size';
  const first = token.indexOf('.');
  const second = token.indexOf('.', first + 1);
  if (first <= 0 || second <= first + 1 || second === token.length - 1) return 'parts';
  if (token.indexOf('.', second + 1) !== -1) return 'parts';
  // What is not ASCII takes more bytes than characters: not all of it fits, or it is found below.
  if (
    scratch.write(token) !== token.length ||
    !isBase64url(scratch, 0, first) ||
    !isBase64url(scratch, first + 1, second) ||
    !isBase64url(scratch, second + 1, token.length)
  ) {
    return 'base64url';
  }
  return { headerEnd: first, payloadEnd: second };
}

/** Its header. @param part strict base64url */
export function readTokenHeader(part: string): JsonObject | FormProblem {
  const header = readObject(part);
  if (typeof header === 'string') return header;
  if (Object.hasOwn(header, 'crit')) return 'crit';
  const { kid } = header;
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > LIMITS.keyIdMaxChars)) return 'kid';
  return header;
}

/** Its payload. */
export function readTokenPayload(token: string, { headerEnd, payloadEnd }: TokenParts): JsonObject | FormProblem {
  return readObject(token.slice(headerEnd + 1, payloadEnd));
}

function readObject(part: string): JsonObject | 'json' | 'duplicate_member' {
  const bytes = Buffer.from(part, 'base64url');
  if (!isUtf8(bytes)) return 'json';
  const text = bytes.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Any text may stand here; that it is no JSON is an outcome, not a failure.
    return 'json';
  }
  if (!isJsonObject(value)) return 'json';
  return countMembers(text) === Object.keys(value).length ? value : 'duplicate_member';
}

/** Members of the outermost object as written. Parsers disagree on which of two equal names counts: nobody may choose. */
function countMembers(text: string): number {
  let count = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) at = endOfString(text, at);
    else if (code === 0x7b || code === 0x5b) depth++;
    else if (code === 0x7d || code === 0x5d) depth--;
    else if (code === 0x3a && depth === 1) count++;
  }
  return count;
}

/** Index of the quote that ends the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1;
  return at;
}

/** Strict: the alphabet of RFC 4648 §5, no padding, no spare bits set, so that no two texts mean the same bytes. */
function isBase64url(bytes: Uint8Array, start: number, end: number): boolean {
  let all = 0;
  for (let at = start; at < end; at++) all |= BASE64URL[bytes[at] as number] as number;
  if (all > 0x3f) return false;
  const last = BASE64URL[bytes[end - 1] as number] as number;
  const rest = (end - start) % 4;
  if (rest === 1) return false;
  return rest === 0 || (last & (rest === 2 ? 0x0f : 0x03)) === 0;
}

function compileAlphabet(): Uint8Array {
  const table = new Uint8Array(256).fill(NONE);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  for (let value = 0; value < alphabet.length; value++) table[alphabet.charCodeAt(value)] = value;
  return table;
}
