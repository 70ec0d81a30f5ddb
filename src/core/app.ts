import uWS, { type HttpRequest, type HttpResponse, type TemplatedApp, type us_listen_socket } from 'uWebSockets.js';
import { type Exchange, findRequestProblem } from './app-exchange.ts';
import { clientIpOf, logAccess, logRefusal, type RequestLogServices } from './app-log.ts';
import type { Audit } from './audit.ts';
import type { Config } from './config/types.ts';
import {
  type ContextReader,
  createContextReader,
  PROBLEM_FRAMING,
  PROBLEM_METHOD,
  type RequestContext,
} from './context.ts';
import { randomToken } from './crypto.ts';
import { isSallyportError } from './errors.ts';
import type { HeaderList } from './identity.ts';
import type { Metrics } from './metrics.ts';
import { isNavigation } from './origin.ts';
import { type Problem, problemOf, type Replies, type Reply } from './problem.ts';
import { writeAllow, writeReply } from './reply.ts';
import { canonicalHost, type SiteRuntime, type SiteTable } from './sites.ts';

/** The native request: valid only until the first await. */
export type NativeRequest = HttpRequest;

/** Handles one request on a listener. What it throws becomes a reply in the app. */
export type Handler = (exchange: Exchange, req: NativeRequest) => void | Promise<void>;

/** What listeners share. */
export type AppServices = RequestLogServices & {
  readonly config: Config;
  readonly sites: SiteTable;
  readonly replies: Replies;
  readonly metrics: Metrics;
  readonly audit: Audit;
};

/** Where a request arrived: the site of the host that the browser used, and that host's canonical text. */
export type Located = { readonly site: SiteRuntime | undefined; readonly host: string };

/**
 * A listener: one coarse native route, abort registration first, bounds, refusal of what the parser lets through
 * (SECURITY §3), and the one place where a throw becomes a reply (ARCHITECTURE §5).
 */
export class App {
  readonly #services: AppServices;
  readonly #handle: Handler;
  readonly #native: TemplatedApp = uWS.App();
  readonly #reader: ContextReader;
  readonly #idPrefix = randomToken(6);
  #idCounter = 0;
  #listenSocket: us_listen_socket | undefined;

  constructor(services: AppServices, handle: Handler) {
    const { config, trusted, metrics } = services;
    this.#services = services;
    this.#handle = handle;
    this.#reader = createContextReader({
      trusted,
      csrfHeader: config.csrf.header.toLowerCase(),
      targetMaxBytes: config.limits.targetBytes,
    });
    this.#native.any('/*', (res, req) => this.#begin(res, req));
    const countConnection = (_res: HttpResponse, change: unknown): void => {
      metrics.hot.connections += Number(change);
    };
    this.#native.filter(countConnection);
  }

  /** Bind exclusively; resolves to the port. @throws Error if the address is taken or not ours */
  listen(address: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      listenExclusively(this.#native, address, port, (socket) => {
        if (socket === false) {
          reject(new Error(`cannot listen on ${address}:${port}: the address is taken or not ours`));
          return;
        }
        this.#listenSocket = socket;
        resolve(uWS.us_socket_local_port(socket));
      });
    });
  }

  /** Answer. Bodies that were not read to their end close the connection: their rest must not become a request. */
  reply(exchange: Exchange, reply: Reply): void {
    const { context } = exchange;
    const close = reply.status === 413 || (context.problems & (PROBLEM_FRAMING | PROBLEM_METHOD)) !== 0;
    this.#write(exchange, () => {
      writeReply(exchange.res, reply, context.method === 'HEAD', close || context.chunked);
      this.finished(exchange, reply.status, '');
    });
  }

  /** Verify's allow answer. */
  allow(exchange: Exchange, headers: HeaderList): void {
    this.#write(exchange, () => {
      writeAllow(exchange.res, headers, exchange.context.chunked);
      this.finished(exchange, 200, '');
    });
  }

  /** Answer with an error of the table; counted, and logged within its bucket. */
  refuse(exchange: Exchange, problem: Problem, reason: string): void {
    if (!exchange.open) return;
    const { hot } = this.#services.metrics;
    hot.refused.set(problem.code, (hot.refused.get(problem.code) ?? 0) + 1);
    logRefusal(this.#services, exchange, problem.code, reason);
    if (problem.code === 'csrf_failed') this.#auditCsrf(exchange, problem, reason);
    this.reply(exchange, this.#services.replies.problem(exchange.context, problem));
  }

  /** Turn whatever was thrown into an answer. */
  fail(exchange: Exchange, error: unknown): void {
    const { log, config } = this.#services;
    const { context } = exchange;
    const navigation = isPersonLooking(context);
    const { site } = this.locate(context);
    if (isSallyportError(error)) {
      if (error.cause !== undefined) log.debug({ err: error, request_id: context.requestId }, 'cause of a refusal');
      this.refuse(exchange, withRetryAfter(problemOf(error, navigation, site), config), error.detail ?? error.code);
      return;
    }
    log.error({ err: error, request_id: context.requestId }, 'a defect was met while answering');
    this.refuse(exchange, { code: 'internal_error', navigation, site }, 'defect');
  }

  /** Note an answer that somebody else wrote (verify's allow, the proxy). */
  finished(exchange: Exchange, status: number, code: string): void {
    if (!exchange.open) return;
    exchange.open = false;
    this.#services.metrics.hot.inFlight -= 1;
    if (this.#services.config.log.access === 'all') logAccess(this.#services, exchange, status, code);
  }

  /** Keep the current context beyond this turn of the loop. */
  keep(): void {
    this.#reader.keep();
  }

  /** Host as a trusted proxy forwarded it, else as sent. */
  locate(context: RequestContext): Located {
    const text = context.trusted && context.forwardedHost !== '' ? context.forwardedHost : context.host;
    const site = this.#services.sites.find(text);
    return { site, host: site === undefined ? '' : canonicalHost(text, site.scheme) };
  }

  /** Stop accepting; requests under way go on. */
  stopListening(): void {
    if (this.#listenSocket !== undefined) uWS.us_listen_socket_close(this.#listenSocket);
    this.#listenSocket = undefined;
  }

  /** End every connection. */
  close(): void {
    this.#native.close();
  }

  #begin(res: HttpResponse, req: HttpRequest): void {
    let exchange: Exchange | undefined;
    res.onAborted(() => {
      if (exchange?.open === true) this.#abort(exchange);
    });
    const { config, metrics, clock } = this.#services;
    const { hot } = metrics;
    hot.requests += 1;
    hot.inFlight += 1;
    const context = this.#reader.read(res, req);
    this.#idCounter += 1;
    context.requestId = this.#idPrefix + this.#idCounter.toString(36);
    exchange = { res, context, startedAt: clock.now(), open: true, onAbort: undefined };
    const { limits } = config;
    this.#run(exchange, req, hot.inFlight > limits.requestsInFlight || hot.connections > limits.connections);
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

  /**
   * Behind a chunked body the parser goes on with the rest of the same read as soon as the answer is written, and takes
   * trailers or garbage for a request (SECURITY §3.4, §3.5). While the answer is pending it closes the connection
   * instead: so that answer waits for the end of this read.
   */
  #write(exchange: Exchange, write: () => void): void {
    if (!exchange.open) return;
    if (!exchange.context.chunked) {
      write();
      return;
    }
    this.#reader.keep();
    setImmediate(() => {
      if (exchange.open) write();
    });
  }

  #auditCsrf({ context }: Exchange, { site }: Problem, reason: string): void {
    this.#services.audit('csrf_refused', {
      request_id: context.requestId,
      client_ip: clientIpOf(this.#services, context),
      reason,
      ...(site === undefined ? {} : { site: site.site.name }),
    });
  }

  #abort(exchange: Exchange): void {
    exchange.open = false;
    this.#services.metrics.hot.inFlight -= 1;
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

function listenExclusively(
  native: TemplatedApp,
  address: string,
  port: number,
  done: (socket: us_listen_socket | false) => void,
): void {
  const LIBUS_LISTEN_EXCLUSIVE_PORT = 1;
  (native.listen as unknown as ListenWithOptions).call(native, address, port, LIBUS_LISTEN_EXCLUSIVE_PORT, done);
}

/** True for a top-level navigation of any method: a form's POST wants a page as well. */
export function isPersonLooking(context: RequestContext): boolean {
  if (isNavigation(context.method, context)) return true;
  if (context.secFetchMode !== '') return context.secFetchMode === 'navigate' && context.secFetchDest === 'document';
  return context.method === 'POST' && context.accept.includes('text/html');
}

function withRetryAfter(problem: Problem, config: Config): Problem {
  if (problem.code !== 'store_unavailable' || problem.retryAfterS !== undefined) return problem;
  return { ...problem, retryAfterS: Math.max(1, Math.ceil(config.store.retryAfterMs / 1000)) };
}
