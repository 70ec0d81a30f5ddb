import { SallyportError } from '../core/errors.ts';
import type { NewSession, Session } from '../core/services.ts';
import { readPrincipal } from './access-token-claims.ts';
import { type Claims, findLoginDenial } from './claims.ts';
import type { FlowRequest, FlowServices } from './flow.ts';
import type { IdpRuntime } from './idp.ts';
import { retireGrant } from './restore.ts';
import { fetchUserinfo, revokeInBackground, type TokenSet } from './tokens.ts';

/** End the session that this browser had before the login; nor may its refresh cookie bring it back. */
export async function replaceSession(session: Session, services: FlowServices): Promise<void> {
  await retireGrant(session, services);
  await services.sessions.replace(session);
}

/**
 * Make the session of a login (SPEC §2.2): claims mapped, `login.allow` checked, a new handle; audited.
 * @param startedAt when the login began, ms since the epoch: a sign-out since then wins (D-18).
 * @throws login_denied, callback_invalid if a sign-out overtook it, store_unavailable; the tokens are taken back then.
 */
export async function openSession(
  request: FlowRequest,
  runtime: IdpRuntime,
  tokens: TokenSet,
  startedAt: number,
  services: FlowServices,
): Promise<{ readonly handle: string; readonly session: Session }> {
  try {
    await services.pace();
    const created = await services.sessions.create(await newSession(request, runtime, tokens, startedAt, services));
    if (created === undefined) {
      services.audit('session_ended_by_tombstone', {
        request_id: request.context.requestId,
        site: request.site.site.name,
        idp: runtime.idp.name,
        client_ip: request.clientIp,
      });
      throw new SallyportError('callback_invalid', {
        detail: 'a logout overtook this login',
        publicDetail: 'You were signed out while this sign-in was under way. Start it again.',
      });
    }
    const { principal } = created.session.hot;
    services.audit('login', {
      request_id: request.context.requestId,
      site: request.site.site.name,
      idp: runtime.idp.name,
      issuer: principal.issuer,
      subject: principal.subject,
      session: created.session.publicId,
      client_ip: request.clientIp,
    });
    await services.tokens.prefetch(created.handle, created.session);
    return created;
  } catch (error) {
    // Nobody will ever use these tokens: take them back (CB-087).
    revokeInBackground(services, runtime, [tokens.refreshToken, tokens.accessToken]);
    throw error;
  }
}

async function newSession(
  request: FlowRequest,
  runtime: IdpRuntime,
  tokens: TokenSet,
  startedAt: number,
  services: FlowServices,
): Promise<NewSession> {
  const { claims } = tokens;
  const userinfo = runtime.idp.userinfo
    ? await fetchUserinfo(runtime, tokens.accessToken, String(claims['sub']), tokens.dpop)
    : undefined;
  const principal = await readPrincipal(runtime, claims, userinfo, tokens.accessToken);
  const denial = findLoginDenial(principal, services.config.login.allow);
  if (denial !== undefined) {
    throw new SallyportError('login_denied', {
      detail: `login.allow: ${denial}`,
      publicDetail: 'This account may not use this site. Sign in with another account, or ask the operator.',
    });
  }
  return {
    hot: {
      site: request.site.site.name,
      idp: runtime.idp.name,
      principal,
      accessToken: tokens.accessToken,
      tokenType: tokens.tokenType,
      tokenIssuedAt: tokens.issuedAt,
      tokenExpiresAt: tokens.expiresAt,
      renewable: tokens.refreshToken !== undefined,
      scopes: tokens.scopes,
      binding: services.binding?.describe(request.context),
      sid: optionalText(claims, 'sid'),
      acr: optionalText(claims, 'acr'),
      authTime: typeof claims['auth_time'] === 'number' ? claims['auth_time'] * 1000 : services.clock.now(),
    },
    cold: { refreshToken: tokens.refreshToken, idToken: tokens.idToken, dpopKey: tokens.dpop?.secret },
    from: { userAgent: request.context.userAgent, address: request.clientIp },
    startedAt,
  };
}

function optionalText(claims: Claims, name: string): string | undefined {
  const value = claims[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
