import { randomToken } from '../core/crypto.ts';
import { SallyportError } from '../core/errors.ts';
import { originProblem } from '../core/origin.ts';
import type { Reply } from '../core/problem.ts';
import { parseForm } from '../core/query.ts';
import type { Session } from '../core/services.ts';
import type { SessionCold } from '../core/session.ts';
import { cookiesOf, type FlowRequest, type FlowServices, findSession, getIdp } from './flow.ts';
import { FORM_TOKEN_FIELD, formToken, hasFormToken, readForm } from './form-token.ts';
import { retireGrant } from './restore.ts';
import { revokeInBackground } from './tokens.ts';

const LEFT_MS = 600_000;

/**
 * `GET|POST /auth/logout` (SPEC §5): end the session in the store first, expire every variant of the cookie, revoke
 * the tokens without making the user wait, then leave for the provider's logout by way of a small page. A forced
 * cross-site logout meets a confirmation page (SECURITY §5).
 * @throws csrf_failed for a cross-site POST, store_unavailable (then nothing has changed: an outage is no logout).
 */
export async function logOut(request: FlowRequest, services: FlowServices): Promise<Reply> {
  const { context } = request;
  const params = parseForm(context.query);
  const everywhere = params.get('everywhere') === 'true';
  const { handle = '', session } = (await findSession(request, services, false)) ?? {};
  if (context.method === 'POST') checkPost(request, session, services);
  else if (!isOwnNavigation(request)) return confirmationPage(request, session, everywhere, services);

  const cold = session === undefined ? undefined : await services.sessions.readCold(handle);
  if (session !== undefined) await endSession(request, session, everywhere, services);
  const providerUrl = endSessionUrl(request, session, cold, services);
  if (session !== undefined && services.config.logout.revokeTokens) {
    revokeInBackground(services, getIdp(services, session.hot.idp), [cold?.refreshToken, session.hot.accessToken]);
  }
  return farewell(request, providerUrl, services);
}

async function endSession(
  request: FlowRequest,
  session: Session,
  everywhere: boolean,
  services: FlowServices,
): Promise<void> {
  const { principal, idp } = session.hot;
  await retireGrant(session, services);
  await services.sessions.end(session);
  const count = everywhere ? await services.sessions.endAllOfUser(principal.issuer, principal.subject) : 0;
  services.metrics.logouts.inc({ kind: everywhere ? 'everywhere' : 'one' });
  services.audit(everywhere ? 'logout_everywhere' : 'logout', {
    request_id: request.context.requestId,
    site: request.site.site.name,
    idp,
    issuer: principal.issuer,
    subject: principal.subject,
    session: session.publicId,
    client_ip: request.clientIp,
    ...(everywhere ? { count: count + 1 } : {}),
  });
}

/** A GET acts at once only if Fetch Metadata says that our own pages or the person began it (SECURITY §5). */
function isOwnNavigation({ context }: FlowRequest): boolean {
  const { secFetchSite, secFetchMode, secFetchDest, secPurpose } = context;
  if (secPurpose.includes('prefetch')) return false;
  if (secFetchSite !== 'same-origin' && secFetchSite !== 'same-site' && secFetchSite !== 'none') return false;
  if (secFetchMode === 'navigate') return secFetchDest === 'document';
  return secFetchSite === 'same-origin' && secFetchDest === 'empty';
}

/** A POST needs an origin of ours, or the token of the confirmation page (R-110). */
function checkPost(request: FlowRequest, session: Session | undefined, services: FlowServices): void {
  const { context, site } = request;
  if (hasFormToken(readForm(request), 'logout', session, services)) return;
  const reason = originProblem(context, site, 'refuse');
  if (reason === undefined) return;
  throw new SallyportError('csrf_failed', { detail: reason });
}

function confirmationPage(
  { context, site }: FlowRequest,
  session: Session | undefined,
  everywhere: boolean,
  services: FlowServices,
): Reply {
  const { auth } = services.config.paths;
  const fields: Record<string, string> =
    session === undefined ? {} : { [FORM_TOKEN_FIELD]: formToken(services, 'logout', session.locator) };
  return services.replies.page(site, 200, {
    title: 'Sign out?',
    paragraphs: [
      everywhere
        ? 'Another page asked to sign you out on all your devices. Nothing has happened yet.'
        : 'Another page asked to sign you out. Nothing has happened yet.',
    ],
    actions: [
      { kind: 'post', action: `${auth}/logout${everywhere ? '?everywhere=true' : ''}`, label: 'Sign out', fields },
      { kind: 'link', href: `${site.site.publicUrl}/`, label: 'Stay signed in' },
    ],
    note: `Request ${context.requestId}`,
  });
}

/**
 * RP-initiated logout (OpenID Connect RP-Initiated Logout §2): `id_token_hint`, `client_id`, `state`, and a
 * post-logout address from the configuration alone (R-113). Undefined where the provider has none, or the
 * configuration says `logout: local`.
 */
function endSessionUrl(
  { site }: FlowRequest,
  session: Session | undefined,
  cold: SessionCold | undefined,
  services: FlowServices,
): string | undefined {
  const name = session?.hot.idp ?? site.site.idp;
  if (name === '') return undefined;
  const runtime = getIdp(services, name);
  const endpoint = runtime.isReady() ? runtime.metadata().end_session_endpoint : undefined;
  if (runtime.idp.logout.mode === 'local' || endpoint === undefined) return undefined;
  const url = new URL(endpoint);
  if (cold?.idToken !== undefined) url.searchParams.set('id_token_hint', cold.idToken);
  url.searchParams.set('client_id', runtime.idp.clientId);
  url.searchParams.set('post_logout_redirect_uri', services.config.logout.postLogoutRedirectUri ?? site.loginUrl);
  url.searchParams.set('state', randomToken(16));
  return url.href;
}

/** JSON for a script, the interstitial for a person, the signed-out page where the provider has no part in it. */
function farewell(request: FlowRequest, providerUrl: string | undefined, services: FlowServices): Reply {
  const { context, site, navigation } = request;
  const cookies = cookiesOf(services, site);
  const headers: [string, string][] = [
    ...cookies.session.expire,
    ...cookies.loop.expire,
    ...(cookies.csrf?.expire ?? []),
    ...(services.tokenCookies?.expired(site) ?? []),
    cookies.left.set(leftOrigin(request), LEFT_MS),
  ].map((value) => ['set-cookie', value]);
  if (!navigation && context.method !== 'GET' && !wantsHtml(request))
    return logoutJson(request, providerUrl, headers, services);
  if (!navigation && context.secFetchMode !== '' && context.secFetchMode !== 'navigate') {
    return logoutJson(request, providerUrl, headers, services);
  }
  if (providerUrl === undefined) {
    return services.replies.page(
      site,
      200,
      {
        title: 'Signed out',
        paragraphs: ['You are signed out here.'],
        actions: [{ kind: 'link', href: site.loginUrl, label: 'Sign in again', primary: true }],
      },
      headers,
    );
  }
  return services.replies.page(
    site,
    200,
    {
      title: 'Signing out',
      paragraphs: ['You are signed out here. Your identity provider is next.'],
      actions: [{ kind: 'link', href: providerUrl, label: 'Continue', primary: true }],
      location: providerUrl,
    },
    headers,
  );
}

function logoutJson(
  request: FlowRequest,
  providerUrl: string | undefined,
  headers: [string, string][],
  services: FlowServices,
): Reply {
  const { context, site } = request;
  return services.replies.json(
    context,
    site,
    200,
    { authenticated: false, login_url: site.loginUrl, logout_url: providerUrl ?? null },
    headers,
  );
}

/** A form's POST is a navigation too, but `isNavigation` speaks of safe methods. */
function wantsHtml({ context }: FlowRequest): boolean {
  if (context.secFetchMode !== '') return context.secFetchMode === 'navigate';
  return context.accept.includes('text/html');
}

/** Where the person came from, if it is an origin of this site: the next login returns there (SPEC §2.0). */
function leftOrigin({ context, site, host }: FlowRequest): string {
  const referer = URL.canParse(context.referer) ? new URL(context.referer).origin : '';
  const origin = context.origin !== '' ? context.origin : referer;
  return encodeURIComponent(`${site.allowsOrigin(origin) ? origin : `${site.scheme}://${host}`}/`);
}
