import { randomToken } from '../core/crypto.ts';
import { SallyportError } from '../core/errors.ts';
import type { Session } from '../core/services.ts';
import type { SessionHot } from '../core/session.ts';
import type { SavedGrant } from '../core/token-cookies.ts';
import { readPrincipal } from './access-token-claims.ts';
import { findLoginDenial } from './claims.ts';
import { type FlowRequest, type FlowServices, getIdp } from './flow.ts';
import type { IdpRuntime } from './idp.ts';
import { createGrant, type GrantAnswer, type RefreshedTokens, SubjectChangedError } from './refresh-grant.ts';
import { fetchUserinfo, revokeInBackground } from './tokens.ts';

/** A session made of a refresh cookie. */
export type Restored = {
  readonly handle: string;
  readonly session: Session;
  readonly refreshToken: string | undefined;
};

/** Longer than the provider's deadline, so that nobody spends the refresh token meanwhile. */
const MARK_MIN_MS = 60_000;

/**
 * Make a new session of the refresh cookie alone (SPEC §12), where the session it belongs to is gone: within that one's
 * idle and absolute limits, for the same user, once for the whole cluster. A session that was ended is not revived: a
 * sign-out leaves a mark, and the creation obeys the tombstones of user and provider session.
 * @returns undefined if the cookie gives no right to a session (any more).
 * @throws idp_unavailable and its like (the cookie can be used again), login_denied, store_unavailable.
 */
export async function restoreSession(request: FlowRequest, services: FlowServices): Promise<Restored | undefined> {
  const { clock, store, tokenCookies } = services;
  const grant = tokenCookies?.findGrant(request.context, request.site);
  const now = clock.now();
  if (grant === undefined || !services.idps.has(grant.idp)) return undefined;
  if (now >= grant.absoluteAt || now - grant.savedAt >= grant.idleMs) return undefined;
  if (services.binding?.findMismatch(grant.binding, request.context) !== undefined) return undefined;
  const runtime = getIdp(services, grant.idp);
  runtime.metadata();
  const owner = randomToken(16);
  const markMs = Math.max(MARK_MIN_MS, grant.absoluteAt - now);
  if (!(await store.leases.acquire(grant.locator, 'restore', owner, now, markMs))) return undefined;
  const answer = await createGrant(runtime)({ hot: emptyHot(grant, runtime), cold: NO_COLD }, grant.refreshToken, now);
  if (answer.kind === 'refused') return undefined;
  if (answer.kind === 'failed') {
    await store.leases.release(grant.locator, 'restore', owner);
    throw answer.error;
  }
  const tokens = await readAnswer(answer);
  return tokens && createRestored(request, runtime, grant, tokens, answer.refreshToken, services);
}

/** Undefined: the answer speaks of another user, and gives nobody a session. */
async function readAnswer(answer: Extract<GrantAnswer, { kind: 'granted' }>): Promise<RefreshedTokens | undefined> {
  try {
    return await answer.read();
  } catch (error) {
    if (error instanceof SubjectChangedError) return undefined;
    throw error;
  }
}

/** Nobody makes a session of this one's refresh cookie from now on. @throws store_unavailable */
export async function retireGrant(
  { locator, hot }: { readonly locator: string; readonly hot: Pick<SessionHot, 'absoluteAt'> },
  services: FlowServices,
): Promise<void> {
  if (services.tokenCookies?.savesGrants !== true) return;
  const now = services.clock.now();
  const markMs = Math.max(MARK_MIN_MS, hot.absoluteAt - now);
  await services.store.leases.acquire(locator, 'restore', randomToken(16), now, markMs);
}

const NO_COLD = { refreshToken: undefined, idToken: undefined };

async function createRestored(
  request: FlowRequest,
  runtime: IdpRuntime,
  grant: SavedGrant,
  tokens: RefreshedTokens,
  refreshToken: string,
  services: FlowServices,
): Promise<Restored | undefined> {
  const { idToken, ...fresh } = tokens;
  try {
    const principal = await principalOf(runtime, grant, tokens);
    const denial = findLoginDenial(principal, services.config.login.allow);
    if (denial !== undefined) throw new SallyportError('login_denied', { detail: `login.allow: ${denial}` });
    const { site, idp, sid, authTime, absoluteAt, binding } = grant;
    const created = await services.sessions.create({
      hot: { site, idp, sid, authTime, binding, ...fresh, principal, renewable: true },
      cold: { refreshToken, idToken },
      from: { userAgent: request.context.userAgent, address: request.clientIp },
      startedAt: grant.createdAt,
      absoluteAt,
    });
    if (created === undefined) revokeInBackground(services, runtime, [refreshToken, fresh.accessToken]);
    else auditRestored(request, created.session, services);
    return created && { ...created, refreshToken };
  } catch (error) {
    revokeInBackground(services, runtime, [refreshToken, fresh.accessToken]);
    throw error;
  }
}

/** Whoever the ID token of the refresh speaks of; without one, UserInfo about the same subject. */
async function principalOf(
  runtime: IdpRuntime,
  { subject }: SavedGrant,
  { idToken, principal, accessToken }: RefreshedTokens,
) {
  if (idToken !== undefined) return principal;
  if (runtime.metadata().userinfo_endpoint === undefined) {
    throw new SallyportError('idp_bad_response', { detail: 'neither ID token nor UserInfo at a refresh' });
  }
  // Beside token cookies no tokens are bound: the configuration refuses both together.
  const claims = await fetchUserinfo(runtime, accessToken, subject, undefined);
  return readPrincipal(runtime, claims, claims, accessToken);
}

function auditRestored({ context, clientIp }: FlowRequest, { hot, publicId }: Session, { audit }: FlowServices): void {
  const { issuer, subject } = hot.principal;
  const names = { site: hot.site, idp: hot.idp, issuer, subject, session: publicId };
  audit('login', { request_id: context.requestId, client_ip: clientIp, reason: 'refresh_cookie', ...names });
}

/** What a refresh compares its answer with; everything but the subject is unknown. */
function emptyHot(
  { site, idp, subject, sid, acr, authTime, createdAt, absoluteAt, idleMs }: SavedGrant,
  runtime: IdpRuntime,
): SessionHot {
  const { issuer, scopes } = runtime.idp;
  const nobody = {
    userId: '',
    username: '',
    email: '',
    emailVerified: false,
    name: '',
    roles: [],
    groups: [],
    claims: {},
  };
  const token = { accessToken: '', tokenType: '', tokenIssuedAt: 0, tokenExpiresAt: 0, renewable: true, scopes };
  const times = { createdAt, absoluteAt, idleMs, authTime };
  return { site, idp, sid, acr, principal: { issuer, subject, ...nobody }, indexKeyId: '', ...token, ...times };
}
