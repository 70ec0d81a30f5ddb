import { secondsUntil } from '../core/clock.ts';
import { SallyportError } from '../core/errors.ts';
import { originProblem } from '../core/origin.ts';
import type { Reply } from '../core/problem.ts';
import type { Session } from '../core/services.ts';
import {
  type FlowRequest,
  type FlowServices,
  findSession,
  newSessionCookies,
  proofProblem,
  tokenCookieHeaders,
} from './flow.ts';
import { restoreSession } from './restore.ts';

/** What came of the request: the session as it is now, and what the browser has to know. */
type Outcome = {
  readonly session: Session;
  readonly isNew: boolean;
  readonly headers: readonly (readonly [string, string])[];
};

/**
 * `POST /auth/refresh` (SPEC §1, R-100): renew the session's token now. 200 says how many seconds session and token
 * have left, and whether the token is a new one; it holds no token, and the cookie stays as it is. With token cookies on
 * they are sent anew, and a refresh cookie alone makes a new session (SPEC §12).
 * @throws csrf_failed, authentication_required without a live session, idp_unavailable if the token has expired and the
 * provider is away, store_unavailable.
 */
export async function refreshNow(request: FlowRequest, services: FlowServices): Promise<Reply> {
  const { context, site } = request;
  const { clock, config, replies } = services;
  const problem = originProblem(context, site, 'refuse') ?? proofProblem(request, services);
  if (problem !== undefined) throw new SallyportError('csrf_failed', { detail: problem });
  const found = await findSession(request, services, true);
  const { session, isNew, headers } =
    found === undefined
      ? await restore(request, services)
      : await renew(request, found.handle, found.session, services);
  const { hot } = session;
  const now = clock.now();
  const idleEnd = now + Math.min(hot.idleMs, config.session.idleMs);
  const end = Math.min(idleEnd, hot.absoluteAt, hot.renewable ? Number.POSITIVE_INFINITY : hot.tokenExpiresAt);
  const body = {
    authenticated: true,
    refreshed: isNew,
    expires_in: secondsUntil(end, now),
    absolute_expires_in: secondsUntil(hot.absoluteAt, now),
    token_expires_in: secondsUntil(hot.tokenExpiresAt, now),
  };
  return replies.json(context, site, 200, body, headers);
}

async function renew(request: FlowRequest, handle: string, found: Session, services: FlowServices): Promise<Outcome> {
  const renewal = await services.refresh.force(handle, found);
  if (renewal.kind === 'ended') throw signedOut(request, renewal.reason, services);
  if (renewal.kind === 'stale') {
    throw new SallyportError('idp_unavailable', { detail: 'token refresh', retryAfterS: renewal.retryAfterS });
  }
  const { session } = renewal;
  if (services.clock.now() >= session.hot.tokenExpiresAt) throw signedOut(request, 'token_expired', services);
  const cold = services.tokenCookies?.savesGrants === true ? await services.sessions.readCold(handle) : undefined;
  const headers = tokenCookieHeaders(request, session, cold?.refreshToken, services);
  return { session, isNew: session.hot.accessToken !== found.hot.accessToken, headers };
}

async function restore(request: FlowRequest, services: FlowServices): Promise<Outcome> {
  const restored = await restoreSession(request, services);
  if (restored === undefined) throw signedOut(request, 'no_session', services);
  const { handle, session, refreshToken } = restored;
  const cookies = newSessionCookies(services, request.site, handle);
  return {
    session,
    isNew: true,
    headers: [...cookies, ...tokenCookieHeaders(request, session, refreshToken, services)],
  };
}

/** Tokens of a session that is over are of no use to anybody. */
function signedOut({ site }: FlowRequest, detail: string, { tokenCookies }: FlowServices): SallyportError {
  const headers = (tokenCookies?.expired(site) ?? []).map((value) => ['set-cookie', value] as const);
  return new SallyportError('authentication_required', { detail, loginUrl: site.loginUrl, headers });
}
