import { findAccessProblem } from '../core/access.ts';
import { clientAddress, parseAddress } from '../core/address.ts';
import type { RequestContext } from '../core/context.ts';
import { CONFLICTING_HANDLE, findHandle, NO_HANDLE } from '../core/cookie.ts';
import { SallyportError } from '../core/errors.ts';
import { hasCsrfProof, isNavigation, isUnsafeMethod, originProblem } from '../core/origin.ts';
import type { CompiledRoute } from '../core/routes.ts';
import type { Session } from '../core/services.ts';
import { compileSessionCookie } from '../core/set-cookie.ts';
import type { SiteRuntime } from '../core/sites.ts';
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

/** The request may go on, with the session it belongs to or anonymously; or the person is sent to sign in. */
export type Verdict =
  | { readonly kind: 'pass'; readonly session: Session | undefined }
  | { readonly kind: 'login'; readonly location: string };

const ANONYMOUS: Verdict = { kind: 'pass', session: undefined };

/**
 * Decide whether a proxied request may go on, before any byte of it goes to a service.
 * @throws `address_not_allowed`, `authentication_required`, `csrf_failed`, `origin_not_allowed`, `access_denied`; the
 * promise rejects with `store_unavailable` in an outage.
 */
export function authorize(asked: Asked, services: VerifyServices): Verdict | Promise<Verdict> {
  const { context, site, path, route } = asked;
  if (!isAddressAllowed(asked, services)) throw new SallyportError('address_not_allowed', { detail: route.route.id });
  if (route.route.auth === 'none' || route.publicTargets.has(`${context.method} ${path}`)) return ANONYMOUS;
  const handle = findHandle(context.cookie, site.site.cookie.name);
  if (handle === NO_HANDLE) return withoutSession(asked, 'no_cookie', services);
  if (handle === CONFLICTING_HANDLE) return withoutSession(asked, 'conflicting_cookies', services);
  const found = services.sessions.find(handle, true);
  return found instanceof Promise
    ? found.then((session) => judge(asked, session, services))
    : judge(asked, found, services);
}

function judge(asked: Asked, session: Session | undefined, services: VerifyServices): Verdict {
  const { site, route } = asked;
  if (session === undefined) return withoutSession(asked, 'unknown_session', services);
  if (session.hot.site !== site.site.name) return withoutSession(asked, 'other_site', services);
  const now = services.clock.now();
  if (now >= session.hot.tokenExpiresAt) return withoutSession(asked, 'token_expired', services);
  checkOrigin(asked, services);
  const problem = findAccessProblem(session, route.rule, now);
  if (problem !== undefined)
    throw new SallyportError('access_denied', { detail: `${route.route.id} ${problem.reason}` });
  return { kind: 'pass', session };
}

/** The cookie alone proves nothing about who composed the request. */
function checkOrigin({ context, site, route }: Asked, { config }: VerifyServices): void {
  const mode = route.route.csrf;
  if (mode === 'none') return;
  if (mode === 'unsafe' && !isUnsafeMethod(context.method)) {
    const problem = readProblem(context, site);
    if (problem !== undefined) throw new SallyportError('origin_not_allowed', { detail: problem });
    return;
  }
  const problem = originProblem(context, site, 'refuse');
  if (problem !== undefined) throw new SallyportError('csrf_failed', { detail: problem });
  if (!hasCsrfProof(context, config.csrf.value)) throw new SallyportError('csrf_failed', { detail: 'no_proof' });
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
  const { context, site, route } = asked;
  const { auth, onUnauthenticated } = route.route;
  if (auth === 'optional') return ANONYMOUS;
  const isPerson = isNavigation(context.method, context);
  if (onUnauthenticated === 'login' || (onUnauthenticated === 'auto' && isPerson)) {
    return { kind: 'login', location: loginLocation(asked, services) };
  }
  const { expire } = compileSessionCookie(site.site.cookie, undefined);
  throw new SallyportError('authentication_required', {
    detail: reason,
    loginUrl: site.loginUrl,
    // Conflicting values: both variants go.
    headers: reason === 'conflicting_cookies' ? expire.map((value) => ['set-cookie', value] as const) : [],
  });
}

/** On the host that owns the login; the page asked for comes back if the login accepts it. */
function loginLocation({ context, site, host, path }: Asked, { returnTo }: VerifyServices): string {
  const query = context.query === '' ? '' : `?${context.query}`;
  const safe = returnTo(`${site.scheme}://${host}${path}${query}`, site);
  return safe === undefined ? site.loginUrl : `${site.loginUrl}?return_to=${encodeURIComponent(safe)}`;
}

function isAddressAllowed({ context, route }: Asked, { trusted }: VerifyServices): boolean {
  if (route.allowsAddress === undefined) return true;
  const address = parseAddress(clientAddress(context.peer, context.forwardedFor, trusted));
  return address !== undefined && route.allowsAddress(address);
}
