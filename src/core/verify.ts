// hot: bench/verify.ts
import { type AccessProblem, type AccessRule, findAccessProblem } from './access.ts';
import type { AddressMatcher } from './address.ts';
import { askBearer } from './bearer-request.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/types.ts';
import type { RequestContext } from './context.ts';
import { PROBLEM_DUPLICATE, PROBLEM_FORWARDED } from './context-problems.ts';
import { CONFLICTING_HANDLE, NO_HANDLE } from './cookie.ts';
import { equalSecret } from './crypto.ts';
import type { CsrfProofs } from './csrf.ts';
import { SallyportError } from './errors.ts';
import type { Freshness, Renewal } from './freshness.ts';
import type { IdentityHeaders } from './identity.ts';
import { Late } from './late.ts';
import { isNavigation, isPreflight, isUnsafeMethod, originProblem } from './origin.ts';
import { AMBIGUOUS, canonicalPath, isCleanTarget } from './path.ts';
import type { ReturnToCheck } from './return-to.ts';
import { findSessionProblem, isAddressAllowed, isOpaqueHost, loginLocation } from './route-access.ts';
import type { CompiledRoute, RouteMatch, RouteTable } from './routes.ts';
import type { BearerResult, BearerTokens, Session, Sessions, Tokens } from './services.ts';
import type { SessionBinding } from './session-binding.ts';
import { canonicalHost, type SiteRuntime, type SiteTable } from './sites.ts';
import { stepUpOf } from './step-up.ts';
import { type Deciding, type Decision, deny, denyBearer, LateDecision } from './verify-decision.ts';
import { isMethodToken, isOwnPath, schemeOf } from './verify-forwarded.ts';
import type { VerifyOptions, VerifyOptionsParser } from './verify-options.ts';
import { type Asker, allowWithToken } from './verify-service.ts';

/** What verify works with; all of it made at start. */
export type VerifyServices = {
  readonly config: Config;
  readonly sites: SiteTable;
  readonly routes: RouteTable;
  readonly sessions: Sessions;
  readonly freshness: Freshness;
  readonly tokens: Tokens;
  /** Absent: bearer tokens are not accepted, and the Authorization header is ignored. */
  readonly bearer?: BearerTokens | undefined;
  /** Absent: sessions are tied to nothing. */
  readonly binding?: SessionBinding | undefined;
  readonly csrf: CsrfProofs;
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
  /** The route lists this method and path as public. */
  readonly isPublic: boolean;
};

const UNMATCHED: RouteMatch = { kind: 'none' };

/** Reason of a refusal for which a sign-in is no remedy: the route takes bearer tokens alone. */
export const NO_BEARER = 'no_bearer';

/**
 * Decide a ForwardAuth request (SPEC §6, D-01 to D-09) for the Traefik header family. Synchronous but for the session
 * look-up and the wait for a new token.
 * @throws never for what a client sends; `store_unavailable`, and later `idp_unavailable` too.
 */
export function verify(context: RequestContext, entry: VerifyEntry, services: VerifyServices): Deciding | LateDecision {
  if (!entry.allPeersTrusted && !context.trusted) return deny('untrusted_proxy', 'peer', undefined, false);
  const { sharedSecret } = services.config.verify;
  if (sharedSecret !== undefined && !equalSecret(context.gatewaySecret, sharedSecret)) {
    return deny('untrusted_proxy', 'shared_secret', undefined, false);
  }
  const options = services.options(entry.tail ? '' : context.query);
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
    forwardedUri === '' ||
    !isMethodToken(method)
  ) {
    return deny('forwarded_headers_invalid', 'missing_or_repeated', undefined, false);
  }
  const scheme = schemeOf(forwardedProto);
  if (scheme === undefined || !isCleanTarget(forwardedUri)) {
    return deny('forwarded_headers_invalid', scheme === undefined ? 'proto' : 'uri', undefined, false);
  }
  const navigation = isNavigation(method, context);
  if (forwardedUri.length > services.config.limits.targetBytes)
    return deny('target_too_long', 'uri', undefined, navigation);
  const site = services.sites.find(forwardedHost);
  if (site === undefined) return deny('unknown_host', 'host', undefined, navigation);
  if (site.scheme !== scheme) return deny('forwarded_headers_invalid', 'scheme_of_site', site, navigation);
  const question = forwardedUri.indexOf('?');
  const written = question === -1 ? forwardedUri : forwardedUri.slice(0, question);
  const { routes } = services;
  let path = canonicalPath(written);
  if (path === AMBIGUOUS) {
    const isOpaque = written.startsWith('/') && isOpaqueHost(routes, canonicalHost(forwardedHost, scheme), method);
    if (!isOpaque) return deny('ambiguous_target', 'path', site, navigation);
    path = '/';
  }
  if (entry.shared && isOwnPath(path, services.config.paths)) return deny('not_found', 'own_path', site, navigation);
  const handshake = forwardedProto === 'ws' || forwardedProto === 'wss' || context.webSocketKey !== '';
  const match = routes.size === 0 ? UNMATCHED : routes.find(canonicalHost(forwardedHost, scheme), path, method);
  if (match.kind === 'method') {
    return deny('method_not_allowed', 'route_method', site, navigation, '', false, match.allow);
  }
  if (match.kind === 'none' && services.config.verify.unmatched === 'deny') {
    return deny('access_denied', 'unmatched', site, navigation);
  }
  const route = match.kind === 'route' ? match.compiled : undefined;
  const isPublic = route !== undefined && route.publicTargets.size > 0 && route.publicTargets.has(`${method} ${path}`);
  return { context, site, options, route, method, handshake, isPublic };
}

function decide(inquiry: Inquiry, services: VerifyServices): Deciding | LateDecision {
  const { context, site, route, method } = inquiry;
  if (isPreflight(method, context)) return { kind: 'allow', headers: services.identity.blank };
  if (route !== undefined && !isAddressAllowed(route, context, services.trusted)) {
    return deny('address_not_allowed', 'allow_ips', site, isNavigation(method, context));
  }
  const auth = route?.route.auth;
  if (auth === 'none' || inquiry.isPublic) return { kind: 'allow', headers: services.identity.blank };
  // A bearer token decides alone: no fall-back to the cookie beside it.
  const bearer = auth === 'session' ? undefined : services.bearer;
  const result =
    bearer === undefined
      ? undefined
      : askBearer(bearer, context, method, site.scheme, context.forwardedHost, context.forwardedUri);
  if (result !== undefined) {
    if (result instanceof Promise) return result.then((value) => judgeBearer(inquiry, value, services));
    return judgeBearer(inquiry, result, services);
  }
  if (auth === 'bearer') return deny('authentication_required', NO_BEARER, site, isNavigation(method, context));
  const handle = site.findHandle(context.cookie);
  if (handle === NO_HANDLE) return withoutSession(inquiry, 'no_cookie', services);
  if (handle === CONFLICTING_HANDLE) return withoutSession(inquiry, 'conflicting_cookies', services);
  const found = services.sessions.look(handle, true, context.readAt);
  if (found instanceof Late) {
    return new LateDecision(found, (session) => judge(inquiry, handle, session, services.clock.now(), services));
  }
  return judge(inquiry, handle, found, context.readAt, services);
}

/** The session is known, or known to be absent. */
function judge(
  inquiry: Inquiry,
  handle: string,
  session: Session | undefined,
  now: number,
  services: VerifyServices,
): Deciding {
  const { freshness } = services;
  if (session === undefined) return withoutSession(inquiry, 'unknown_session', services);
  const unusable = findSessionProblem(session, inquiry.site, now);
  if (unusable !== undefined) return withoutSession(inquiry, unusable, services);
  const foreign = services.binding?.findMismatch(session.hot.binding, inquiry.context);
  if (foreign !== undefined) {
    const ended = services.binding?.end(session, inquiry.context, foreign);
    return Promise.resolve(ended).then(() => withoutSession(inquiry, foreign, services));
  }
  if (freshness.isFresh(handle, session, now))
    return judgeUsable(inquiry, { handle, session, staleForS: 0 }, now, services);
  return freshness.renew(handle, session).then((renewal) => judgeRenewal(inquiry, handle, renewal, services));
}

/** The token had expired (D-06). */
function judgeRenewal(inquiry: Inquiry, handle: string, renewal: Renewal, services: VerifyServices): Deciding {
  if (renewal.kind === 'ended') return withoutSession(inquiry, renewal.reason, services);
  if (renewal.kind === 'stale' && services.config.verify.expiredToken === 'unavailable') {
    throw new SallyportError('idp_unavailable', { detail: 'token_expired', retryAfterS: renewal.retryAfterS });
  }
  const staleForS = renewal.kind === 'stale' ? renewal.retryAfterS : 0;
  return judgeUsable(inquiry, { handle, session: renewal.session, staleForS }, services.clock.now(), services);
}

function judgeUsable(inquiry: Inquiry, asker: Asker, now: number, services: VerifyServices): Deciding {
  const { context, site, method } = inquiry;
  const problem = csrfProblem(inquiry, asker.session, services);
  if (problem !== undefined) return deny('csrf_failed', problem, site, isNavigation(method, context));
  return admit(inquiry, asker, now, services);
}

/** No CSRF rule: no browser attaches a bearer token by itself. No redirect: its bearer has no use for our login. */
function judgeBearer(inquiry: Inquiry, result: BearerResult, services: VerifyServices): Deciding {
  if (result.kind === 'caller') {
    const asker = { handle: '', session: result.session, staleForS: 0 };
    return admit(inquiry, asker, services.clock.now(), services);
  }
  const { context, site, method } = inquiry;
  return denyBearer(result, site, isNavigation(method, context));
}

/** It is known who asks: may they pass? A session (it has a handle) can be led to a step-up. */
function admit(inquiry: Inquiry, asker: Asker, now: number, services: VerifyServices): Deciding {
  const { options, route } = inquiry;
  const { session } = asker;
  const canLogin = asker.handle !== '';
  for (const rule of options.rules) {
    const denied = findAccessProblem(session, rule, now);
    if (denied !== undefined) return refuseAccess(inquiry, denied, rule, canLogin, services);
  }
  const denied = route === undefined ? undefined : findAccessProblem(session, route.rule, now);
  if (route !== undefined && denied !== undefined) return refuseAccess(inquiry, denied, route.rule, canLogin, services);
  if (route?.route.identityHeaders === false) return { kind: 'allow', headers: services.identity.blank };
  const service = options.service ?? route?.route.service;
  if (service === undefined) return { kind: 'allow', headers: session.headers };
  return allowWithToken(asker, service, services, (reason) => withoutSession(inquiry, reason, services));
}

function csrfProblem(inquiry: Inquiry, { locator }: Session, services: VerifyServices): string | undefined {
  const { context, site } = inquiry;
  const mode = inquiry.route?.route.csrf ?? 'unsafe';
  const { csrf } = services.config.verify;
  if (csrf === 'none' || mode === 'none') return undefined;
  // Browsers send cookies with a cross-site handshake and no preflight: Origin is the only proof.
  if (inquiry.handshake) return context.origin === '' || site.allowsOrigin(context.origin) ? undefined : 'origin';
  if (mode === 'unsafe' && !isUnsafeMethod(inquiry.method)) return undefined;
  if (csrf === 'origin') return originProblem(context, site, 'allow');
  return originProblem(context, site, 'refuse') ?? (services.csrf.isProven(context, locator) ? undefined : 'no_proof');
}

/** Nobody is signed in: pass on optional routes, send people to the login, tell programs 401 (SPEC §6). */
function withoutSession(inquiry: Inquiry, reason: string, services: VerifyServices): Decision {
  const { context, site, route, method } = inquiry;
  if (route?.route.auth === 'optional') return { kind: 'allow', headers: services.identity.blank };
  const navigation = isNavigation(method, context);
  const expireCookie = reason === 'conflicting_cookies';
  if (wantsLogin(inquiry, navigation, services)) return login(inquiry, services, '', expireCookie);
  return deny('authentication_required', reason, site, navigation, '', expireCookie);
}

/**
 * Whether a sign-in is answered by a redirect: what the verify URL says, else the route, else the settings; `auto` for
 * navigations. Never for a handshake: no browser follows it.
 */
function wantsLogin(inquiry: Inquiry, navigation: boolean, services: VerifyServices): boolean {
  if (inquiry.handshake) return false;
  const routeFail = inquiry.route?.route.onUnauthenticated ?? 'auto';
  const onFail = inquiry.options.onFail ?? (routeFail === 'auto' ? services.config.verify.onFail : routeFail);
  return onFail === 'auto' ? navigation : onFail !== '401';
}

/** @param rule the one that is not met: a step-up must ask for what it asks, or the sign-in comes back for ever. */
function refuseAccess(
  inquiry: Inquiry,
  problem: AccessProblem,
  rule: AccessRule,
  canLogin: boolean,
  services: VerifyServices,
): Decision {
  const { context, site, method } = inquiry;
  const { code, reason } = problem;
  const navigation = isNavigation(method, context);
  if (code === 'access_denied') return deny(code, reason, site, navigation);
  const { challenge, query } = stepUpOf(rule);
  if (canLogin && wantsLogin(inquiry, navigation, services)) return login(inquiry, services, query, false);
  return deny(code, reason, site, navigation, challenge, false, '', canLogin ? query : undefined);
}

function login(inquiry: Inquiry, services: VerifyServices, extra: string, expireCookie: boolean): Decision {
  const { context, site } = inquiry;
  const original = `${site.scheme}://${canonicalHost(context.forwardedHost, site.scheme)}${context.forwardedUri}`;
  return { kind: 'login', location: loginLocation(site, original, services.returnTo, extra), site, expireCookie };
}
