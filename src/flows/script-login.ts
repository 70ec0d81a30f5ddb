import { secondsUntil } from '../core/clock.ts';
import { SallyportError } from '../core/errors.ts';
import { isJsonObject, type JsonObject } from '../core/json-object.ts';
import type { Reply } from '../core/problem.ts';
import {
  type FlowRequest,
  type FlowServices,
  findSession,
  getIdp,
  hasMediaType,
  newSessionCookies,
  tokenCookieHeaders,
} from './flow.ts';
import { openSession, replaceSession } from './new-session.ts';
import { exposedUser } from './session-info.ts';
import type { TokenSet } from './tokens.ts';

/** A sign-in that a script or program drives, instead of a person's navigation (SPEC §12). */
export type ScriptLogin = {
  readonly idpName: string;
  /** Which of them, for the audit. */
  readonly kind: 'direct_grant' | 'spa_callback';
  /** Whether the answer holds the access token. */
  readonly returnToken: boolean;
  /** Ask the provider. @throws SallyportError */
  exchange(now: number): Promise<TokenSet>;
};

/**
 * Ask the provider and answer with a new session: 200 `{authenticated, user}` and its cookie; the session that the
 * browser had before ends. Failures are counted and audited as those of the other sign-in.
 */
export async function signInByScript(request: FlowRequest, login: ScriptLogin, services: FlowServices): Promise<Reply> {
  const { context, site } = request;
  const { metrics, audit, clock, replies } = services;
  const { idpName: idp, kind } = login;
  try {
    const startedAt = clock.now();
    const tokens = await login.exchange(startedAt);
    const { handle, session } = await openSession(request, getIdp(services, idp), tokens, startedAt, services);
    const current = (await findSession(request, services, false))?.session;
    if (current !== undefined) await replaceSession(current, services);
    metrics.logins.inc({ idp, outcome: 'ok' });
    const expiresIn = secondsUntil(tokens.expiresAt, clock.now());
    const token = login.returnToken ? { access_token: tokens.accessToken, expires_in: expiresIn } : {};
    const body = { authenticated: true, user: exposedUser(session, services), ...token };
    return replies.json(context, site, 200, body, [
      ...newSessionCookies(services, site, handle),
      ...tokenCookieHeaders(request, session, tokens.refreshToken, services),
    ]);
  } catch (error) {
    if (!(error instanceof SallyportError)) throw error;
    metrics.logins.inc({ idp, outcome: error.code });
    audit('login_failed', {
      request_id: context.requestId,
      idp,
      site: site.site.name,
      client_ip: request.clientIp,
      reason: `${kind}: ${error.detail ?? error.code}`,
    });
    throw error;
  }
}

/**
 * The members of a JSON body. Only `application/json`: a foreign page cannot send that without a preflight.
 * @throws bad_request
 */
export function readJsonObject({ context, body }: FlowRequest): JsonObject {
  if (!hasMediaType(context, 'application/json')) {
    throw new SallyportError('bad_request', {
      detail: 'not application/json',
      publicDetail: 'Send a JSON object, with Content-Type: application/json.',
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // The parser's message would repeat a part of the body.
    value = undefined;
  }
  if (isJsonObject(value)) return value;
  throw new SallyportError('bad_request', { detail: 'no JSON object' });
}
