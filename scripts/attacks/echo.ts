import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A request as the service behind Sallyport received it. */
export type SeenRequest = {
  readonly method: string;
  readonly url: string;
  /** Header lines in order, names as sent. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  /** The bytes of the request on its connection, from its first one up to now. */
  raw(): Buffer;
};

/** The service behind the proxied routes: answers 200, accepts WebSocket handshakes, and remembers every request. */
export type EchoService = {
  readonly url: string;
  /** Requests since the last `forget`; a request counts from its head on, even if its body never ends. */
  readonly seen: readonly SeenRequest[];
  /** Header fields of every answer until the next `forget`. */
  answerWith(headers: Readonly<Record<string, string>>): void;
  forget(): void;
  close(): Promise<void>;
};

/** Bytes of the request that a connection is at. */
type Recording = { chunks: Buffer[] };

const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Start the echo service on a free loopback port. */
export async function startEcho(): Promise<EchoService> {
  const seen: SeenRequest[] = [];
  const recordings = new WeakMap<Socket, Recording>();
  let extra: Readonly<Record<string, string>> = {};
  const note = (request: IncomingMessage): SeenRequest & { body: string } => {
    const { chunks } = recordings.get(request.socket) ?? { chunks: [] };
    const { method = '', url = '' } = request;
    const entry = { method, url, headers: headerLines(request), body: '', raw: () => Buffer.concat(chunks) };
    seen.push(entry);
    return entry;
  };
  const server = createServer((request, response) => {
    const entry = note(request);
    request.on('data', (chunk: Buffer) => {
      entry.body += chunk.toString('latin1');
    });
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'text/plain', ...extra }).end('echo');
      // An answered request keeps its own list; what follows belongs to the next one.
      recordings.set(request.socket, { chunks: [] });
    });
  });
  const upgraded = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    recordings.set(socket, { chunks: [] });
    // The first listener makes the parser read through events, the second one comes before the parser.
    socket.on('data', () => undefined);
    socket.prependListener('data', (chunk: Buffer) => recordings.get(socket)?.chunks.push(chunk));
  });
  server.on('upgrade', (request, socket) => {
    note(request);
    upgraded.add(socket as Socket);
    socket.on('error', () => socket.destroy());
    socket.write(acceptHandshake(request));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    answerWith(headers) {
      extra = headers;
    },
    forget() {
      seen.length = 0;
      extra = {};
    },
    close() {
      for (const socket of upgraded) socket.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function headerLines({ rawHeaders }: IncomingMessage): [string, string][] {
  const lines: [string, string][] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push([rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '']);
  return lines;
}

/** RFC 6455 section 4.2.2, without a subprotocol. */
function acceptHandshake(request: IncomingMessage): string {
  const key = request.headers['sec-websocket-key'] ?? '';
  const accept = createHash('sha1').update(`${key}${WEBSOCKET_GUID}`).digest('base64');
  return [
    'HTTP/1.1 101 Switching Protocols',
    'upgrade: websocket',
    'connection: Upgrade',
    `sec-websocket-accept: ${accept}`,
    '',
    '',
  ].join('\r\n');
}
