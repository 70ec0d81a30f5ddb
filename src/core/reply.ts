// hot: bench/reply.ts
import type { HttpResponse } from 'uWebSockets.js';
import type { HeaderList } from './identity.ts';
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

/**
 * Write verify's allow answer: exactly 200, empty, no cookie, nothing conditional. The header values were
 * checked when they were built, once for each session (D-05).
 * @param close end the connection afterwards, as in writeReply.
 */
export function writeAllow(res: HttpResponse, headers: HeaderList, close: boolean): void {
  res.cork(() => {
    res.writeHeader('cache-control', 'no-store');
    for (let i = 0; i < headers.length; i += 2) res.writeHeader(headers[i] as string, headers[i + 1] as string);
    res.end('', close);
  });
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
