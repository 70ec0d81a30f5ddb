// hot: bench/verify.ts
import { type AccessProblem, findProblemOfAll } from './access.ts';
import { type AddressMatcher, clientAddress, parseAddress } from './address.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/types.ts';
import { PROBLEM_DUPLICATE, PROBLEM_FORWARDED, type RequestContext } from './context.ts';
import { CONFLICTING_HANDLE, findHandle, NO_HANDLE } from './cookie.ts';
import { equalSecret } from './crypto.ts';
import type { ErrorCode } from './errors.ts';
import type { HeaderList, IdentityHeaders } from './identity.ts';
import { isNavigation, isPreflight, isUnsafeMethod, originProblem } from './origin.ts';
import { AMBIGUOUS, canonicalPath, isCleanTarget } from './path.ts';
import type { ReturnToCheck } from './return-to.ts';
import type { CompiledRoute, RouteTable } from './routes.ts';
import type { Session, Sessions } from './services.ts';
import { canonicalHost, type SiteRuntime, type SiteTable } from './sites.ts';
import type { VerifyOptions, VerifyOptionsParser } from './verify-options.ts';

/** What verify answers. A value; reply.ts turns it into bytes. */
export type Decision =
  | { readonly kind: 'allow'; readonly headers: HeaderList }
  /** A person can sign in: 302 to this absolute URL. */
  | { readonly kind: 'login'; readonly location: string }
  | Denial;

/** A refusal. `reason` is for the log; the world sees the code. */
export type Denial = {
  readonly kind: 'deny';
  readonly code: ErrorCode;
  readonly reason: string;
  /** Known as soon as the host is; gives CORS and the login address. */
  readonly site: SiteRuntime | undefined;
  /** A person is looking: answer a page instead of JSON. */
  readonly navigation: boolean;
  /** The cookie came with two values: expire both variants. */
  readonly expireCookie: boolean;
  /** RFC 9470 parameters of a step-up challenge. */
  readonly challenge: string;
};

/** What verify works with; all of it made at start. */
export type VerifyServices = {
  readonly config: Config;
  readonly sites: SiteTable;
  readonly routes: RouteTable;
  readonly sessions: Sessions;
  readonly identity: IdentityHeaders;
  readonly options: VerifyOptionsParser;
  readonly returnTo: ReturnToCheck;
  readonly trusted: AddressMatcher;
  readonly clock: Clock;
};

/** How a request reached verify. */
export type VerifyEntry = {
  /** The listener's operator vouches for every peer (D-08). */
  readonly allPeersTrusted: boolean;
  /** The listener also takes public traffic: the original URL must lie outside our own prefixes (D-01). */
  readonly shared: boolean;
  /** The request path has a tail below the verify address: options are not read (D-02). */
  readonly tail: boolean;
};

/** One verify under way: what the checks after the session look-up need. */
type Inquiry = {
  readonly context: RequestContext;
  readonly site: SiteRuntime;
  readonly options: VerifyOptions;
  readonly route: CompiledRoute | undefined;
  readonly method: string;
  readonly handshake: boolean;
};

const NO_QUERY = '';

/**
 * Decide a ForwardAuth request (SPEC §6, D-01 to D-09) for the Traefik header family. Synchronous but for the session
 * look-up, which may be a promise.
 * @throws never for what a client sends; `store_unavailable` rejects the promise.
 */
export function verify(
  context: RequestContext,
  entry: VerifyEntry,
  services: VerifyServices,
): Decision | Promise<Decision> {
  if (!entry.allPeersTrusted && !context.trusted) return deny('untrusted_proxy', 'peer', undefined, false);
  const { sharedSecret } = services.config.verify;
  if (sharedSecret !== undefined && !equalSecret(context.gatewaySecret, sharedSecret)) {
    return deny('untrusted_proxy', 'shared_secret', undefined, false);
  }
  const options = services.options(entry.tail ? NO_QUERY : context.query);
  if ('problem' in options) return deny('bad_request', options.problem, undefined, false);
  const inquiry = openInquiry(context, entry, options, services);
  return 'kind' in inquiry ? inquiry : decide(inquiry, services);
}

/** Read the forwarded family into an inquiry, or say why it cannot be read (D-03). */
function openInquiry(
  context: RequestContext,
  entry: VerifyEntry,
  options: VerifyOptions,
  services: VerifyServices,
): Inquiry | Decision {
  const { forwardedHost, forwardedMethod: method, forwardedProto, forwardedUri } = context;
  if (
    (context.problems & (PROBLEM_FORWARDED | PROBLEM_DUPLICATE)) !== 0 ||
    forwardedHost === '' ||
    !isMethodToken(method)
  ) {
    return deny('forwarded_headers_invalid', 'missing_or_repeated', undefined, false);
  }
  const scheme = schemeOf(forwardedProto);
  if (scheme === undefined || !isCleanTarget(forwardedUri)) {
    return deny('forwarded_headers_invalid', scheme === undefined ? 'proto' : 'uri', undefined, false);
  }
  const navigation = isNavigation(method, context);
  const site = services.sites.find(forwardedHost);
  if (site === undefined) return deny('unknown_host', 'host', undefined, navigation);
  if (site.scheme !== scheme) return deny('forwarded_headers_invalid', 'scheme_of_site', site, navigation);
  const question = forwardedUri.indexOf('?');
  const path = canonicalPath(question === -1 ? forwardedUri : forwardedUri.slice(0, question));
  if (path === AMBIGUOUS) return deny('ambiguous_target', 'path', site, navigation);
  if (entry.shared && isOwnPath(path, services.config)) return deny('not_found', 'own_path', site, navigation);
  const handshake = forwardedProto === 'ws' || forwardedProto === 'wss' || context.webSocketKey !== '';
  const match =
    services.routes.size === 0 ? undefined : services.routes.find(canonicalHost(forwardedHost, scheme), path, method);
  if (match?.kind === 'method') return deny('method_not_allowed', 'route_method', site, navigation);
  if (match?.kind === 'none' && services.config.verify.unmatched === 'deny') {
    return deny('access_denied', 'unmatched', site, navigation);
  }
  const route = match?.kind === 'route' ? match.compiled : undefined;
  if (route?.publicTargets.has(`${method} ${path}`)) return { kind: 'allow', headers: services.identity.blank };
  return { context, site, options, route, method, handshake };
}

function decide(inquiry: Inquiry, services: VerifyServices): Decision | Promise<Decision> {
  const { context, site, route, method } = inquiry;
  if (isPreflight(method, context)) return { kind: 'allow', headers: services.identity.blank };
  if (route !== undefined && !isAddressAllowed(route, context, services)) {
    return deny('address_not_allowed', 'allow_ips', site, isNavigation(method, context));
  }
  if (route?.route.auth === 'none') return { kind: 'allow', headers: services.identity.blank };
  const handle = findHandle(context.cookie, site.site.cookie.name);
  if (handle === NO_HANDLE) return withoutSession(inquiry, 'no_cookie', services);
  if (handle === CONFLICTING_HANDLE) return withoutSession(inquiry, 'conflicting_cookies', services);
  const found = services.sessions.find(handle, true);
  if (found instanceof Promise) return found.then((session) => judge(inquiry, session, services));
  return judge(inquiry, found, services);
}

/** The session is known, or known to be absent. */
function judge(inquiry: Inquiry, session: Session | undefined, services: VerifyServices): Decision {
  const { context, site, options, route, method } = inquiry;
  if (session === undefined) return withoutSession(inquiry, 'unknown_session', services);
  if (session.hot.site !== site.site.name) return withoutSession(inquiry, 'other_site', services);
  const now = services.clock.now();
  if (now >= session.hot.tokenExpiresAt) return withoutSession(inquiry, 'token_expired', services);
  const navigation = isNavigation(method, context);
  const problem = csrfProblem(inquiry, services);
  if (problem !== undefined) return deny('csrf_failed', problem, site, navigation);
  const denied =
    findProblemOfAll(session, options.rules, now) ??
    (route === undefined ? undefined : findProblemOfAll(session, [route.rule], now));
  if (denied !== undefined) return refuseAccess(inquiry, denied, services);
  return { kind: 'allow', headers: route?.route.identityHeaders === false ? services.identity.blank : session.headers };
}

function csrfProblem(inquiry: Inquiry, services: VerifyServices): string | undefined {
  const mode = inquiry.route?.route.csrf ?? 'unsafe';
  if (services.config.verify.csrf === 'none' || mode === 'none') return undefined;
  if (inquiry.handshake) return handshakeProblem(inquiry);
  if (mode === 'unsafe' && !isUnsafeMethod(inquiry.method)) return undefined;
  return originProblem(inquiry.context, inquiry.site, 'allow');
}

/** Browsers send cookies with a cross-site handshake and no preflight: Origin is the only proof. */
function handshakeProblem({ context, site }: Inquiry): string | undefined {
  return context.origin === '' || site.allowsOrigin(context.origin) ? undefined : 'origin';
}

/** Nobody is signed in: pass on optional routes, send people to the login, tell programs 401 (SPEC §6). */
function withoutSession(inquiry: Inquiry, reason: string, services: VerifyServices): Decision {
  const { context, site, options, route, method, handshake } = inquiry;
  if (route?.route.auth === 'optional') return { kind: 'allow', headers: services.identity.blank };
  const routeFail =
    route === undefined ? 'auto' : route.route.onUnauthenticated === 'login' ? '302' : route.route.onUnauthenticated;
  const onFail = options.onFail ?? (routeFail === 'auto' ? services.config.verify.onFail : routeFail);
  const navigation = isNavigation(method, context);
  if (!handshake && (onFail === '302' || (onFail === 'auto' && navigation))) {
    return { kind: 'login', location: loginLocation(inquiry, services, '') };
  }
  const expireCookie = reason === 'conflicting_cookies';
  return { kind: 'deny', code: 'authentication_required', reason, site, navigation, expireCookie, challenge: '' };
}

function refuseAccess(inquiry: Inquiry, problem: AccessProblem, services: VerifyServices): Decision {
  const { context, site, options, method, handshake } = inquiry;
  const navigation = isNavigation(method, context);
  if (problem.code === 'access_denied') return deny('access_denied', problem.reason, site, navigation);
  const rule = options.rules.find((candidate) => candidate.acr.length > 0 || candidate.maxAgeMs !== undefined);
  const maxAgeS = rule?.maxAgeMs === undefined ? undefined : Math.floor(rule.maxAgeMs / 1000);
  const acr = rule?.acr.join(' ') ?? '';
  if (navigation && !handshake && options.onFail !== '401') {
    const acrPart = acr === '' ? '' : `&acr_values=${encodeURIComponent(acr)}`;
    const agePart = maxAgeS === undefined ? '' : `&max_age=${maxAgeS}`;
    return { kind: 'login', location: loginLocation(inquiry, services, acrPart + agePart) };
  }
  const challenge = (acr === '' ? '' : `, acr_values="${acr}"`) + (maxAgeS === undefined ? '' : `, max_age=${maxAgeS}`);
  const { code, reason } = problem;
  return { kind: 'deny', code, reason, site, navigation, expireCookie: false, challenge };
}

/** Absolute, on the host that owns the login; the page asked for comes back as `return_to` if the login accepts it. */
function loginLocation({ context, site }: Inquiry, services: VerifyServices, extra: string): string {
  const original = `${site.scheme}://${canonicalHost(context.forwardedHost, site.scheme)}${context.forwardedUri}`;
  const safe = services.returnTo(original, site);
  const first = safe === undefined ? '' : `return_to=${encodeURIComponent(safe)}`;
  const query = first === '' ? extra.slice(1) : first + extra;
  return query === '' ? site.loginUrl : `${site.loginUrl}?${query}`;
}

function isAddressAllowed(route: CompiledRoute, context: RequestContext, services: VerifyServices): boolean {
  if (route.allowsAddress === undefined) return true;
  const address = parseAddress(clientAddress(context.peer, context.forwardedFor, services.trusted));
  return address !== undefined && route.allowsAddress(address);
}

/** `wss` and `ws` are what Traefik says of upgrades. */
function schemeOf(proto: string): 'https' | 'http' | undefined {
  if (proto === 'https' || proto === 'wss') return 'https';
  if (proto === 'http' || proto === 'ws') return 'http';
  return undefined;
}

/** RFC 9110 methods are case-sensitive; ours are upper case letters, at most 20 of them, and never CONNECT or TRACE. */
function isMethodToken(method: string): boolean {
  if (method.length === 0 || method.length > 20 || method === 'CONNECT' || method === 'TRACE') return false;
  for (let i = 0; i < method.length; i++) {
    const code = method.charCodeAt(i);
    if (code < 0x41 || code > 0x5a) return false;
  }
  return true;
}

function isOwnPath(path: string, config: Config): boolean {
  return isBelow(path, config.paths.auth) || isBelow(path, config.paths.apiAuth);
}

function isBelow(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f);
}

function deny(code: ErrorCode, reason: string, site: SiteRuntime | undefined, navigation: boolean): Denial {
  return { kind: 'deny', code, reason, site, navigation, expireCookie: false, challenge: '' };
}
