import type { HttpRequest } from 'uWebSockets.js';
import type { App } from '../core/app.ts';
import type { Exchange } from '../core/app-exchange.ts';
import type { Route } from '../core/config/types.ts';
import type { ServiceTimeouts } from '../core/config/types-service.ts';
import { createDpopNonces, type DpopNonces } from '../core/dpop-nonces.ts';
import { SallyportError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import { compileOriginRules, isPreflight, type OriginRules } from '../core/origin.ts';
import type { Replies } from '../core/problem.ts';
import type { CompiledRoute } from '../core/routes.ts';
import type { StoreChanges } from '../core/store.ts';
import type { TokenCookies } from '../core/token-cookies.ts';
import type { VerifyServices } from '../core/verify.ts';
import { type Asked, noteToken, type Verdict } from './authorize.ts';
import { ChunkBuffers } from './chunk-buffers.ts';
import { compileOwnCookies } from './cookie-names.ts';
import { forward } from './http.ts';
import { createServiceTable, type ServiceRuntime, type ServiceTable } from './http-pools.ts';
import { LiveSessions } from './live-sessions.ts';
import { LongAnswers } from './long-answers.ts';
import { compileOwnHeaders, type OwnHeadersMaker } from './own-headers.ts';
import { preflightHeaders } from './preflight.ts';
import { RequestProofs } from './proof.ts';
import { compileLimitedAuthorize, type LimitedAuthorize } from './rate.ts';
import {
  type ClientHeaders,
  compileRequestHeaders,
  fieldLines,
  finishHeaders,
  type RequestHeaderRules,
} from './request-headers.ts';
import { compileResponseRules, type ResponseRulesMaker } from './response-rules.ts';
import { targetOf } from './target.ts';
import { findRenewedCookies } from './token-cookies.ts';
import { openUpload, type Upload } from './upload.ts';
import { createWebSockets, type WebSockets } from './websocket.ts';

/** What the proxy works with. */
export type ProxyServices = VerifyServices & {
  readonly replies: Replies;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Tells of sessions that end, for what is open of them; undefined = they are read again and again. */
  readonly changes: StoreChanges | undefined;
  /** undefined = tokens are in no cookies. */
  readonly tokenCookies: TokenCookies | undefined;
};

/** Everything that is not an address of ours: routes.yaml decides. */
export type Proxy = {
  /**
   * Answer one request, now or later.
   * @param path canonical path: what is matched, authorized and sent.
   * @throws SallyportError for a refusal, synchronously or as a rejection.
   */
  handle(app: App, exchange: Exchange, req: HttpRequest, path: string): void | Promise<void>;
  /** End every connection to services. */
  close(): Promise<void>;
};

/** The proxy's compiled parts. */
type Parts = {
  readonly services: ProxyServices;
  readonly authorize: LimitedAuthorize;
  readonly longAnswers: LongAnswers;
  readonly table: ServiceTable;
  /** Of every route with a service. */
  readonly plans: ReadonlyMap<Route, Plan>;
  readonly origin: OriginRules;
  readonly requestHeaders: RequestHeaderRules;
  /** What services want in proofs of possession. */
  readonly nonces: DpopNonces;
  readonly responseRules: ResponseRulesMaker;
  /** For parts of request bodies. */
  readonly chunkBuffers: ChunkBuffers;
  readonly describe: OwnHeadersMaker;
};

/** What a route's requests are sent with. */
type Plan = { readonly service: ServiceRuntime; readonly timeouts: ServiceTimeouts };

/** A request with everything that had to be read of it in its first turn. */
type Inbound = {
  readonly app: App;
  readonly exchange: Exchange;
  readonly asked: Asked;
  readonly plan: Plan;
  readonly headers: ClientHeaders;
  readonly upload: Upload | undefined;
};

/** Compile the proxy of a configuration (SPEC §8). */
export function createProxy(services: ProxyServices): Proxy {
  const { config, identity } = services;
  const origin = compileOriginRules(config);
  const table = createServiceTable({ ...config, clock: services.clock, log: services.log });
  const { limits, session } = config;
  const live = new LiveSessions({ ...services, perSession: limits.webSocketsPerSession, idleMs: session.idleMs });
  const parts: Parts = {
    services,
    longAnswers: new LongAnswers(live, services.clock),
    authorize: compileLimitedAuthorize(services),
    table,
    nonces: createDpopNonces(new Set(config.services.flatMap(({ urls }) => urls)).size),
    plans: compilePlans(config.routes, table),
    origin,
    requestHeaders: compileRequestHeaders(config, identity.names),
    responseRules: compileResponseRules({ origin, replies: services.replies, isOwnCookie: compileOwnCookies(config) }),
    chunkBuffers: new ChunkBuffers(),
    describe: compileOwnHeaders(services),
  };
  const webSockets = createWebSockets({
    ...services,
    requestHeaders: parts.requestHeaders,
    nonces: parts.nonces,
    sessions: live,
    authorize: parts.authorize,
    describe: parts.describe,
  });
  return {
    handle: (app, exchange, req, path) => handle(parts, webSockets, app, exchange, req, path),
    close() {
      live.close();
      parts.longAnswers.close();
      webSockets.close();
      return parts.table.close();
    },
  };
}

function compilePlans(routes: readonly Route[], table: ServiceTable): Parts['plans'] {
  const plans = new Map<Route, Plan>();
  for (const route of routes) {
    if (route.service === undefined) continue;
    const service = table.find(route.service);
    plans.set(route, { service, timeouts: { ...service.service.timeouts, ...route.timeouts } });
  }
  return plans;
}

function handle(
  parts: Parts,
  webSockets: WebSockets,
  app: App,
  exchange: Exchange,
  req: HttpRequest,
  path: string,
): void | Promise<void> {
  const { context } = exchange;
  const { site, host } = app.locate(context);
  if (site === undefined) throw new SallyportError('unknown_host', { detail: 'proxy' });
  if (isPreflight(context.method, context)) {
    app.reply(exchange, { status: 204, headers: preflightHeaders(parts, site, context), body: '' });
    return;
  }
  const { route, plan } = findRoute(parts, host, path, context.method);
  const asked: Asked = { context, site, host, path, route };
  if (route.route.webSocket !== undefined) return webSockets.handle(app, exchange, req, asked, plan);
  if (context.webSocketKey !== '' || context.upgrade.toLowerCase().includes('websocket')) {
    throw new SallyportError('bad_request', { detail: 'a WebSocket handshake on an HTTP route' });
  }
  const headers = parts.requestHeaders.read(context.fields);
  // Registered before the first await: what arrives later is dropped otherwise.
  const limits = { maxBytes: route.route.bodyMaxBytes, idleMs: plan.timeouts.bodyIdleMs };
  const upload = openUpload(exchange, limits, parts.chunkBuffers);
  const inbound: Inbound = { app, exchange, asked, plan, headers, upload };
  app.keep();
  try {
    const verdict = parts.authorize(inbound.asked);
    const step =
      verdict instanceof Promise ? verdict.then((value) => go(parts, inbound, value)) : go(parts, inbound, verdict);
    return step?.catch((error: unknown) => {
      upload?.discard();
      throw error;
    });
  } catch (error) {
    upload?.discard();
    throw error;
  }
}

/** The route and its service; a route without one exists for verify alone (D-39). */
function findRoute(parts: Parts, host: string, path: string, method: string): { route: CompiledRoute; plan: Plan } {
  const match = parts.services.routes.find(host, path, method);
  if (match.kind === 'method') {
    throw new SallyportError('method_not_allowed', { detail: 'route', headers: [['allow', match.allow]] });
  }
  const plan = match.kind === 'route' ? parts.plans.get(match.compiled.route) : undefined;
  if (match.kind === 'none' || plan === undefined) {
    throw new SallyportError('not_found', {
      detail: match.kind === 'none' ? 'no route' : `route ${match.compiled.route.id} is for verify only`,
    });
  }
  return { route: match.compiled, plan };
}

/** Where tokens are in cookies too, what the browser is to be told comes first. */
function go(parts: Parts, inbound: Inbound, verdict: Verdict): void | Promise<void> {
  const { tokenCookies } = parts.services;
  const session = verdict.kind === 'pass' ? verdict.session : undefined;
  if (tokenCookies === undefined || session === undefined) return proceed(parts, inbound, verdict, []);
  const cookies = findRenewedCookies(parts.services, tokenCookies, inbound.asked, session);
  if (!(cookies instanceof Promise)) return proceed(parts, inbound, verdict, cookies);
  return cookies.then((values) => proceed(parts, inbound, verdict, values));
}

function proceed(parts: Parts, inbound: Inbound, verdict: Verdict, cookies: readonly string[]): void {
  const { app, exchange, asked, plan, headers, upload } = inbound;
  const { service, timeouts } = plan;
  if (!exchange.open) return;
  const { context, path } = asked;
  if (verdict.kind === 'login') {
    upload?.discard();
    app.reply(exchange, parts.services.replies.redirect(context, verdict.location));
    return;
  }
  if (headers.nominatesCritical) {
    throw new SallyportError('bad_request', { detail: 'Connection names a field that must arrive' });
  }
  noteToken(exchange, asked, verdict);
  const target = targetOf(context, path, asked.route.route.rewrite);
  const proofs = verdict.token?.proofs;
  forward({
    app,
    exchange,
    asked,
    session: verdict.session,
    longAnswers: parts.longAnswers,
    log: parts.services.log,
    service,
    timeouts,
    upload,
    target,
    lines: fieldLines(finishHeaders(headers, parts.describe(asked, verdict))),
    response: parts.responseRules(asked, service, cookies),
    proofs: proofs && new RequestProofs(proofs, parts.nonces, context.method, target),
  });
}
