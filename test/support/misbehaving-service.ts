import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A request as the service received it, body and all. */
export type ReceivedRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
};

/** How the service treats a request. May write anything, nothing, or break the connection. */
export type Behaviour = (request: ReceivedRequest, response: ServerResponse) => void | Promise<void>;

/** An HTTP server on loopback that does what a test tells it, by path. */
export type MisbehavingService = {
  readonly port: number;
  /** Origin, `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** What requests to this exact path get from now on. */
  on(path: string, behaviour: Behaviour): void;
  /** Back to the behaviour the service was started with. */
  off(path: string): void;
  /** Requests to a path so far, oldest first. */
  requests(path: string): readonly ReceivedRequest[];
  /** Connections that are open now. */
  open(): number;
  /** Requests that are neither answered nor given up by the caller. */
  pending(): number;
  /** Close the port and cut every connection; `up` opens the same port again. */
  down(): Promise<void>;
  up(): Promise<void>;
  close(): Promise<void>;
};

/** Start a service that answers with `usual` where no test says otherwise. */
export async function startMisbehavingService(usual: Behaviour): Promise<MisbehavingService> {
  const behaviours = new Map<string, Behaviour>();
  const received: ReceivedRequest[] = [];
  const sockets = new Set<Socket>();
  let pending = 0;
  const server = createServer((incoming, response) => {
    pending += 1;
    response.on('close', () => {
      pending -= 1;
    });
    response.on('error', () => response.destroy());
    void receive(incoming)
      .then((request) => {
        received.push(request);
        return (behaviours.get(request.path) ?? usual)(request, response);
      })
      .catch(() => response.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const down = async (): Promise<void> => {
    if (!server.listening) return;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    on: (path, behaviour) => void behaviours.set(path, behaviour),
    off: (path) => void behaviours.delete(path),
    requests: (path) => received.filter((request) => request.path === path),
    open: () => sockets.size,
    pending: () => pending,
    down,
    up: () => listen(port),
    close: down,
  };
}

/** A complete answer. */
export function answer(status: number, headers: Readonly<Record<string, string>>, body: string | Buffer): Behaviour {
  return (_request, response) => void response.writeHead(status, headers).end(body);
}

/** A complete JSON answer. */
export function answerJson(value: unknown, status = 200): Behaviour {
  return answer(status, { 'content-type': 'application/json' }, JSON.stringify(value));
}

/** Reads the request and never answers. */
export function hang(): Behaviour {
  return () => {};
}

/** Resets the connection instead of answering. */
export function reset(): Behaviour {
  return (_request, response) => void response.socket?.resetAndDestroy();
}

/** Half of the promised body, then silence or a reset. */
export function half(body: string, then: 'hang' | 'reset'): Behaviour {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(body.length) });
    response.write(body.slice(0, body.length / 2), () => {
      if (then === 'reset') response.socket?.resetAndDestroy();
    });
  };
}

/** A JSON body of about `bytes` bytes, written as fast as the reader takes it. */
export function fill(bytes: number): Behaviour {
  return (_request, response) => {
    const chunk = Buffer.alloc(65_536, 0x61);
    let left = bytes;
    const pump = (): void => {
      while (left > 0 && !response.destroyed) {
        left -= chunk.length;
        if (!response.write(chunk)) return void response.once('drain', pump);
      }
      if (!response.destroyed) response.end('"}');
    };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"padding":"');
    pump();
  };
}

/** Bytes that are no HTTP. */
export function garbage(): Behaviour {
  return (_request, response) => void response.socket?.end('\0\x01 no protocol of ours\r\n\r\n');
}

async function receive(incoming: IncomingMessage): Promise<ReceivedRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const [path = '', query = ''] = (incoming.url ?? '').split('?');
  const body = Buffer.concat(chunks).toString('latin1');
  return { method: incoming.method ?? '', path, query, headers: incoming.headers, body };
}
