import { SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import type { Reply } from '../core/problem.ts';
import { parseForm } from '../core/query.ts';
import type { FlowRequest, FlowServices } from './flow.ts';
import type { IdpRuntime } from './idp.ts';
import { isSid } from './logout-token.ts';

const MARKS_WINDOW_MS = 1_000;

/**
 * `GET /auth/frontchannel-logout?iss=…&sid=…` (OpenID Connect Front-Channel Logout 1.0 §3): the provider's page loads
 * it in a frame while it signs the browser out. Acts by `iss` and `sid` through the index, because our cookie is
 * absent in a foreign frame (D-29); who does not know the `sid` can end nothing. The page may be framed by that provider
 * alone, and is the same for a `sid` that is unknown. It sets and expires no cookie.
 *
 * Strangers may call it: an unknown `sid` costs the store one look at an index. Only `frontchannelMarksPerSecond` of
 * them leave a tombstone for logins under way, so that no flood fills the store.
 * @returns undefined if `logout.frontchannel` is off. The endpoint throws bad_request, store_unavailable.
 */
export function createFrontchannelLogout(
  services: FlowServices,
): ((request: FlowRequest) => Promise<Reply>) | undefined {
  if (!services.config.logout.frontchannel) return undefined;
  const providers = [...services.idps.values()];
  const mayMark = createMarkLimit(services);
  return async (request) => {
    const { issuer, sid } = readTarget(request);
    const named = providers.filter(({ idp }) => idp.issuer === issuer);
    if (named.length === 0) throw refusal('iss is no provider of this service');
    const count = await endSessions(issuer, sid, mayMark(), services);
    if (count > 0) noteEnd(request, named[0]?.idp.name ?? '', issuer, count, services);
    return services.replies.page(request.site, 200, {
      title: 'Signed out',
      paragraphs: ['You are signed out here.'],
      framedBy: [...new Set(named.flatMap(originsOf))].join(' '),
    });
  };
}

function readTarget({ context }: FlowRequest): { readonly issuer: string; readonly sid: string } {
  if (context.secPurpose.includes('prefetch')) throw refusal('a prefetch signs nobody out');
  const params = parseForm(context.query);
  const issuer = params.get('iss');
  const sid = params.get('sid');
  if (issuer === undefined || !isSid(sid)) {
    throw refusal('iss and sid are needed: have the provider send them (frontchannel_logout_session_required)');
  }
  return { issuer, sid };
}

/** Who had a session has shown that the `sid` is real: it is remembered whatever strangers do. */
async function endSessions(issuer: string, sid: string, remember: boolean, services: FlowServices): Promise<number> {
  const { sessions } = services;
  const count = await sessions.endProviderSession(issuer, sid, remember);
  return count === 0 || remember ? count : count + (await sessions.endProviderSession(issuer, sid, true));
}

function noteEnd(request: FlowRequest, idp: string, issuer: string, count: number, services: FlowServices): void {
  services.metrics.logouts.inc({ kind: 'frontchannel' });
  services.audit('logout_frontchannel', {
    request_id: request.context.requestId,
    site: request.site.site.name,
    idp,
    issuer,
    client_ip: request.clientIp,
    count,
  });
}

/** Where the provider's pages live, as the browser knows them. */
function originsOf(runtime: IdpRuntime): readonly string[] {
  const endpoint = runtime.isReady() ? runtime.metadata().end_session_endpoint : undefined;
  return [runtime.idp.issuer, ...(endpoint === undefined ? [] : [endpoint])].map((url) => new URL(url).origin);
}

function createMarkLimit({ clock }: FlowServices): () => boolean {
  let windowAt = Number.NEGATIVE_INFINITY;
  let used = 0;
  return () => {
    const now = clock.now();
    if (now - windowAt >= MARKS_WINDOW_MS) [windowAt, used] = [now, 0];
    used += 1;
    return used <= LIMITS.frontchannelMarksPerSecond;
  };
}

function refusal(detail: string): SallyportError {
  return new SallyportError('bad_request', { detail: `front-channel logout: ${detail}` });
}
