import type { RequestContext } from '../core/context.ts';
import { SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import type { Reply } from '../core/problem.ts';
import { parseForm } from '../core/query.ts';
import { type FlowServices, hasMediaType } from './flow.ts';
import { createLogoutTokenCheck, type LogoutToken } from './logout-token.ts';

/** A provider's request: no site, no cookie and no origin has a say, the signed token alone decides. */
export type ProviderRequest = {
  readonly context: RequestContext;
  readonly clientIp: string;
  /** At most LIMITS.ownBodyMaxBytes. */
  readonly body: string;
};

/**
 * `POST /auth/backchannel-logout` (OpenID Connect Back-Channel Logout 1.0): end the sessions that the token names, on
 * all nodes, before the answer. By `sid` where it has one, else every session of `sub`; logins under way are refused
 * too (D-18). A token counts once in the cluster: its `jti` is noted after the work is done, so that a provider may
 * send it again after a 503, and looked up before, so that a replay ends no newer session.
 * @returns undefined if no provider's logout tokens are accepted, else the endpoint: 200 with an empty body. It throws
 * bad_request for a token that is not accepted, idp_unavailable, store_unavailable, overloaded: never 200 for those.
 */
export function createBackchannelLogout(
  services: FlowServices,
): ((request: ProviderRequest) => Promise<Reply>) | undefined {
  const idps = [...services.idps.values()].filter(({ idp }) => idp.logout.backchannel);
  if (!services.config.logout.backchannel || idps.length === 0) return undefined;
  const check = createLogoutTokenCheck(idps, services.clock);
  let running = 0;
  return async (request) => {
    const token = tokenOf(request);
    if (running >= LIMITS.logoutTokensMax) throw new SallyportError('overloaded', { retryAfterS: 1 });
    running += 1;
    try {
      const result = await check(token);
      if ('reason' in result) throw refusal(result.reason, `The logout token was refused: ${result.sentence}.`);
      await endOnce(result, request, services);
    } finally {
      running -= 1;
    }
    return { status: 200, headers: [...services.replies.commonHeaders(undefined), ['vary', 'Origin']], body: '' };
  };
}

function tokenOf({ context, body }: ProviderRequest): string {
  if (!hasMediaType(context, 'application/x-www-form-urlencoded'))
    throw refusal('content_type', 'Send the logout token as application/x-www-form-urlencoded.');
  const token = parseForm(body).get('logout_token');
  if (token === undefined || token === '') throw refusal('missing', 'The form has no logout_token.');
  return token;
}

async function endOnce(token: LogoutToken, request: ProviderRequest, services: FlowServices): Promise<void> {
  const { store, clock } = services;
  if (await store.isConsumed('jti', token.id, clock.now())) throw replay();
  const count = await endSessions(token, services);
  const now = clock.now();
  if (!(await store.consumeOnce('jti', token.id, now, Math.max(1, token.endsAt - now)))) throw replay();
  services.metrics.logouts.inc({ kind: 'backchannel' });
  services.audit('logout_backchannel', {
    request_id: request.context.requestId,
    idp: token.idp,
    issuer: token.issuer,
    ...(token.subject === undefined ? {} : { subject: token.subject }),
    client_ip: request.clientIp,
    reason: token.sid === undefined ? 'sub' : 'sid',
    count,
  });
}

function endSessions({ issuer, sid, subject }: LogoutToken, { sessions }: FlowServices): Promise<number> {
  if (sid !== undefined) return sessions.endProviderSession(issuer, sid, true);
  if (subject === undefined) throw new TypeError('a logout token without sid and sub');
  return sessions.endAllOfUser(issuer, subject);
}

function replay(): SallyportError {
  return refusal('replay', 'The logout token was refused: it was used before.');
}

function refusal(reason: string, publicDetail: string): SallyportError {
  return new SallyportError('bad_request', { detail: `logout token: ${reason}`, publicDetail });
}
