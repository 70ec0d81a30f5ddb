import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

/** Certificate chain and private key of a TLS server, both PEM. */
export type TlsFiles = { readonly cert: string; readonly key: string };

/** Where a demo part listens and what answers. */
export type HttpServerOptions = {
  /** TCP port; 0 lets the system choose. */
  readonly port: number;
  /** Address to bind; loopback unless a caller says otherwise. */
  readonly host?: string;
  /** With it the server speaks https. */
  readonly tls?: TlsFiles | undefined;
  /** Answers each request; a rejection becomes a plain 500 (413 for BodyTooLargeError). */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;
  /** Answers requests for another protocol; without it they are closed. */
  readonly upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
};

/** A listening part of the demo. */
export type RunningServer = {
  /** The port it really listens on. */
  readonly port: number;
  /** Stops listening and ends open connections; resolves when the port is free. */
  close(): Promise<void>;
};

/** Thrown when a part cannot listen because another process holds its port. */
export class PortTakenError extends Error {
  readonly port: number;
  constructor(port: number) {
    super(`port ${port} on 127.0.0.1 is already in use`);
    this.name = 'PortTakenError';
    this.port = port;
  }
}

/** Thrown by readBody. */
export class BodyTooLargeError extends Error {
  constructor(maxBytes: number) {
    super(`request body longer than ${maxBytes} bytes`);
    this.name = 'BodyTooLargeError';
  }
}

// Longer than the 90 s for which Go's HTTP client (Traefik) keeps idle connections: whoever reuses one must never
// meet a server that has just closed it, because a POST is not sent twice.
const KEEP_ALIVE_MS = 120_000;
const REQUEST_TIMEOUT_MS = 30_000;

/**
 * Starts a small node:http(s) server, as every part of the demo uses it.
 * Errors: PortTakenError if the port is in use; other listen errors as they come.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<RunningServer> {
  const listener: RequestListener = (request, response) => {
    void answer(options.handler, request, response);
  };
  const server = options.tls === undefined ? createHttpServer(listener) : createHttpsServer(options.tls, listener);
  if (options.upgrade !== undefined) server.on('upgrade', options.upgrade);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  await listen(server, options.port, options.host ?? '127.0.0.1');
  const { port } = server.address() as AddressInfo;
  return { port, close: () => closeServer(server) };
}

async function answer(
  handler: HttpServerOptions['handler'],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    await handler(request, response);
  } catch (error) {
    failPlainly(response, error instanceof BodyTooLargeError ? 413 : 500);
  }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? new PortTakenError(port) : error);
    });
    server.listen(port, host, resolve);
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function failPlainly(response: ServerResponse, status: number): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const text = `${STATUS_CODES[status]}\n`;
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(text);
}

/**
 * Reads a whole request body of at most `maxBytes` bytes.
 * Errors: BodyTooLargeError, which startHttpServer turns into 413 on a connection that it then closes.
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) {
      throw new BodyTooLargeError(maxBytes);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
