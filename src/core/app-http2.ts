import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
  sensitiveHeaders,
} from 'node:http2';
import { Server } from 'node:net';
import { Answers, type AppServices, createReader } from './app-answers.ts';
import { type BaseExchange, findRequestProblem } from './app-exchange.ts';
import { Http2Guard } from './app-http2-guard.ts';
import type { ContextReader, RequestContext } from './context.ts';
import type { HeaderList } from './header-list.ts';
import { LIMITS } from './limits.ts';
import type { Reply } from './problem.ts';
import { createHeaderCheck } from './reply.ts';

/** One HTTP/2 stream under way. */
export type Http2Exchange = BaseExchange & {
  readonly stream: ServerHttp2Stream;
  /** The request has a body, which nobody reads. */
  readonly hasBody: boolean;
};

/** Handles one request, synchronously or through the app later; what it throws becomes a reply. */
export type Http2Handler = (exchange: Http2Exchange) => void;

/** Certificate chain and key, PEM. */
export type Http2Tls = { readonly cert: string; readonly key: string };

const END_STREAM_FLAG = 1;
const NO_ERROR = 0;
/** `sendDate` is missing in the type declarations. */
const WITH_BODY: ServerStreamResponseOptions & { sendDate: false } = { sendDate: false };
const HEADERS_ONLY = { ...WITH_BODY, endStream: true };

/**
 * A listener for HTTP/2 over TLS (D-36b): the same contexts, bounds and answers as App, on node:http2. ALPN offers h2
 * and nothing else. Connections are bounded by Http2Guard; a violation ends that connection alone.
 */
export class Http2App extends Answers<Http2Exchange> {
  #handle: Http2Handler;
  #reader: ContextReader;
  readonly #server: Http2SecureServer;
  readonly #guard: Http2Guard;
  readonly #checkHeaders = createHeaderCheck();
  /** Complete header lists of allow answers; one per decoded session, as the list that it is made of. */
  readonly #allowed = new WeakMap<HeaderList, readonly string[]>();

  /** @param handlerOf makes the handler, which answers through this app. */
  constructor(services: AppServices, handlerOf: (app: Http2App) => Http2Handler, tls: Http2Tls) {
    super(services);
    this.#handle = handlerOf(this);
    this.#reader = createReader(services);
    const { headerBytes } = services.config.limits;
    this.#guard = new Http2Guard(services.metrics.hot, headerBytes);
    this.#server = createSecureServer({ ...tls, ...compileServerOptions(headerBytes) });
    this.#server.maxConnections = LIMITS.http2Connections;
    this.#server.on('session', (session: ServerHttp2Session) => this.#guard.admit(session));
    this.#server.on('unknownProtocol', (socket) => socket.destroy());
    this.#server.on('stream', (stream: ServerHttp2Stream, _headers: unknown, flags: number, fields: string[]) => {
      this.#begin(stream, flags, fields);
    });
  }

  /** From now on serve another configuration, with its certificate for new connections. */
  replace(services: AppServices, handlerOf: (app: Http2App) => Http2Handler, tls: Http2Tls): void {
    this.services = services;
    this.#handle = handlerOf(this);
    this.#reader = createReader(services);
    this.#server.setSecureContext(tls);
  }

  /** Bind; resolves to the port. @param isShared as of App.listen @throws Error if the address is taken or not ours */
  listen(address: string, port: number, isShared: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      const refuse = (cause: Error): void =>
        reject(new Error(`cannot listen on ${address}:${port}: the address is taken or not ours`, { cause }));
      this.#server.once('error', refuse);
      this.#server.listen({ host: address, port, reusePort: isShared, exclusive: true }, () => {
        this.#server.removeListener('error', refuse);
        // Such as no file descriptor for a connection: that one is lost, the listener goes on.
        this.#server.on('error', (error) => this.services.log.warn({ err: error }, 'a connection was not accepted'));
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    });
  }

  /** Answer. */
  reply(exchange: Http2Exchange, reply: Reply): void {
    if (!this.#isWritable(exchange)) return;
    this.#checkHeaders(reply);
    const { stream, context } = exchange;
    const fields = [':status', String(reply.status)];
    for (const [name, value] of reply.headers) fields.push(name, value);
    const isEmpty = reply.body === '' || context.method === 'HEAD';
    if (reply.body !== '') fields.push('content-length', String(Buffer.byteLength(reply.body)));
    stream.respond(fields, isEmpty ? HEADERS_ONLY : WITH_BODY);
    if (!isEmpty) stream.end(reply.body);
    this.#answered(exchange, reply.status);
  }

  /** Verify's allow answer: exactly 200, empty, no cookie. */
  allow(exchange: Http2Exchange, headers: HeaderList): void {
    if (!this.#isWritable(exchange)) return;
    let fields = this.#allowed.get(headers);
    if (fields === undefined) {
      fields = allowFields(headers);
      this.#allowed.set(headers, fields);
    }
    exchange.stream.respond(fields, HEADERS_ONLY);
    this.#answered(exchange, 200);
  }

  /** Keep the current context beyond this turn of the loop. */
  keep(): void {
    this.#reader.keep();
  }

  protected recycle(context: RequestContext): void {
    this.#reader.release(context);
  }

  /** Stop accepting; connections that are open go on as before. */
  stopListening(): void {
    // The close of an HTTP/2 server would close its connections at once, without the announcement.
    if (this.#server.listening) Server.prototype.close.call(this.#server);
  }

  /** Say on every connection that it ends; what is under way is finished (RFC 9113 §6.8). */
  leave(): void {
    this.#guard.drain();
  }

  /** End every connection. */
  close(): void {
    this.#guard.close();
  }

  /** Connections are open. */
  get isBusy(): boolean {
    return this.#guard.size > 0;
  }

  #begin(stream: ServerHttp2Stream, flags: number, fields: readonly string[]): void {
    const { clock, flight } = this.services;
    const peer = this.#guard.peerOf(stream);
    if (peer === undefined) return;
    if (listSize(fields) > this.services.config.limits.headerBytes) {
      this.#guard.track(stream, () => undefined);
      stream.respond([':status', '431'], HEADERS_ONLY);
      return;
    }
    const context = this.#reader.readFields(fields, peer);
    const overloaded = this.enter(context);
    const hasBody = (flags & END_STREAM_FLAG) === 0;
    const exchange: Http2Exchange = {
      stream,
      context,
      startedAt: clock.now(),
      flight,
      open: true,
      tokenService: '',
      hasBody,
    };
    this.#guard.track(stream, () => {
      if (exchange.open) this.left(exchange);
    });
    try {
      const problem = findRequestProblem(context, overloaded);
      if (problem !== undefined) throw problem;
      this.#handle(exchange);
    } catch (error) {
      this.fail(exchange, error);
    }
  }

  /** A stream that its peer has reset must not be written; the event that says so may be still to come. */
  #isWritable({ stream, open }: Http2Exchange): boolean {
    return open && !stream.closed && !stream.destroyed;
  }

  /** A body that nobody reads is stopped, and is no error of the request (RFC 9113 §8.1). */
  #answered(exchange: Http2Exchange, status: number): void {
    this.finished(exchange, status, '');
    if (exchange.hasBody) exchange.stream.close(NO_ERROR);
  }
}

/**
 * Each session's values are its own: in the compression tables of a connection they would push out one another, and be
 * there for whoever can guess at them (RFC 7541 §7.1.3).
 */
function allowFields(headers: HeaderList): readonly string[] {
  const { pairs } = headers;
  const names = pairs.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  const fields = [':status', '200', 'cache-control', 'no-store', ...pairs];
  return Object.assign(fields, { [sensitiveHeaders]: names });
}

/** RFC 9113 §6.5.2. Node keeps the bound only once the peer has acknowledged it, which is the peer's to decide. */
function listSize(fields: readonly string[]): number {
  let size = fields.length * 16;
  for (let i = 0; i < fields.length; i++) size += (fields[i] as string).length;
  return size;
}

function compileServerOptions(headerBytes: number) {
  return {
    ALPNProtocols: ['h2'],
    handshakeTimeout: LIMITS.http2HandshakeMs,
    maxHeaderListPairs: LIMITS.http2HeaderFields,
    maxSessionMemory: LIMITS.http2ConnectionMemoryMiB,
    maxSettings: LIMITS.http2SettingsEntries,
    streamResetBurst: LIMITS.http2ResetsBurst,
    streamResetRate: LIMITS.http2ResetsPerSecond,
    settings: {
      enablePush: false,
      maxConcurrentStreams: LIMITS.http2Streams,
      maxHeaderListSize: headerBytes,
    },
  };
}
