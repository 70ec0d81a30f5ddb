import { SallyportError } from '../core/errors.ts';
import { originProblem } from '../core/origin.ts';
import type { Reply } from '../core/problem.ts';
import type { ListedSession, Session } from '../core/services.ts';
import {
  cookiesOf,
  type FlowRequest,
  type FlowServices,
  type FoundSession,
  findSession,
  getIdp,
  proofProblem,
  refuseForeign,
} from './flow.ts';
import { hasFormToken, readForm } from './form-token.ts';
import { retireGrant } from './restore.ts';
import { sessionsPage } from './sessions-page.ts';
import { revokeInBackground } from './tokens.ts';

const PUBLIC_ID = /^[A-Za-z0-9_-]{22}$/;

/**
 * `GET /auth/sessions` (SPEC §1): the user's live sessions on all sites, the one seen last in front: a page for a
 * person, JSON for a script. Holds public ids only.
 * @throws authentication_required, origin_not_allowed for a script from elsewhere, store_unavailable.
 */
export async function listSessions(request: FlowRequest, services: FlowServices): Promise<Reply> {
  const { context, site, navigation } = request;
  if (!navigation) refuseForeign(request, 'session list');
  const own = await findOwn(request, services);
  const { issuer, subject } = own.session.hot.principal;
  const sessions = await services.sessions.list(issuer, subject);
  if (navigation) return sessionsPage(request, own.session, sessions, services);
  return services.replies.json(
    context,
    site,
    200,
    { sessions: sessions.map((listed) => describe(listed, own.session)) },
    [['vary', 'Cookie']],
  );
}

/**
 * `DELETE /auth/sessions/{id}`: end one of the user's own sessions, 204. Needs an allowed origin and the CSRF header.
 * One's own is a sign-out here, without the provider: its cookie is expired and its tokens are revoked.
 * @throws csrf_failed, authentication_required, not_found for ids of others alike, store_unavailable.
 */
export async function revokeSession(request: FlowRequest, services: FlowServices): Promise<Reply> {
  const { context, site } = request;
  const problem = originProblem(context, site, 'refuse') ?? proofProblem(request, services);
  if (problem !== undefined) throw new SallyportError('csrf_failed', { detail: problem });
  const own = await findOwn(request, services);
  const id = context.path.slice(context.path.lastIndexOf('/') + 1);
  const cookies = await revoke(request, own, id, services);
  const { headers } = services.replies.json(context, site, 204, {}, cookies);
  return { status: 204, headers: headers.filter(([name]) => name !== 'content-type'), body: '' };
}

/**
 * `POST /auth/sessions`: the same by the form of our page (`session`), or all others at once (`others=true`), and back
 * to the page. Needs the page's token: a page that sends no referrer sends no origin either.
 * @throws csrf_failed, authentication_required, not_found, store_unavailable.
 */
export async function revokeByForm(request: FlowRequest, services: FlowServices): Promise<Reply> {
  const own = await findOwn(request, services);
  const form = readForm(request);
  if (!hasFormToken(form, 'sessions', own.session, services)) {
    throw new SallyportError('csrf_failed', { detail: 'no_form_token' });
  }
  const back = `${request.site.site.publicUrl}${services.config.paths.auth}/sessions`;
  if (form.get('others') !== 'true') {
    const cookies = await revoke(request, own, form.get('session') ?? '', services);
    return services.replies.redirect(request.context, back, cookies);
  }
  const { issuer, subject } = own.session.hot.principal;
  for (const { publicId } of await services.sessions.list(issuer, subject)) {
    if (publicId !== own.session.publicId) await endOne(request, own.session, publicId, services);
  }
  return services.replies.redirect(request.context, back);
}

/** @returns what becomes of the caller's cookies. */
async function revoke(
  request: FlowRequest,
  { handle, session }: FoundSession,
  id: string,
  services: FlowServices,
): Promise<readonly (readonly [string, string])[]> {
  if (id !== session.publicId) {
    if (!PUBLIC_ID.test(id) || (await endOne(request, session, id, services)) === undefined) {
      throw new SallyportError('not_found', { detail: 'no such session of this user' });
    }
    return [];
  }
  const cold = await services.sessions.readCold(handle);
  await endOne(request, session, id, services);
  if (services.config.logout.revokeTokens) {
    revokeInBackground(services, getIdp(services, session.hot.idp), [cold?.refreshToken, session.hot.accessToken]);
  }
  const { site } = request;
  const cookies = cookiesOf(services, site);
  const own = [...cookies.session.expire, ...(cookies.csrf?.expire ?? [])];
  const expired = [...own, ...(services.tokenCookies?.expired(site) ?? [])];
  return expired.map((value) => ['set-cookie', value] as const);
}

async function endOne(
  request: FlowRequest,
  by: Session,
  id: string,
  services: FlowServices,
): Promise<ListedSession | undefined> {
  const { issuer, subject } = by.hot.principal;
  const ended = await services.sessions.endListed(issuer, subject, id);
  if (ended === undefined) return undefined;
  const absoluteAt = ended.description?.absoluteAt ?? services.clock.now() + services.config.session.absoluteMs;
  await retireGrant({ locator: ended.locator, hot: { absoluteAt } }, services);
  services.metrics.logouts.inc({ kind: 'revoked' });
  services.audit('session_revoked', {
    request_id: request.context.requestId,
    site: request.site.site.name,
    idp: ended.description?.idp ?? by.hot.idp,
    issuer,
    subject,
    session: id,
    client_ip: request.clientIp,
    reason: id === by.publicId ? 'own' : 'by_user',
  });
  return ended;
}

async function findOwn(request: FlowRequest, services: FlowServices): Promise<FoundSession> {
  const own = await findSession(request, services, true);
  if (own !== undefined) return own;
  throw new SallyportError('authentication_required', { detail: 'no_session', loginUrl: request.site.loginUrl });
}

function describe({ publicId, lastSeenAt, description }: ListedSession, own: Session): object {
  return {
    id: publicId,
    current: publicId === own.publicId,
    last_seen_at: new Date(lastSeenAt).toISOString(),
    ...(description === undefined
      ? {}
      : {
          created_at: new Date(description.createdAt).toISOString(),
          expires_at: new Date(description.absoluteAt).toISOString(),
          device: description.device,
          address: description.address,
          idp: description.idp,
          site: description.site,
        }),
  };
}
