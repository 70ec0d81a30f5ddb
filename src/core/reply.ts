// hot: bench/reply.ts
import type { HttpResponse } from 'uWebSockets.js';
import type { HeaderList } from './identity.ts';
import { LIMITS } from './limits.ts';
import type { HeaderPairs } from './origin.ts';
import type { Reply } from './problem.ts';

const STATUS: ReadonlyMap<number, string> = new Map([
  [200, '200 OK'],
  [204, '204 No Content'],
  [302, '302 Found'],
  [303, '303 See Other'],
  [400, '400 Bad Request'],
  [401, '401 Unauthorized'],
  [403, '403 Forbidden'],
  [404, '404 Not Found'],
  [405, '405 Method Not Allowed'],
  [413, '413 Content Too Large'],
  [414, '414 URI Too Long'],
  [421, '421 Misdirected Request'],
  [429, '429 Too Many Requests'],
  [500, '500 Internal Server Error'],
  [502, '502 Bad Gateway'],
  [503, '503 Service Unavailable'],
  [504, '504 Gateway Timeout'],
]);

/** The headers of one session as they are written: short ones as one block, long ones one by one. */
export type PreparedHeaders = { readonly block: string; readonly long: HeaderList };

/** Makes what `writeAllow` writes; remembered for as long as the list is. @throws TypeError for what cannot be written */
export type AllowPreparer = (headers: HeaderList) => PreparedHeaders;

/**
 * Create the preparer of verify's allow answers. Names and values are checked once for each list.
 *
 * A native call for each header costs 0.6 µs, more than everything else on a hit. So the short ones are joined behind
 * the value of the first, line ends included, once for each list; a long one (the token) is written by itself, because
 * a joined copy would hold it twice for as long as the session is cached.
 */
export function createAllowPreparer(): AllowPreparer {
  const prepared = new WeakMap<HeaderList, PreparedHeaders>();
  return (headers) => {
    let known = prepared.get(headers);
    if (known === undefined) {
      known = prepareHeaders(headers);
      prepared.set(headers, known);
    }
    return known;
  };
}

/**
 * Write verify's allow answer to a corked connection: exactly 200, empty, no cookie, nothing conditional.
 * @param close end the connection afterwards.
 */
export function writeAllow(res: HttpResponse, { block, long }: PreparedHeaders, close: boolean): void {
  res.writeHeader('cache-control', block);
  for (let i = 0; i < long.length; i += 2) res.writeHeader(long[i] as string, long[i + 1] as string);
  if (close) res.end('', true);
  else res.end();
}

function prepareHeaders(headers: HeaderList): PreparedHeaders {
  const long: string[] = [];
  let block = 'no-store';
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const value = headers[i + 1] as string;
    if (!isToken(name.toLowerCase()) || !isFieldValue(value))
      throw new TypeError(`identity header ${name} cannot be written`);
    if (value.length > LIMITS.headerBlockValueMaxChars) long.push(name, value);
    else block += `\r\n${name}: ${value}`;
  }
  return { block, long };
}

/**
 * Write any other answer of ours to a corked connection, checked before. A native call for each header
 * would cost more than the rest of a refusal, so all are written as the first one's value, line ends included.
 * @param head true for HEAD: the length without the body.
 * @param close end the connection afterwards: after chunked or refused bodies, whose rest must not become a request.
 */
export function writeReply(res: HttpResponse, reply: Reply, head: boolean, close: boolean): void {
  const { status, headers, body } = reply;
  res.writeStatus(STATUS.get(status) ?? String(status));
  const [first] = headers;
  if (first !== undefined) {
    let block = first[1];
    for (let i = 1; i < headers.length; i++) block += `\r\n${headers[i]?.[0]}: ${headers[i]?.[1]}`;
    res.writeHeader(first[0], block);
  }
  if (head) res.endWithoutBody(Buffer.byteLength(body), close);
  else res.end(body, close);
}

/** Refuses what must not be written. @throws TypeError for a header that cannot be written */
export type HeaderCheck = (reply: Reply) => void;

/**
 * Create the check of answers: names are lower-case tokens, values hold no control characters. The native core copies
 * bytes as they are, so a CR or LF would split the response. Asked before anything is written, outside native
 * callbacks. Frozen pairs, made once at start and most of each refusal, are looked at once.
 */
export function createHeaderCheck(): HeaderCheck {
  const checked = new WeakSet<HeaderPairs[number]>();
  return ({ headers }) => {
    for (const pair of headers) {
      if (checked.has(pair)) continue;
      const [name, value] = pair;
      if (!isToken(name) || !isFieldValue(value)) throw new TypeError(`response header ${name} cannot be written`);
      if (Object.isFrozen(pair)) checked.add(pair);
    }
  };
}

/** RFC 9110 §5.6.2, in lower case. */
function isToken(name: string): boolean {
  if (name.length === 0) return false;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (!((code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x5f))
      return false;
  }
  return true;
}

/** RFC 9110 §5.5 without obs-text: visible ASCII, spaces and tabs. */
function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code >= 0x7f) return false;
  }
  return true;
}
