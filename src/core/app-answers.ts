import type { BaseExchange, Flight } from './app-exchange.ts';
import { clientIpOf, logAccess, logRefusal, type RequestLogServices } from './app-log.ts';
import type { Audit } from './audit.ts';
import { retryAfterOf } from './clock.ts';
import type { Config } from './config/types.ts';
import type { VerifyListen } from './config/types-listen.ts';
import { type ContextReader, createContextReader, type RequestContext } from './context.ts';
import { randomToken } from './crypto.ts';
import { isSallyportError } from './errors.ts';
import type { HeaderList } from './header-list.ts';
import type { Metrics } from './metrics.ts';
import { isNavigation } from './origin.ts';
import { type Problem, problemOf, type Replies, type Reply } from './problem.ts';
import { canonicalHost, type SiteRuntime, type SiteTable } from './sites.ts';

/** What listeners share, of one configuration. */
export type AppServices = RequestLogServices & {
  readonly config: Config;
  readonly sites: SiteTable;
  readonly replies: Replies;
  readonly metrics: Metrics;
  readonly audit: Audit;
  readonly flight: Flight;
  /** Which peers of the listener are trusted proxies, where that is known of all of them at start. */
  readonly peers?: 'all';
  /** The listener passes headers on: contexts keep all of them. */
  readonly keepsFields?: boolean;
};

/** Where a request arrived: the site of the host that the browser used, and that host's canonical text. */
export type Located = { readonly site: SiteRuntime | undefined; readonly host: string };

/** What every listener does with its requests, whatever their protocol: bounds, counts, refusals, log lines. */
export abstract class Answers<E extends BaseExchange> {
  /** Replaced as a whole by a reload. */
  protected services: AppServices;
  readonly #idPrefix = randomToken(6);
  #idCounter = 0;

  readonly #isOperators: boolean;

  /** @param isOperators the operator's listener: its requests are no load, and are answered above the bounds, too. */
  constructor(services: AppServices, isOperators = false) {
    this.services = services;
    this.#isOperators = isOperators;
  }

  /** Answer. */
  abstract reply(exchange: E, reply: Reply): void;

  /** Verify's allow answer. */
  abstract allow(exchange: E, headers: HeaderList): void;

  /** Keep the current context beyond this turn of the loop. */
  abstract keep(): void;

  /** Once, when nobody reads the kept context of this request any more: another one may have it. */
  release(exchange: E): void {
    // A chunked request is answered later still.
    if (!exchange.open) this.recycle(exchange.context);
  }

  protected abstract recycle(context: RequestContext): void;

  /** Answer with an error of the table; counted, and logged within its bucket. */
  refuse(exchange: E, problem: Problem, reason: string): void {
    if (!exchange.open) return;
    const { hot } = this.services.metrics;
    hot.refused.set(problem.code, (hot.refused.get(problem.code) ?? 0) + 1);
    logRefusal(this.services, exchange, problem, reason);
    if (problem.code === 'csrf_failed') this.#auditCsrf(exchange, problem, reason);
    this.reply(exchange, this.services.replies.problem(exchange.context, problem));
  }

  /** Turn whatever was thrown into an answer. */
  fail(exchange: E, error: unknown): void {
    const { log, config } = this.services;
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
  finished(exchange: E, status: number, code: string): void {
    if (!exchange.open) return;
    this.left(exchange);
    if (this.services.config.log.access === 'all') logAccess(this.services, exchange, status, code);
  }

  /** Host as a trusted proxy forwarded it, else as sent. */
  locate(context: RequestContext): Located {
    const text = context.trusted && context.forwardedHost !== '' ? context.forwardedHost : context.host;
    const site = this.services.sites.find(text);
    return { site, host: site === undefined ? '' : canonicalHost(text, site.scheme) };
  }

  /** Count and name a request that was just read. @returns true above the bounds of the process. */
  protected enter(context: RequestContext): boolean {
    const { config, metrics, flight } = this.services;
    const { hot } = metrics;
    hot.requests += 1;
    hot.inFlight += 1;
    if (this.#isOperators) hot.operatorsInFlight += 1;
    flight.count += 1;
    this.#idCounter += 1;
    context.idPrefix = this.#idPrefix;
    context.idNumber = this.#idCounter;
    if (this.#isOperators) return false;
    return (
      hot.inFlight - hot.operatorsInFlight > config.limits.requestsInFlight ||
      hot.connections > config.limits.connections
    );
  }

  /** The request is answered, or its client has left. */
  protected left(exchange: E): void {
    exchange.open = false;
    exchange.context.source = undefined;
    exchange.flight.count -= 1;
    const { hot } = this.services.metrics;
    hot.inFlight -= 1;
    if (this.#isOperators) hot.operatorsInFlight -= 1;
  }

  #auditCsrf({ context }: E, { site }: Problem, reason: string): void {
    this.services.audit('csrf_refused', {
      request_id: context.requestId,
      client_ip: clientIpOf(this.services, context),
      reason,
      ...(site === undefined ? {} : { site: site.site.name }),
    });
  }
}

/** A reader with the bounds of a configuration. */
export function createReader({ config, trusted, peers, clock, keepsFields = false }: AppServices): ContextReader {
  return createContextReader({
    // Access lines are written after the answer, when its connection cannot be asked any more.
    trusted: peers === 'all' && config.log.access === 'none' ? peers : trusted,
    clock,
    csrfHeader: config.csrf.header.toLowerCase(),
    targetMaxBytes: config.limits.targetBytes,
    keepsFields,
  });
}

/**
 * What a verify listener works with. Its peers need not be checked one by one if its operator vouches for all of them
 * (D-08), or if it listens on a loopback address and the whole loopback network is trusted.
 */
export function verifyServicesOf(services: AppServices, { address, trustedPeers }: VerifyListen): AppServices {
  const block = address.startsWith('127.') ? '127.0.0.0/8' : address === '::1' ? '::1/128' : '';
  const isKnown = trustedPeers === 'all' || services.config.trustedProxies.includes(block);
  return isKnown ? { ...services, peers: 'all' } : services;
}

/** True for a top-level navigation of any method: a form's POST wants a page as well. */
export function isPersonLooking(context: RequestContext): boolean {
  if (isNavigation(context.method, context)) return true;
  if (context.secFetchMode !== '') return context.secFetchMode === 'navigate' && context.secFetchDest === 'document';
  return context.method === 'POST' && context.accept.includes('text/html');
}

function withRetryAfter(problem: Problem, config: Config): Problem {
  if (problem.code !== 'store_unavailable' || problem.retryAfterS !== undefined) return problem;
  return { ...problem, retryAfterS: retryAfterOf(config.store.retryAfterMs) };
}
