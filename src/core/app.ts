import uWS, {
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type us_listen_socket,
  type us_socket_context_t,
} from 'uWebSockets.js';
import { Answers, type AppServices, createReader } from './app-answers.ts';
import { type Exchange, findRequestProblem } from './app-exchange.ts';
import { type OpenSockets, type SocketData, type SocketUser, socketBehaviour, socketBounds } from './app-websocket.ts';
import type { ContextReader, RequestContext } from './context.ts';
import { PROBLEM_FRAMING, PROBLEM_METHOD } from './context-problems.ts';
import type { HeaderList } from './header-list.ts';
import { LIMITS } from './limits.ts';
import type { Reply } from './problem.ts';
import { createHeaderCheck, writeAllow, writeReply } from './reply.ts';

/** The native request: valid only until the first await. */
export type NativeRequest = HttpRequest;

/** Handles one request on a listener. What it throws becomes a reply in the app. */
export type Handler = (exchange: Exchange, req: NativeRequest) => void | Promise<void>;

/**
 * A listener: one coarse native route, abort registration first, bounds, refusal of what the parser lets through
 * (SECURITY §3), and the one place where a throw becomes a reply (ARCHITECTURE §5).
 */
export class App extends Answers<Exchange> {
  #handle: Handler;
  readonly #native: TemplatedApp = uWS.App();
  #reader: ContextReader;
  #isClosing = false;
  readonly #sockets: OpenSockets = new Map();
  #socketBounds = '';
  readonly #checkHeaders = createHeaderCheck();
  /** The request that was read in this turn, until its handler returns: the native core has corked its connection. */
  #current: Exchange | undefined;
  #listenSocket: us_listen_socket | undefined;

  /**
   * @param handlerOf makes the handler, which answers through this app.
   * @param isOperators see Answers.
   */
  constructor(services: AppServices, handlerOf: (app: App) => Handler, isOperators = false) {
    super(services, isOperators);
    this.#handle = handlerOf(this);
    this.#reader = createReader(services);
    // The native router tells exactly GET from the rest: most requests need not be asked.
    this.#native.get('/*', (res, req) => this.#begin(res, req, 'GET', undefined));
    this.#native.any('/*', (res, req) => this.#begin(res, req, undefined, undefined));
    this.#takeSockets();
    const countConnection = (_res: HttpResponse, change: unknown): void => {
      services.metrics.hot.connections += Number(change);
    };
    this.#native.filter(countConnection);
  }

  /** From now on serve another configuration; requests under way end as they began. */
  replace(services: AppServices, handlerOf: (app: App) => Handler): void {
    this.services = services;
    this.#handle = handlerOf(this);
    this.#reader = createReader(services);
    this.#takeSockets();
  }

  /**
   * Bind; resolves to the port.
   * @param isShared other processes of ours accept on the same port (D-22).
   * @throws Error if the address is taken or not ours
   */
  listen(address: string, port: number, isShared: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      listenNatively(this.#native, address, port, isShared, (socket) => {
        if (socket === false) {
          reject(new Error(`cannot listen on ${address}:${port}: the address is taken or not ours`));
          return;
        }
        this.#listenSocket = socket;
        resolve(uWS.us_socket_local_port(socket));
      });
    });
  }

  /**
   * Answer. What is left of a body is dropped by the native core, which knows its declared length; a body that is too
   * long for that, or whose length is not declared, closes the connection: its rest must not become a request.
   */
  reply(exchange: Exchange, reply: Reply): void {
    const { context } = exchange;
    const unread = context.contentLength > LIMITS.discardedBodyMaxBytes;
    const close = unread || reply.status === 413 || (context.problems & (PROBLEM_FRAMING | PROBLEM_METHOD)) !== 0;
    this.#checkHeaders(reply);
    if (this.#isInTurn(exchange)) this.#writeReply(exchange, reply, close);
    else this.#write(exchange, () => this.#writeReply(exchange, reply, close));
  }

  /** Verify's allow answer. */
  allow(exchange: Exchange, headers: HeaderList): void {
    if (this.#isInTurn(exchange)) this.#writeAllow(exchange, headers);
    else this.#write(exchange, () => this.#writeAllow(exchange, headers));
  }

  /**
   * Accept a handshake: from now on the connection belongs to `user`, whose `onOpen` is called before this returns.
   * @param subprotocol the one the service chose; empty = none.
   */
  upgrade(exchange: Exchange, user: SocketUser, subprotocol: string): void {
    const { res, context, flight, socketContext } = exchange;
    if (!exchange.open || socketContext === undefined) throw new TypeError('nothing to upgrade');
    this.finished(exchange, 101, '');
    const data: SocketData = { user, flight };
    const accept = (): void => res.upgrade(data, context.webSocketKey, subprotocol, '', socketContext);
    // Never corked itself: after an upgrade that leaves the socket where it is in memory, the native cork goes on to
    // read it as an HTTP response, and by what it finds may close it. But the native side writes a warning to standard
    // error for each upgrade outside a cork. While another socket has the one cork of the loop, `res.cork` takes none.
    const [other] = this.#sockets.values();
    if (other === undefined) accept();
    else other.cork(() => void res.cork(accept));
    if (this.#isClosing) user.onLeave();
  }

  /** Keep the current context beyond this turn of the loop. */
  keep(): void {
    this.#reader.keep();
  }

  protected recycle(context: RequestContext): void {
    this.#reader.release(context);
  }

  /** Each answer ends its connection. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Stop accepting; connections that are open go on as before. */
  stopListening(): void {
    if (this.#listenSocket !== undefined) uWS.us_listen_socket_close(this.#listenSocket);
    this.#listenSocket = undefined;
  }

  /** Requests under way go on, and each answer from now on ends its connection. WebSockets end (1001). */
  leave(): void {
    this.#isClosing = true;
    for (const user of [...this.#sockets.keys()]) user.onLeave();
  }

  /** End every connection. */
  close(): void {
    this.#native.close();
  }

  #begin(
    res: HttpResponse,
    req: HttpRequest,
    method: 'GET' | undefined,
    socketContext: us_socket_context_t | undefined,
  ): void {
    const context = this.#reader.read(res, req, method);
    const overloaded = this.enter(context);
    const { flight } = this.services;
    const exchange: Exchange = {
      res,
      context,
      startedAt: context.readAt,
      flight,
      open: true,
      tokenService: '',
      onAbort: undefined,
      socketContext,
    };
    this.#current = exchange;
    this.#run(exchange, req, overloaded);
    this.#current = undefined;
    // Nobody leaves within a turn of the loop: who is answered in it needs no native call for the case.
    if (exchange.open) this.#hearOfAbort(exchange);
  }

  #hearOfAbort(exchange: Exchange): void {
    exchange.res.onAborted(() => {
      if (exchange.open) this.#abort(exchange);
    });
  }

  /**
   * The native side calls every GET with a key of 24 characters a handshake, verify sub-requests too (GATEWAYS §6):
   * it goes the way of all requests, and only a WebSocket route upgrades it. Registered anew when a configuration has
   * other bounds; open sockets keep theirs.
   */
  #takeSockets(): void {
    const bounds = socketBounds(this.services.config);
    if (JSON.stringify(bounds) === this.#socketBounds) return;
    this.#socketBounds = JSON.stringify(bounds);
    const { log } = this.services;
    const onDefect = (error: unknown): void => log.error({ err: error }, 'a defect was met on a WebSocket');
    this.#native.ws<SocketData>('/*', {
      ...socketBehaviour(bounds, this.#sockets, onDefect),
      upgrade: (res, req, context) => this.#begin(res, req, 'GET', context),
    });
  }

  #run(exchange: Exchange, req: HttpRequest, overloaded: boolean): void {
    try {
      const problem = findRequestProblem(exchange.context, overloaded);
      if (problem !== undefined) throw problem;
      const pending = this.#handle(exchange, req);
      if (!(pending instanceof Promise)) return;
      this.#reader.keep();
      pending.catch((error: unknown) => this.fail(exchange, error));
    } catch (error) {
      this.fail(exchange, error);
    }
  }

  /** Nearly each request of verify is answered in its turn, and needs no function made for later. */
  #isInTurn(exchange: Exchange): boolean {
    return exchange === this.#current && exchange.open && !exchange.context.chunked;
  }

  #writeReply(exchange: Exchange, reply: Reply, close: boolean): void {
    const { res, context } = exchange;
    writeReply(res, reply, context.method === 'HEAD', close || context.chunked || this.#isClosing);
    this.finished(exchange, reply.status, '');
  }

  #writeAllow(exchange: Exchange, headers: HeaderList): void {
    writeAllow(exchange.res, headers, exchange.context.chunked || this.#isClosing);
    this.finished(exchange, 200, '');
  }

  /**
   * Behind a chunked body the parser goes on with the rest of the same read as soon as the answer is written, and takes
   * trailers or garbage for a request (SECURITY §3.4, §3.5). While the answer is pending it closes the connection
   * instead: so that answer waits for the end of this read.
   */
  #write(exchange: Exchange, write: () => void): void {
    if (!exchange.open) return;
    if (exchange.context.chunked) {
      this.#reader.keep();
      setImmediate(() => {
        if (exchange.open) exchange.res.cork(write);
      });
    } else if (exchange === this.#current) {
      write();
    } else {
      exchange.res.cork(write);
    }
  }

  #abort(exchange: Exchange): void {
    this.left(exchange);
    exchange.onAbort?.();
  }
}

/** The form with host and options exists in the addon (DECISIONS §0) but not in its type declarations. */
type ListenWithOptions = (
  host: string,
  port: number,
  options: number,
  cb: (socket: us_listen_socket | false) => void,
) => void;

function listenNatively(
  native: TemplatedApp,
  address: string,
  port: number,
  isShared: boolean,
  done: (socket: us_listen_socket | false) => void,
): void {
  const [LIBUS_LISTEN_DEFAULT, LIBUS_LISTEN_EXCLUSIVE_PORT] = [0, 1];
  const options = isShared ? LIBUS_LISTEN_DEFAULT : LIBUS_LISTEN_EXCLUSIVE_PORT;
  (native.listen as unknown as ListenWithOptions).call(native, address, port, options, done);
}
