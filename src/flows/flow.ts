import type { Audit } from '../core/audit.ts';
import type { Clock } from '../core/clock.ts';
import type { Config } from '../core/config/types.ts';
import type { RequestContext } from '../core/context.ts';
import type { KeyRing } from '../core/crypto.ts';
import type { CsrfProofs } from '../core/csrf.ts';
import { SallyportError } from '../core/errors.ts';
import type { Refresh } from '../core/freshness.ts';
import { LIMITS } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Pace } from '../core/pace.ts';
import type { Replies } from '../core/problem.ts';
import type { RateLimiter } from '../core/rate-limit.ts';
import type { ReturnToCheck } from '../core/return-to.ts';
import type { ServiceTokens, Session, Sessions } from '../core/services.ts';
import { locatorOf } from '../core/session.ts';
import type { SessionBinding } from '../core/session-binding.ts';
import type { CookieWriter } from '../core/set-cookie.ts';
import type { SiteRuntime, SiteTable } from '../core/sites.ts';
import type { SessionStore } from '../core/store.ts';
import type { TokenCookies } from '../core/token-cookies.ts';
import type { IdpRuntime } from './idp.ts';

/** A request to one of our own endpoints, with what the app found out about it. */
export type FlowRequest = {
  readonly context: RequestContext;
  readonly site: SiteRuntime;
  /** Canonical host that the browser used. */
  readonly host: string;
  readonly clientIp: string;
  /** A person is looking: answer pages instead of JSON. */
  readonly navigation: boolean;
  /** Form or JSON body of a POST, at most limits of our own endpoints; empty for others. */
  readonly body: string;
};

/** What flows work with; all of it made at start. */
export type FlowServices = {
  readonly config: Config;
  readonly sites: SiteTable;
  readonly sessions: Sessions;
  /** undefined = sessions are tied to nothing. */
  readonly binding: SessionBinding | undefined;
  readonly store: SessionStore;
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly idps: ReadonlyMap<string, IdpRuntime>;
  readonly refresh: Refresh;
  readonly tokens: Pick<ServiceTokens, 'prefetch'>;
  readonly returnTo: ReturnToCheck;
  readonly replies: Replies;
  readonly cookies: ReadonlyMap<string, SiteCookies>;
  /** undefined = tokens are in no cookies. */
  readonly tokenCookies: TokenCookies | undefined;
  readonly log: Logger;
  readonly audit: Audit;
  readonly metrics: Metrics;
  readonly csrf: CsrfProofs;
  /** Between the pieces of long work. */
  readonly pace: Pace;
  /** How often one address may begin a login; undefined = as often as it likes. */
  readonly loginLimit: RateLimiter | undefined;
  /** undefined = nobody signs in with a password here. */
  readonly directGrant: { readonly limit: RateLimiter; readonly returnToken: boolean } | undefined;
};

/** The cookies of one site. */
export type SiteCookies = {
  readonly session: CookieWriter;
  /** Counts logins that came back without the session cookie (D-25). */
  readonly loop: CookieWriter;
  /** Remembers which SPA a logout left, so that the next login returns there (SPEC §2.0). */
  readonly left: CookieWriter;
  /** Holds the session's CSRF token for scripts; undefined in mode `header`. */
  readonly csrf: CookieWriter | undefined;
};

/** The cookies of the request's site. */
export function cookiesOf(services: FlowServices, site: SiteRuntime): SiteCookies {
  const cookies = services.cookies.get(site.site.name);
  if (cookies === undefined) throw new TypeError(`no cookies compiled for site ${site.site.name}`);
  return cookies;
}

/** The live session that a request of ours belongs to, and its handle. */
export type FoundSession = { readonly handle: string; readonly session: Session };

/**
 * The live session of the request's cookie: of this site, and of the browser that signed in (`session.binding`; one that
 * comes from elsewhere ends here). A conflicting or unknown cookie is none.
 * @param slide false leaves the idle limit alone.
 * @throws store_unavailable
 */
export async function findSession(
  { context, site }: FlowRequest,
  { sessions, binding }: FlowServices,
  slide: boolean,
): Promise<FoundSession | undefined> {
  const handle = site.findHandle(context.cookie);
  if (handle.length !== LIMITS.handleLength) return undefined;
  const session = await sessions.find(handle, slide);
  if (session === undefined || session.hot.site !== site.site.name) return undefined;
  const foreign = binding?.findMismatch(session.hot.binding, context);
  if (foreign === undefined) return { handle, session };
  await binding?.end(session, context, foreign);
  return undefined;
}

/** `Set-Cookie` headers of the session's tokens, where they are kept in cookies too (SPEC §12). */
export function tokenCookieHeaders(
  { site }: FlowRequest,
  session: Session,
  refreshToken: string | undefined,
  { tokenCookies }: FlowServices,
): readonly (readonly [string, string])[] {
  const values = tokenCookies?.issue(site, session, refreshToken) ?? [];
  return values.map((value) => ['set-cookie', value] as const);
}

/** `Set-Cookie` lines of a session that begins in this browser: its handle, and its CSRF token where there is one. */
export function newSessionCookies(
  services: FlowServices,
  site: SiteRuntime,
  handle: string,
): readonly (readonly ['set-cookie', string])[] {
  const { session, csrf } = cookiesOf(services, site);
  const token = services.csrf.tokenOf(locatorOf(handle));
  const lines = [session.set(handle), ...(csrf === undefined || token === undefined ? [] : [csrf.set(token)])];
  return lines.map((line) => ['set-cookie', line] as const);
}

/** Whether a request says that its body is of this media type (lower case), parameters aside (RFC 9110 §8.3.1). */
export function hasMediaType({ contentType }: RequestContext, type: string): boolean {
  return contentType.split(';', 1)[0]?.trim().toLowerCase() === type;
}

/**
 * No custom header is asked of a GET; who may read is decided by where the request comes from.
 * @throws origin_not_allowed for a foreign origin or a cross-site request.
 */
export function refuseForeign({ context, site }: FlowRequest, what: string): void {
  const { origin, secFetchSite } = context;
  const foreign =
    origin !== '' ? !site.allowsOrigin(origin) : secFetchSite === 'cross-site' || secFetchSite === 'same-site';
  if (foreign) throw new SallyportError('origin_not_allowed', { detail: `${what} from elsewhere` });
}

/** Why a request of ours lacks the CSRF proof, or undefined; whether its session lives does not matter yet. */
export function proofProblem({ context, site }: FlowRequest, { csrf }: FlowServices): string | undefined {
  const handle = site.findHandle(context.cookie);
  const locator = handle.length === LIMITS.handleLength ? locatorOf(handle) : undefined;
  return csrf.isProven(context, locator) ? undefined : 'no_proof';
}

/** A provider by name; the configuration has checked that it exists. */
export function getIdp(services: FlowServices, name: string): IdpRuntime {
  const idp = services.idps.get(name);
  if (idp === undefined) throw new TypeError(`no provider named ${name}`);
  return idp;
}
