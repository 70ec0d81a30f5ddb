import { findHandle } from '../core/cookie.ts';
import { SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import { hasCsrfProof, originProblem } from '../core/origin.ts';
import type { Reply } from '../core/problem.ts';
import type { FlowRequest, FlowServices } from './flow.ts';

/**
 * `POST /auth/refresh` (SPEC §1, R-100): renew the session's token now. 200 says how many seconds session and token
 * have left, and whether the token is a new one; it holds no token, and the cookie stays as it is.
 * @throws csrf_failed, authentication_required without a live session, idp_unavailable if the token has expired and the
 * provider is away, store_unavailable.
 */
export async function refreshNow(request: FlowRequest, services: FlowServices): Promise<Reply> {
  const { context, site } = request;
  const { sessions, clock, config, refresh, replies } = services;
  const problem = originProblem(context, site, 'refuse') ?? proofProblem(request, services);
  if (problem !== undefined) throw new SallyportError('csrf_failed', { detail: problem });
  const handle = findHandle(context.cookie, site.site.cookie.name);
  const found = handle.length === LIMITS.handleLength ? await sessions.find(handle, true) : undefined;
  if (found === undefined || found.hot.site !== site.site.name) throw signedOut(request, 'no_session');
  const renewal = await refresh.force(handle, found);
  if (renewal.kind === 'ended') throw signedOut(request, renewal.reason);
  if (renewal.kind === 'stale') {
    throw new SallyportError('idp_unavailable', { detail: 'token refresh', retryAfterS: renewal.retryAfterS });
  }
  const { hot } = renewal.session;
  const now = clock.now();
  if (now >= hot.tokenExpiresAt) throw signedOut(request, 'token_expired');
  const idleEnd = now + Math.min(hot.idleMs, config.session.idleMs);
  const end = Math.min(idleEnd, hot.absoluteAt, hot.renewable ? Number.POSITIVE_INFINITY : hot.tokenExpiresAt);
  return replies.json(context, site, 200, {
    authenticated: true,
    refreshed: hot.accessToken !== found.hot.accessToken,
    expires_in: secondsUntil(end, now),
    absolute_expires_in: secondsUntil(hot.absoluteAt, now),
    token_expires_in: secondsUntil(hot.tokenExpiresAt, now),
  });
}

function proofProblem({ context }: FlowRequest, { config }: FlowServices): string | undefined {
  return hasCsrfProof(context, config.csrf.value) ? undefined : 'no_proof';
}

function signedOut({ site }: FlowRequest, detail: string): SallyportError {
  return new SallyportError('authentication_required', { detail, loginUrl: site.loginUrl });
}

function secondsUntil(end: number, now: number): number {
  return Math.max(0, Math.floor((end - now) / 1000));
}
