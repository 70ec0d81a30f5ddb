import * as oauth from 'oauth4webapi';
import { addressGroup } from '../core/address.ts';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import { originProblem } from '../core/origin.ts';
import type { Reply } from '../core/problem.ts';
import { spend } from '../core/rate-limit.ts';
import { type FlowRequest, type FlowServices, getIdp } from './flow.ts';
import type { IdpRuntime } from './idp.ts';
import { readJsonObject, signInByScript } from './script-login.ts';
import { callAsClient, dpopKeyFor, tokenMetadata } from './token-endpoint.ts';
import { classifyTokenError, readTokenSet, readTokensOfUserinfo, type TokenSet } from './tokens.ts';

type Credentials = { readonly username: string; readonly password: string };

/**
 * `POST /auth/login` (SPEC §12): sign in with user name and password by the Resource Owner Password Credentials grant
 * (RFC 6749 §4.3), where the configuration turns it on. Attempts are counted for the address and for the user name.
 * @throws csrf_failed for a foreign origin, bad_request, rate_limited, authentication_required whichever half was wrong,
 * login_denied, idp_unavailable, idp_bad_response, store_unavailable.
 */
export async function signInWithPassword(request: FlowRequest, services: FlowServices): Promise<Reply> {
  const { context, site, clientIp } = request;
  // Programs send none of what browsers send with every POST.
  const problem = originProblem(context, site, 'allow');
  if (problem !== undefined) throw new SallyportError('csrf_failed', { detail: problem });
  const credentials = readCredentials(request);
  const { loginLimit, directGrant } = services;
  if (directGrant === undefined) throw new TypeError('the direct access grant is off');
  const idpName = site.site.idp;
  const address = `address ${addressGroup(clientIp)}`;
  if (loginLimit !== undefined) await spend(loginLimit, address, 'login');
  await spend(directGrant.limit, address, 'direct grant: address');
  await spend(directGrant.limit, `user ${idpName} ${foldUsername(credentials.username)}`, 'direct grant: user');
  const runtime = getIdp(services, idpName);
  const { returnToken } = directGrant;
  const exchange = (now: number): Promise<TokenSet> => requestTokens(runtime, credentials, now);
  return signInByScript(request, { idpName, kind: 'direct_grant', returnToken, exchange }, services);
}

/** Exactly one of `username` and `email`, and `password`. */
function readCredentials(request: FlowRequest): Credentials {
  const { username, email, password } = readJsonObject(request);
  const name = username ?? email;
  const isClear = username === undefined || email === undefined;
  if (isClear && isText(name, LIMITS.usernameMaxChars) && isText(password, LIMITS.passwordMaxChars)) {
    return { username: name, password };
  }
  throw new SallyportError('bad_request', {
    detail: 'credentials malformed',
    publicDetail: 'Send "username" or "email", and "password", as texts.',
  });
}

function isText(value: unknown, maxChars: number): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= maxChars &&
    value.isWellFormed() &&
    !/[\0\r\n]/.test(value)
  );
}

/** Spellings that a provider takes for one user are counted as one (Authelia CVE-2025-24806). */
function foldUsername(username: string): string {
  return username.normalize('NFKC').trim().toLowerCase();
}

async function requestTokens(runtime: IdpRuntime, { username, password }: Credentials, now: number): Promise<TokenSet> {
  const { scopes } = runtime.idp;
  const dpop = dpopKeyFor(runtime);
  try {
    const params = { grant_type: 'password', username, password, scope: scopes.join(' ') };
    const response = await callAsClient(runtime, { endpoint: 'token', params, dpop });
    const result = await oauth.processGenericTokenEndpointResponse(tokenMetadata(runtime), runtime.client(), response);
    if (result.id_token !== undefined) return await readTokenSet(runtime, result, now, dpop);
    return await readTokensOfUserinfo(runtime, result, now, dpop);
  } catch (error) {
    throw classifyGrantError(error);
  }
}

/** One answer for an unknown user, a wrong password and an account that is locked (RFC 6749 §5.2 `invalid_grant`). */
function classifyGrantError(error: unknown): Error {
  if (error instanceof oauth.ResponseBodyError && error.error === 'invalid_grant') {
    return new SallyportError('authentication_required', {
      detail: 'the provider refused the credentials',
      publicDetail: 'The user name or the password is not right.',
    });
  }
  const classified = classifyTokenError(error);
  // There is no sign-in under way whose answer could be refused: what does not fit is the provider's fault.
  if (!isSallyportError(classified) || classified.code !== 'callback_invalid') return classified;
  return new SallyportError('idp_bad_response', { detail: classified.detail ?? 'ID token', cause: classified.cause });
}
