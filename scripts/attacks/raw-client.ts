import { connect, type Socket } from 'node:net';

/** One parsed answer. Header names are as sent; nothing is joined or normalised. */
export type RawResponse = {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
};

/** What a raw exchange gave. */
export type Exchange = {
  /** Everything received. */
  readonly bytes: Buffer;
  /** Complete answers in order. */
  readonly responses: readonly RawResponse[];
  /** True if the server closed the connection by itself. */
  readonly closedByServer: boolean;
  /** True if the deadline passed without the awaited answer. */
  readonly timedOut: boolean;
};

/** Where to connect and from which loopback address. */
export type Target = { readonly host: string; readonly port: number; readonly localAddress: string };

/** How long to listen. */
export type ListenFor = {
  /** `one`: return at the first complete answer. `all`: listen until the server closes or has been quiet. */
  readonly answers: 'one' | 'all';
  /** Method of the request: the answer to HEAD has no body. */
  readonly method: string;
  /** Longest wait for the (first) answer, ms. */
  readonly deadlineMs: number;
  /** With `all`: how long to wait for more after the last byte, ms. */
  readonly quietMs: number;
};

const MAX_BYTES = 4_194_304;
const PIECE_GAP_MS = 30;

/**
 * Send bytes (in pieces, if several are given) over a new TCP connection and collect what comes back. Never throws for what the server does; a refused
 * connection is an exchange without bytes that the server closed.
 */
export function exchange(target: Target, bytes: Buffer | readonly Buffer[], listen: ListenFor): Promise<Exchange> {
  return new Promise((resolve) => {
    const socket: Socket = connect({ host: target.host, port: target.port, localAddress: target.localAddress });
    const chunks: Buffer[] = [];
    let size = 0;
    let settled = false;
    let timer = setTimeout(() => finish(false, true), listen.deadlineMs);
    const finish = (closedByServer: boolean, timedOut: boolean): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      socket.destroy();
      const all = Buffer.concat(chunks);
      resolve({ bytes: all, responses: parseResponses(all, listen.method, true), closedByServer, timedOut });
    };
    socket.on('connect', () => writePieces(socket, Buffer.isBuffer(bytes) ? [bytes] : bytes));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      size += chunk.length;
      const complete = parseResponses(Buffer.concat(chunks), listen.method, false).length > 0;
      if (size > MAX_BYTES || (complete && listen.answers === 'one')) return finish(false, false);
      if (!complete) return;
      clearTimeout(timer);
      timer = setTimeout(() => finish(false, false), listen.quietMs);
    });
    socket.on('error', () => finish(true, false));
    socket.on('close', () => finish(true, false));
  });
}

/** Write the pieces one after the other, far enough apart to arrive as reads of their own. */
function writePieces(socket: Socket, [first, ...rest]: readonly Buffer[]): void {
  if (first === undefined || socket.destroyed) return;
  socket.write(first);
  if (rest.length > 0) setTimeout(() => writePieces(socket, rest), PIECE_GAP_MS);
}

/** Split what a server sent into answers. `closed` lets the last one end with the connection. */
function parseResponses(data: Buffer, method: string, closed: boolean): RawResponse[] {
  const responses: RawResponse[] = [];
  let offset = 0;
  while (offset < data.length) {
    const parsed = parseOne(data, offset, method, closed);
    if (parsed === undefined) break;
    // 101 ends the HTTP part of a connection: it is an answer, unlike the other 1xx.
    if (parsed.response.status >= 200 || parsed.response.status === 101) responses.push(parsed.response);
    offset = parsed.end;
  }
  return responses;
}

function parseOne(
  data: Buffer,
  start: number,
  method: string,
  closed: boolean,
): { response: RawResponse; end: number } | undefined {
  const headEnd = data.indexOf('\r\n\r\n', start);
  if (headEnd < 0) return undefined;
  const [statusLine = '', ...lines] = data.toString('latin1', start, headEnd).split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1] ?? 0);
  if (status === 0) return undefined;
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const body = readBody(
    data,
    headEnd + 4,
    headers,
    method === 'HEAD' || status < 200 || status === 204 || status === 304,
    closed,
  );
  return body && { response: { status, headers, body: body.text }, end: body.end };
}

function readBody(
  data: Buffer,
  start: number,
  headers: readonly (readonly [string, string])[],
  bodyless: boolean,
  closed: boolean,
): { text: string; end: number } | undefined {
  if (bodyless) return { text: '', end: start };
  const length = valuesOf(headers, 'content-length')[0];
  if (length !== undefined) {
    const end = start + Number(length);
    return end <= data.length ? { text: data.toString('utf8', start, end), end } : undefined;
  }
  if (valuesOf(headers, 'transfer-encoding').length > 0) return readChunked(data, start);
  return closed ? { text: data.toString('utf8', start), end: data.length } : undefined;
}

function readChunked(data: Buffer, start: number): { text: string; end: number } | undefined {
  const parts: Buffer[] = [];
  let offset = start;
  for (;;) {
    const lineEnd = data.indexOf('\r\n', offset);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(data.toString('latin1', offset, lineEnd), 16);
    const end = lineEnd + 2 + size + 2;
    if (Number.isNaN(size) || end > data.length) return undefined;
    if (size === 0) return { text: Buffer.concat(parts).toString('utf8'), end };
    parts.push(data.subarray(lineEnd + 2, lineEnd + 2 + size));
    offset = end;
  }
}

/** All values of a header, in order, the name compared without case. */
export function valuesOf(headers: readonly (readonly [string, string])[], name: string): string[] {
  const wanted = name.toLowerCase();
  return headers.filter(([key]) => key.toLowerCase() === wanted).map(([, value]) => value);
}

/** Request bytes with exactly these header lines. Text above Latin-1 goes out as UTF-8, or as `encoding` says. */
export function requestBytes(
  method: string,
  target: string,
  headers: readonly (readonly [string, string])[],
  options: { readonly body?: string; readonly encoding?: 'utf8' | 'latin1' } = {},
): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines}\r\n${options.body ?? ''}`, options.encoding ?? 'utf8');
}

/** A PROXY protocol v2 frame for TCP over IPv4 that claims `source` as the client. */
export function proxyFrameV2(source: string): Buffer {
  const octets = source.split('.').map(Number);
  const header = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c', 'latin1');
  return Buffer.concat([header, Buffer.from([...octets, ...octets, 0, 80, 0, 80])]);
}
