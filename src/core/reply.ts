// hot: bench/reply.ts
import type { HttpResponse } from 'uWebSockets.js';
import type { HeaderList } from './identity.ts';
import { LIMITS } from './limits.ts';
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

/** Writes verify's allow answer to a corked connection. */
export type AllowWriter = (res: HttpResponse, headers: HeaderList, close: boolean) => void;

/** The headers of one session as they are written: short ones as one block, long ones one by one. */
type PreparedHeaders = { readonly block: string; readonly long: HeaderList };

/**
 * Create the writer of verify's allow answer: exactly 200, empty, no cookie, nothing conditional. The header
 * values were checked when they were built, once for each session (D-05).
 *
 * A native call for each header costs 0.6 µs, more than everything else on a hit. So the short ones are joined behind
 * the value of the first, line ends included, once for each list; a long one (the token) is written by itself, because
 * a joined copy would hold it twice for as long as the session is cached.
 */
export function createAllowWriter(): AllowWriter {
  const prepared = new WeakMap<HeaderList, PreparedHeaders>();
  return (res, headers, close) => {
    let known = prepared.get(headers);
    if (known === undefined) {
      known = prepareHeaders(headers);
      prepared.set(headers, known);
    }
    const { block, long } = known;
    res.writeHeader('cache-control', block);
    for (let i = 0; i < long.length; i += 2) res.writeHeader(long[i] as string, long[i + 1] as string);
    if (close) res.end('', true);
    else res.end();
  };
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
 * Write any other answer of ours. The one place that checks names and values: uWebSockets copies bytes as they
 * are, so a CR or LF would split the response.
 * @param head true for HEAD: the length without the body.
 * @param close end the connection afterwards: after chunked or refused bodies, whose rest must not become a request.
 * @throws TypeError for a header that cannot be written; nothing has been written then.
 */
export function writeReply(res: HttpResponse, reply: Reply, head: boolean, close: boolean): void {
  checkHeaders(reply);
  res.cork(() => {
    res.writeStatus(STATUS.get(reply.status) ?? String(reply.status));
    for (const [name, value] of reply.headers) res.writeHeader(name, value);
    if (head) res.endWithoutBody(Buffer.byteLength(reply.body), close);
    else res.end(reply.body, close);
  });
}

/** Names are lower-case tokens, values hold no control characters. @throws TypeError for a header that cannot be written */
export function checkHeaders({ headers }: Reply): void {
  for (const [name, value] of headers) {
    if (!isToken(name) || !isFieldValue(value)) throw new TypeError(`response header ${name} cannot be written`);
  }
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
