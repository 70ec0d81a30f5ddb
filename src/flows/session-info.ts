import { secondsUntil } from '../core/clock.ts';
import { findCookie } from '../core/cookie.ts';
import type { Reply } from '../core/problem.ts';
import { parseForm } from '../core/query.ts';
import type { Session } from '../core/services.ts';
import {
  cookiesOf,
  type FlowRequest,
  type FlowServices,
  findSession,
  refuseForeign,
  tokenCookieHeaders,
} from './flow.ts';

/**
 * `GET /api/auth/session` (SPEC §1, D-42): who is signed in, as 200 in every case. Never holds a token; slides
 * the idle limit unless `slide=false` or the setting says otherwise.
 * @throws origin_not_allowed for a foreign origin or a cross-site request, store_unavailable.
 */
export async function describeSession(request: FlowRequest, services: FlowServices): Promise<Reply> {
  const { context, site } = request;
  refuseForeign(request, 'session check');
  const params = parseForm(context.query);
  const slide = services.config.session.checkSlides && params.get('slide') !== 'false';
  const { handle = '', session: found } = (await findSession(request, services, slide)) ?? {};
  const session = found && (await findRenewed(handle, found, services));
  const now = services.clock.now();
  const body =
    session === undefined
      ? { authenticated: false, login_url: site.loginUrl }
      : describe(session, slide, now, request, services);
  const cookies = session === undefined ? [] : await renewedCookies(request, handle, session, services);
  const proof = session === undefined ? undefined : services.csrf.tokenOf(session.locator);
  const headers = [['vary', 'Cookie'] as const, ...cookies, ...missingProof(request, proof, services)];
  const told = proof === undefined ? body : { ...body, csrf_token: proof };
  return services.replies.json(context, site, 200, told, headers);
}

/** The cookie of the token, unless the browser has it: keys and modes change while sessions live. */
function missingProof({ context, site }: FlowRequest, proof: string | undefined, services: FlowServices) {
  const { csrf } = cookiesOf(services, site);
  if (csrf === undefined || proof === undefined) return [];
  const { value, conflicting } = findCookie(context.cookie, csrf.name);
  return value === proof && !conflicting ? [] : [['set-cookie', csrf.set(proof)] as const];
}

/** Both cookies: this address cannot see what the browser has of a cookie with another path. */
async function renewedCookies(request: FlowRequest, handle: string, session: Session, services: FlowServices) {
  const { tokenCookies, sessions } = services;
  if (tokenCookies === undefined || session.hot.accessToken === '') return [];
  const cold = tokenCookies.savesGrants ? await sessions.readCold(handle) : undefined;
  return tokenCookieHeaders(request, session, cold?.refreshToken, services);
}

/** The session, with a new token if it needs one; a session without one is still a session while it may get one. */
async function findRenewed(handle: string, session: Session, services: FlowServices): Promise<Session | undefined> {
  const { refresh } = services;
  if (refresh.isFresh(handle, session)) return session;
  if (!session.hot.renewable) return undefined;
  const renewal = await refresh.renew(handle, session);
  return renewal.kind === 'ended' ? undefined : renewal.session;
}

function describe(
  session: Session,
  slide: boolean,
  now: number,
  { site }: FlowRequest,
  services: FlowServices,
): object {
  const { hot, lastSeenAt } = session;
  // A token that cannot be renewed ends the session for every use of it.
  const tokenEnd = hot.renewable ? Number.POSITIVE_INFINITY : hot.tokenExpiresAt;
  const idleEnd = (slide ? now : lastSeenAt) + hot.idleMs;
  return {
    authenticated: true,
    user: exposedUser(session, services),
    idp: hot.idp,
    expires_in: secondsUntil(Math.min(idleEnd, hot.absoluteAt, tokenEnd), now),
    absolute_expires_in: secondsUntil(hot.absoluteAt, now),
    login_url: site.loginUrl,
    logout_url: site.logoutUrl,
  };
}

/** The claims that scripts may see (`session.exposed_claims`, R-125). */
export function exposedUser({ hot }: Session, { config }: FlowServices): Readonly<Record<string, unknown>> {
  const { claims } = hot.principal;
  const names = config.session.exposedClaims.filter((name) => Object.hasOwn(claims, name));
  return Object.fromEntries(names.map((name) => [name, claims[name]]));
}
