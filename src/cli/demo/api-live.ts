import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';

const UPLOAD_MAX_BYTES = 256 * 1024 * 1024;
const MESSAGE_MAX_BYTES = 64 * 1024;
const TICK_MS = 1_000;
/** Whoever forgets an open page must not keep a stream for ever. */
const TICKS_MAX = 3_600;

/** Counts and hashes a body without keeping it, and says so as JSON. Errors: a body that is cut ends the answer. */
export async function takeUpload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  let received = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    received += chunk.length;
    if (received > UPLOAD_MAX_BYTES) {
      response.writeHead(413, { connection: 'close' }).end();
      return;
    }
    hash.update(chunk);
  }
  const body = JSON.stringify({ received, sha256: hash.digest('hex') });
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(body);
}

/** An event each second, with the name of whoever listens, until the listener leaves or an hour is over. */
export function streamTicks(request: IncomingMessage, response: ServerResponse, subject: string): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  let count = 0;
  const tick = (): void => {
    count += 1;
    response.write(`event: tick\nid: ${count}\ndata: ${JSON.stringify({ count, subject })}\n\n`);
    if (count === TICKS_MAX) stop();
  };
  const timer = setInterval(tick, TICK_MS);
  const stop = (): void => {
    clearInterval(timer);
    response.end();
  };
  request.on('close', () => clearInterval(timer));
  response.on('close', () => clearInterval(timer));
  tick();
}

/** Sends back what it gets. */
export type Echo = {
  /** Take an upgrade whose token was checked. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, subject: string): void;
  close(): void;
};

/** An echo over WebSockets, which greets with the name of whoever came. */
export function createEcho(): Echo {
  const server = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_MAX_BYTES, perMessageDeflate: false });
  const greet = (socket: WebSocket, subject: string): void => {
    socket.on('error', () => socket.terminate());
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.send(`hello ${subject}`);
  };
  return {
    accept: (request, socket, head, subject) =>
      server.handleUpgrade(request, socket, head, (webSocket) => greet(webSocket, subject)),
    close() {
      for (const client of server.clients) client.terminate();
      server.close();
    },
  };
}
