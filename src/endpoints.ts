import type { AddressMatcher } from './core/address.ts';
import type { App, NativeRequest } from './core/app.ts';
import { isPersonLooking } from './core/app-answers.ts';
import { type Exchange, readBody } from './core/app-exchange.ts';
import { clientIpOf } from './core/app-log.ts';
import { SallyportError } from './core/errors.ts';
import { LIMITS } from './core/limits.ts';
import { isPreflight, type OriginRules } from './core/origin.ts';
import { AMBIGUOUS, canonicalPath } from './core/path.ts';
import type { Reply } from './core/problem.ts';
import { createLocalLimiter, shareOf } from './core/rate-limit.ts';
import { countWorkers } from './core/workers.ts';
import { createBackchannelLogout, type ProviderRequest } from './flows/backchannel-logout.ts';
import { finishLogin } from './flows/callback.ts';
import { signInWithPassword } from './flows/direct-grant.ts';
import type { FlowRequest, FlowServices } from './flows/flow.ts';
import { createFrontchannelLogout } from './flows/frontchannel-logout.ts';
import { compileKeySetReply } from './flows/jwks.ts';
import { startLogin } from './flows/login.ts';
import { logOut } from './flows/logout.ts';
import { refreshNow } from './flows/refresh-endpoint.ts';
import { describeSession } from './flows/session-info.ts';
import { listSessions, revokeByForm, revokeSession } from './flows/sessions.ts';
import { exchangeForScript } from './flows/spa-callback.ts';
import { takeTelemetry } from './flows/telemetry.ts';

/** One of our own addresses. */
type Endpoint = {
  readonly methods: readonly string[];
  /** POST bodies are read for it. */
  readonly readsBody: boolean;
  /** Absent: LIMITS.ownBodyMaxBytes. */
  readonly bodyMaxBytes?: number;
  run(request: FlowRequest): Promise<Reply>;
};

/** What the public listener works with. */
export type EndpointServices = {
  readonly flows: FlowServices;
  readonly origin: OriginRules;
  readonly trusted: AddressMatcher;
  /** Answers /readyz: status and body (D-43). */
  readiness(): { readonly ready: boolean; readonly body: object };
  /** Everything that is not ours: the route table and the proxy. */
  proxy(app: App, exchange: Exchange, req: NativeRequest, path: string): void | Promise<void>;
};

/**
 * Compile the public surface of SPEC §1: exact addresses first; what lies below our prefixes and is none of them is
 * 404, in any spelling; the rest belongs to the proxy.
 */
export function compilePublicHandler(
  services: EndpointServices,
): (app: App, exchange: Exchange, req: NativeRequest) => void | Promise<void> {
  const endpoints = compileEndpoints(services.flows);
  const endByProvider = createBackchannelLogout(services.flows);
  const { paths } = services.flows.config;
  const sessions = `${paths.auth}/sessions`;
  const revocation: Endpoint = {
    methods: ['DELETE'],
    readsBody: false,
    run: (request) => revokeSession(request, services.flows),
  };
  const health = new Set([`${paths.auth}/health`, ...paths.health]);
  return (app, exchange, req) => {
    const { context } = exchange;
    const endpoint = endpoints.get(context.path) ?? (context.path.startsWith(`${sessions}/`) ? revocation : undefined);
    if (endpoint !== undefined) return runEndpoint(app, exchange, endpoint, services);
    if (context.path === `${paths.auth}/backchannel-logout` && endByProvider !== undefined)
      return runForProvider(app, exchange, endByProvider, services);
    if (health.has(context.path)) return answerHealth(app, exchange, 200, { status: 'ok' });
    if (context.path === '/readyz') {
      const { ready, body } = services.readiness();
      return answerHealth(app, exchange, ready ? 200 : 503, body);
    }
    const path = canonicalPath(context.path);
    if (path === AMBIGUOUS) throw new SallyportError('ambiguous_target', { detail: 'path' });
    if (isOurs(path, paths.auth) || isOurs(path, paths.apiAuth)) throw new SallyportError('not_found');
    return services.proxy(app, exchange, req, path);
  };
}

function compileEndpoints(services: FlowServices): ReadonlyMap<string, Endpoint> {
  const { auth, apiAuth } = services.config.paths;
  const { directGrant, spaCallback } = services.config.compat;
  const password: Run = (request) => signInWithPassword(request, services);
  const logout: Endpoint = { methods: ['GET', 'POST'], readsBody: true, run: (request) => logOut(request, services) };
  const endpoints = new Map<string, Endpoint>([
    [`${auth}/register`, byMethod((request) => startLogin(request, services, 'create'), undefined)],
    [`${auth}/login`, byMethod((request) => startLogin(request, services), directGrant && password)],
    [`${auth}/refresh`, { methods: ['POST'], readsBody: true, run: (request) => refreshNow(request, services) }],
    [`${auth}/logout`, logout],
    [`${apiAuth}/logout`, logout],
    [
      `${apiAuth}/session`,
      { methods: ['GET'], readsBody: false, run: (request) => describeSession(request, services) },
    ],
  ]);
  const keySet = compileKeySetReply(services.config);
  if (keySet !== undefined) {
    endpoints.set(`${auth}/jwks.json`, { methods: ['GET'], readsBody: false, run: async () => keySet });
  }
  endpoints.set(`${auth}/sessions`, {
    methods: ['GET', 'POST'],
    readsBody: true,
    run: (request) =>
      request.context.method === 'GET' ? listSessions(request, services) : revokeByForm(request, services),
  });
  const leaveByFrame = createFrontchannelLogout(services);
  if (leaveByFrame !== undefined)
    endpoints.set(`${auth}/frontchannel-logout`, { methods: ['GET'], readsBody: false, run: leaveByFrame });
  for (const { name, callbackPath, responseMode } of services.config.idps) {
    const finish: Run = (request) => finishLogin(request, name, services);
    const script: Run | undefined = spaCallback && ((request) => exchangeForScript(request, name, services));
    endpoints.set(callbackPath, responseMode === 'form_post' ? byForm(finish, script) : byMethod(finish, script));
  }
  const sink = createTelemetrySink(services);
  if (sink !== undefined) endpoints.set(services.config.paths.telemetry, sink);
  return endpoints;
}

/** @returns undefined where it is off: its address is then like any other. */
function createTelemetrySink(services: FlowServices): Endpoint | undefined {
  const { telemetry: settings } = services.config;
  if (settings === undefined) return undefined;
  const sink = { settings, limiter: createLocalLimiter(shareOf(settings.rateLimit, countWorkers(services.config))) };
  return {
    methods: ['POST'],
    readsBody: true,
    bodyMaxBytes: settings.bodyMaxBytes,
    run: (request) => takeTelemetry(request, services, sink),
  };
}

type Run = Endpoint['run'];

/** @param post undefined = no such method. */
function byMethod(get: Run, post: Run | undefined): Endpoint {
  if (post === undefined) return { methods: ['GET'], readsBody: false, run: get };
  const run: Run = (request) => (request.context.method === 'POST' ? post(request) : get(request));
  return { methods: ['GET', 'POST'], readsBody: true, run };
}

/** POST alone (D-24): what is a form goes to the first; the rest, if anybody takes it, to the other. */
function byForm(form: Run, rest: Run | undefined): Endpoint {
  const run: Run = (request) => {
    const isForm = request.context.contentType.toLowerCase().startsWith('application/x-www-form-urlencoded');
    return isForm || rest === undefined ? form(request) : rest(request);
  };
  return { methods: ['POST'], readsBody: true, run };
}

async function runEndpoint(
  app: App,
  exchange: Exchange,
  endpoint: Endpoint,
  services: EndpointServices,
): Promise<void> {
  const { context } = exchange;
  const { site, host } = app.locate(context);
  if (site === undefined) throw new SallyportError('unknown_host', { detail: 'own endpoint' });
  if (isPreflight(context.method, context)) {
    const headers = services.origin.preflightHeaders(site, context);
    if (headers === undefined) throw new SallyportError('origin_not_allowed', { detail: 'preflight' });
    return app.reply(exchange, { status: 204, headers, body: '' });
  }
  if (!endpoint.methods.includes(context.method)) {
    throw new SallyportError('method_not_allowed', { headers: [['allow', endpoint.methods.join(', ')]] });
  }
  const { readsBody, bodyMaxBytes = LIMITS.ownBodyMaxBytes } = endpoint;
  const body = readsBody && context.method === 'POST' ? await readBody(exchange, bodyMaxBytes) : '';
  const request: FlowRequest = {
    context,
    site,
    host,
    clientIp: clientIpOf(services, context),
    navigation: isPersonLooking(context),
    body,
  };
  app.reply(exchange, await endpoint.run(request));
}

/** Providers may call us by any name that leads here, also by one inside their network. */
async function runForProvider(
  app: App,
  exchange: Exchange,
  run: (request: ProviderRequest) => Promise<Reply>,
  services: EndpointServices,
): Promise<void> {
  const { context } = exchange;
  if (context.method !== 'POST') throw new SallyportError('method_not_allowed', { headers: [['allow', 'POST']] });
  const body = await readBody(exchange, LIMITS.ownBodyMaxBytes);
  app.reply(exchange, await run({ context, clientIp: clientIpOf(services, context), body }));
}

function answerHealth(app: App, exchange: Exchange, status: number, body: object): void {
  const { method } = exchange.context;
  if (method !== 'GET' && method !== 'HEAD')
    throw new SallyportError('method_not_allowed', { headers: [['allow', 'GET, HEAD']] });
  app.reply(exchange, {
    status,
    headers: [
      ['content-type', 'application/json'],
      ['cache-control', 'no-store'],
      ['x-content-type-options', 'nosniff'],
    ],
    body: JSON.stringify(body),
  });
}

/** In any letter case: some gateways and services fold it (OR-248). */
function isOurs(path: string, prefix: string): boolean {
  const lower = path.toLowerCase();
  return lower === prefix || lower.startsWith(`${prefix}/`);
}
