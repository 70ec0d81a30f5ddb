import { type AccessProblem, findAccessProblem } from '../core/access.ts';
import type { BaseExchange } from '../core/app-exchange.ts';
import { askBearer } from '../core/bearer-request.ts';
import type { RequestContext } from '../core/context.ts';
import { CONFLICTING_HANDLE, NO_HANDLE } from '../core/cookie.ts';
import { SallyportError } from '../core/errors.ts';
import type { Renewal } from '../core/freshness.ts';
import { isNavigation, isUnsafeMethod, originProblem } from '../core/origin.ts';
import { findSessionProblem, isAddressAllowed, loginLocation } from '../core/route-access.ts';
import type { CompiledRoute } from '../core/routes.ts';
import type { BearerResult, ServiceToken, Session } from '../core/services.ts';
import { compileSessionCookie } from '../core/set-cookie.ts';
import type { SiteRuntime } from '../core/sites.ts';
import { stepUpHeader, stepUpLogin, stepUpOf } from '../core/step-up.ts';
import type { VerifyServices } from '../core/verify.ts';

/** What is asked for: a route's resource on a host of a site. */
export type Asked = {
  readonly context: RequestContext;
  readonly site: SiteRuntime;
  /** Canonical host. */
  readonly host: string;
  /** Canonical path. */
  readonly path: string;
  readonly route: CompiledRoute;
};

/** The request may go on, with the session (or bearer) it belongs to or anonymously; or a person has to sign in. */
export type Verdict =
  | {
      readonly kind: 'pass';
      readonly session: Session | undefined;
      /** What the service gets; undefined for whoever is anonymous. */
      readonly token: ServiceToken | undefined;
    }
  | { readonly kind: 'login'; readonly location: string };

const ANONYMOUS: Verdict = { kind: 'pass', session: undefined, token: undefined };

/**
 * Decide whether a proxied request may go on, before any byte of it goes to a service.
 * @throws `address_not_allowed`, `authentication_required`, `invalid_token`, `csrf_failed`, `origin_not_allowed`,
 * `access_denied`, and what `Tokens.ensure` throws; or the promise rejects with it, or with `store_unavailable` or
 * `idp_unavailable` in an outage.
 */
export function authorize(asked: Asked, services: VerifyServices): Verdict | Promise<Verdict> {
  const { context, site, path, route } = asked;
  const { auth, id } = route.route;
  if (!isAddressAllowed(route, context, services.trusted)) {
    throw new SallyportError('address_not_allowed', { detail: id });
  }
  if (auth === 'none' || route.publicTargets.has(`${context.method} ${path}`)) return ANONYMOUS;
  // A bearer token decides alone: no fall-back to the cookie beside it.
  const bearer = auth === 'session' ? undefined : services.bearer;
  const brought = bearer && askBearer(bearer, context, context.method, site.scheme, asked.host, context.path);
  if (brought !== undefined) return whenKnown(brought, (result) => judgeBearer(asked, result, services));
  if (auth === 'bearer') throw new SallyportError('authentication_required', { detail: 'no_bearer' });
  const handle = site.findHandle(context.cookie);
  if (handle === NO_HANDLE) return withoutSession(asked, 'no_cookie', services);
  if (handle === CONFLICTING_HANDLE) return withoutSession(asked, 'conflicting_cookies', services);
  return whenKnown(services.sessions.find(handle, true), (session) => judge(asked, handle, session, services));
}

/** What is remembered is answered in the same turn. */
function whenKnown<Value>(
  value: Value | Promise<Value>,
  then: (value: Value) => Verdict | Promise<Verdict>,
): Verdict | Promise<Verdict> {
  return value instanceof Promise ? value.then(then) : then(value);
}

function judge(
  asked: Asked,
  handle: string,
  session: Session | undefined,
  services: VerifyServices,
): Verdict | Promise<Verdict> {
  const { freshness } = services;
  if (session === undefined) return withoutSession(asked, 'unknown_session', services);
  const unusable = findSessionProblem(session, asked.site, services.clock.now());
  if (unusable !== undefined) return withoutSession(asked, unusable, services);
  const foreign = services.binding?.findMismatch(session.hot.binding, asked.context);
  if (foreign !== undefined) {
    const ended = services.binding?.end(session, asked.context, foreign);
    return Promise.resolve(ended).then(() => withoutSession(asked, foreign, services));
  }
  checkOrigin(asked, session, services);
  if (freshness.isFresh(handle, session)) return admit(asked, handle, session, 0, services);
  return freshness.renew(handle, session).then((renewal) => judgeRenewal(asked, handle, renewal, services));
}

/** The token had expired. Whether its absence matters depends on the service (D-06). */
function judgeRenewal(
  asked: Asked,
  handle: string,
  renewal: Renewal,
  services: VerifyServices,
): Verdict | Promise<Verdict> {
  if (renewal.kind === 'ended') return withoutSession(asked, renewal.reason, services);
  const staleForS = renewal.kind === 'stale' ? renewal.retryAfterS : 0;
  return admit(asked, handle, renewal.session, staleForS, services);
}

/** No CSRF rule: no browser attaches a bearer token by itself. */
function judgeBearer(asked: Asked, result: BearerResult, services: VerifyServices): Verdict | Promise<Verdict> {
  if (result.kind === 'caller') return admit(asked, '', result.session, 0, services);
  const { code, reason, description, challenge, nonce, retryAfterS } = result;
  const usual = `Bearer realm="sallyport", error="invalid_token", error_description="${description}"`;
  const headers: [string, string][] = code === 'invalid_token' ? [['www-authenticate', challenge ?? usual]] : [];
  if (nonce !== undefined) headers.push(['dpop-nonce', nonce]);
  throw new SallyportError(code, { detail: reason, headers, ...(retryAfterS !== undefined && { retryAfterS }) });
}

/** Who asks may pass; what the service gets of them is found here, or obtained before any byte goes on. */
function admit(
  asked: Asked,
  handle: string,
  session: Session,
  staleForS: number,
  services: VerifyServices,
): Verdict | Promise<Verdict> {
  const { route, rule } = asked.route;
  const problem = findAccessProblem(session, rule, services.clock.now());
  if (problem !== undefined) return refuse(asked, problem, handle !== '', services);
  if (route.service === undefined) throw new TypeError(`route ${route.id} has no service`);
  const given = services.tokens.ensure(handle, session, route.service, staleForS);
  return whenKnown(given, (token) => {
    if (token.kind === 'ended') return withoutSession(asked, token.reason, services);
    return { kind: 'pass', session, token };
  });
}

/** @param canLogin a step-up may be a redirect: a bearer has no use for our login. */
function refuse(asked: Asked, problem: AccessProblem, canLogin: boolean, services: VerifyServices): Verdict {
  const { site, route } = asked;
  const detail = `${route.route.id} ${problem.reason}`;
  if (problem.code === 'access_denied') throw new SallyportError(problem.code, { detail });
  const { challenge, query } = stepUpOf(route.rule);
  if (canLogin && wantsLogin(asked)) return login(asked, query, services);
  throw new SallyportError(problem.code, {
    detail,
    headers: [stepUpHeader(challenge)],
    ...(canLogin && { loginUrl: stepUpLogin(site, query) }),
  });
}

/** The cookie alone proves nothing about who composed the request. */
function checkOrigin({ context, site, route }: Asked, { locator }: Session, { csrf }: VerifyServices): void {
  const mode = route.route.csrf;
  if (mode === 'none') return;
  if (mode === 'unsafe' && !isUnsafeMethod(context.method)) {
    const problem = readProblem(context, site);
    if (problem !== undefined) throw new SallyportError('origin_not_allowed', { detail: problem });
    return;
  }
  const problem = originProblem(context, site, 'refuse');
  if (problem !== undefined) throw new SallyportError('csrf_failed', { detail: problem });
  if (!csrf.isProven(context, locator)) throw new SallyportError('csrf_failed', { detail: 'no_proof' });
}

/**
 * Why a read with the cookie is refused, or undefined: other sites may link here, and read through CORS where
 * they are listed, but neither embed nor probe.
 */
function readProblem(context: RequestContext, site: SiteRuntime): string | undefined {
  const { origin, referer, secFetchSite } = context;
  if (origin !== '') return site.allowsOrigin(origin) ? undefined : 'origin';
  if (secFetchSite === '' || secFetchSite === 'same-origin' || secFetchSite === 'none') return undefined;
  if (isNavigation(context.method, context)) return undefined;
  const listed = secFetchSite === 'same-site' && URL.canParse(referer) && site.allowsOrigin(new URL(referer).origin);
  return listed ? undefined : 'fetch_site';
}

/** Nobody is signed in: anonymous where the route allows it, the login for people, 401 for programs (SPEC §6). */
function withoutSession(asked: Asked, reason: string, services: VerifyServices): Verdict {
  const { site, route } = asked;
  if (route.route.auth === 'optional') return ANONYMOUS;
  if (wantsLogin(asked)) return login(asked, '', services);
  const { expire } = compileSessionCookie(site.site.cookie, undefined);
  throw new SallyportError('authentication_required', {
    detail: reason,
    loginUrl: site.loginUrl,
    // Conflicting values: both variants go.
    headers: reason === 'conflicting_cookies' ? expire.map((value) => ['set-cookie', value] as const) : [],
  });
}

/** The access line says whose token went along (SPEC §9). */
export function noteToken(
  exchange: BaseExchange,
  { route }: Asked,
  { token }: { token: ServiceToken | undefined },
): void {
  if (token !== undefined && token.authorization !== '') exchange.tokenService = route.route.service ?? '';
}

/** Never for a handshake: no browser follows it. */
function wantsLogin({ context, route }: Asked): boolean {
  const { onUnauthenticated, webSocket } = route.route;
  if (webSocket !== undefined) return false;
  return onUnauthenticated === 'login' || (onUnauthenticated === 'auto' && isNavigation(context.method, context));
}

/** @param extra what is to be asked for, `&name=value…`. */
function login({ context, site, host, path }: Asked, extra: string, { returnTo }: VerifyServices): Verdict {
  const query = context.query === '' ? '' : `?${context.query}`;
  const original = `${site.scheme}://${host}${path}${query}`;
  return { kind: 'login', location: loginLocation(site, original, returnTo, extra) };
}
