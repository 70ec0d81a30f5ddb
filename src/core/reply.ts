// hot: bench/reply.ts
import type { HttpResponse } from 'uWebSockets.js';
import { type HeaderList, isFieldValue, isToken } from './header-list.ts';
import type { HeaderPairs } from './origin.ts';
import type { Reply } from './problem.ts';
import { FilledReply, joinLines, type ReplyTemplate } from './reply-template.ts';

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
 * Write verify's allow answer to a corked connection: exactly 200, empty, no cookie, nothing conditional.
 * @param close end the connection afterwards.
 * @throws TypeError for headers that cannot be written, before anything is.
 */
export function writeAllow(res: HttpResponse, headers: HeaderList, close: boolean): void {
  // Not taken apart: `pairs` is made anew at each look.
  const { block } = headers;
  if (block === '') throw new TypeError(`identity header ${headers.pairs[headers.unwritable]} cannot be written`);
  res.writeHeader('cache-control', block);
  if (close) res.end('', true);
  else res.end();
}

/**
 * Write any other answer of ours to a corked connection, checked before. A native call for each header
 * would cost more than the rest of a refusal, so all are written behind the status, line ends included.
 * @param head true for HEAD: the length without the body.
 * @param close end the connection afterwards: after chunked or refused bodies, whose rest must not become a request.
 */
export function writeReply(res: HttpResponse, reply: Reply, head: boolean, close: boolean): void {
  const { status, body } = reply;
  const lines = reply instanceof FilledReply ? reply.template.lines(reply.text) : joinLines(reply.headers);
  res.writeStatus((STATUS.get(status) ?? String(status)) + lines);
  if (head) res.endWithoutBody(Buffer.byteLength(body), close);
  else res.end(body, close);
}

/** Refuses what must not be written. @throws TypeError for a header that cannot be written */
export type HeaderCheck = (reply: Reply) => void;

/**
 * Create the check of answers: names are lower-case tokens, values hold no control characters. The native core copies
 * bytes as they are, so a CR or LF would split the response. Asked before anything is written, outside native
 * callbacks. Frozen pairs, made once at start, and templates are looked at once; of their answers the text alone.
 */
export function createHeaderCheck(): HeaderCheck {
  const checked = new WeakSet<HeaderPairs[number] | ReplyTemplate>();
  const check = (headers: HeaderPairs): void => {
    for (const pair of headers) {
      if (checked.has(pair)) continue;
      const [name, value] = pair;
      if (!isToken(name) || !isFieldValue(value)) throw new TypeError(`response header ${name} cannot be written`);
      if (Object.isFrozen(pair)) checked.add(pair);
    }
  };
  return (reply) => {
    if (!(reply instanceof FilledReply)) {
      check(reply.headers);
      return;
    }
    const { template, text } = reply;
    if (!checked.has(template)) {
      check(template.headers);
      checked.add(template);
    }
    if (!isFieldValue(text)) throw new TypeError('the text of an answer cannot be written');
  };
}
