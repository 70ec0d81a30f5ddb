import { decodeJwt } from 'jose/jwt/decode';
import * as oauth from 'oauth4webapi';
import { createDpopKey, type DpopKey } from '../core/dpop-key.ts';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import type { Principal, SessionCold, SessionHot } from '../core/session.ts';
import { readPrincipal } from './access-token-claims.ts';
import type { Claims } from './claims.ts';
import type { IdpRuntime } from './idp.ts';
import { callAsClient, checkTokenType, tokenMetadata } from './token-endpoint.ts';
import { checkAudience, checkToken, classifyTokenError, fetchUserinfo, verifySignature } from './tokens.ts';

/** What came of sending a refresh token (RFC 6749 §6). */
export type GrantAnswer =
  /** The provider gave tokens. The refresh token to use from now on is known before anything else is read. */
  | { readonly kind: 'granted'; readonly refreshToken: string; read(): Promise<RefreshedTokens> }
  /** `invalid_grant`: this refresh token is of no use any more. */
  | { readonly kind: 'refused' }
  /**
   * No answer, or none that says anything about the refresh token. `mayRepeat`: the connection broke, which is common
   * when an idle one is used again; everything else is left to the back-off.
   */
  | { readonly kind: 'failed'; readonly error: Error; readonly mayRepeat: boolean };

/** What a refresh puts into the record. */
export type RefreshedTokens = Pick<
  SessionHot,
  'accessToken' | 'tokenType' | 'tokenIssuedAt' | 'tokenExpiresAt' | 'scopes' | 'principal' | 'acr'
> & { readonly idToken: string | undefined };

/** The record's part in a refresh. */
export type GrantBasis = { readonly hot: SessionHot; readonly cold: SessionCold };

/** Sends a refresh token once; never throws. */
export type Grant = (basis: GrantBasis, refreshToken: string, now: number) => Promise<GrantAnswer>;

/** Codes of a connection that broke under a request. */
const BROKEN: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** The grant of one provider, through oauth4webapi. */
export function createGrant(runtime: IdpRuntime): Grant {
  return async (basis, refreshToken, now) => {
    const answer = await spendRefreshToken(runtime, basis, refreshToken, {});
    if (answer.kind === 'refused') return answer;
    if (answer.kind === 'failed') return { ...answer, error: classifyTokenError(answer.error) };
    const { response, refreshToken: next } = answer;
    return { kind: 'granted', refreshToken: next, read: () => readTokens(runtime, basis, response, now) };
  };
}

/** What came of sending a refresh token, its answer not read yet. */
export type SpendAnswer =
  | { readonly kind: 'granted'; readonly refreshToken: string; readonly response: Response }
  | { readonly kind: 'refused' }
  /** `error` as it was thrown. */
  | { readonly kind: 'failed'; readonly error: unknown; readonly mayRepeat: boolean };

/**
 * Send a refresh token once; never throws.
 * @param parameters which token is wanted, where it is not the session's own (RFC 8707 §2.2).
 */
export async function spendRefreshToken(
  runtime: IdpRuntime,
  basis: GrantBasis,
  refreshToken: string,
  parameters: Readonly<Record<string, string>>,
): Promise<SpendAnswer> {
  try {
    const params = { ...parameters, grant_type: 'refresh_token', refresh_token: refreshToken };
    const response = await callAsClient(runtime, { endpoint: 'token', params, dpop: keyOf(basis) });
    const rotated = response.status === 200 ? await findRefreshToken(response.clone()) : undefined;
    if (response.status !== 200) return await readRefusal(runtime, response);
    return { kind: 'granted', refreshToken: rotated ?? refreshToken, response };
  } catch (error) {
    return { kind: 'failed', error, mayRepeat: isBroken(error) };
  }
}

/** The new refresh token of an answer, whatever else is wrong with it: the old one may be spent already. */
async function findRefreshToken(response: Response): Promise<string | undefined> {
  try {
    const { refresh_token: token } = (await response.json()) as { refresh_token?: unknown };
    return typeof token === 'string' ? checkToken(token) : undefined;
  } catch {
    // Not JSON, or no usable token: reading the answer says what is wrong with it.
    return undefined;
  }
}

async function readRefusal(runtime: IdpRuntime, response: Response): Promise<SpendAnswer> {
  try {
    await oauth.processRefreshTokenResponse(runtime.metadata(), runtime.client(), response);
    throw new SallyportError('idp_bad_response', { detail: `the token endpoint answered ${response.status}` });
  } catch (error) {
    if (error instanceof oauth.ResponseBodyError && error.error === 'invalid_grant') return { kind: 'refused' };
    return { kind: 'failed', error, mayRepeat: false };
  }
}

/**
 * Validate what came back. A new ID token must speak of the same user (OpenID Connect Core §12.2, R-103) and gives the
 * claims anew (D-28); where none comes, those of the last one are read again together with UserInfo.
 * @throws SubjectChangedError if it speaks of somebody else; else as `exchangeCode`, and nothing of it is to be used.
 */
async function readTokens(
  runtime: IdpRuntime,
  { hot, cold }: GrantBasis,
  response: Response,
  now: number,
): Promise<RefreshedTokens> {
  const { idp } = runtime;
  try {
    const result = await oauth.processRefreshTokenResponse(tokenMetadata(runtime), runtime.client(), response);
    checkTokenType(result.token_type, keyOf({ hot, cold }));
    const accessToken = checkToken(result.access_token);
    checkAudience(accessToken, idp.audiences.accept);
    const idToken = result.id_token === undefined ? undefined : checkToken(result.id_token);
    const claims = oauth.getValidatedIdTokenClaims(result);
    if (claims !== undefined && claims.sub !== hot.principal.subject) throw new SubjectChangedError();
    const isKnown = idToken === undefined || (await isSigned(runtime, idToken, accessToken, claims ?? {}, now));
    const trusted = isKnown ? claims : undefined;
    return {
      accessToken,
      tokenType: result.token_type,
      tokenIssuedAt: now,
      tokenExpiresAt: now + (result.expires_in === undefined ? idp.refreshWithoutExpiryMs : result.expires_in * 1000),
      scopes: result.scope === undefined ? hot.scopes : result.scope.split(' ').filter((scope) => scope !== ''),
      principal: await principalNow(runtime, { hot, cold }, trusted ?? lastClaims(cold), accessToken),
      acr: typeof trusted?.['acr'] === 'string' && trusted['acr'] !== '' ? trusted['acr'] : hot.acr,
      idToken: isKnown ? idToken : undefined,
    };
  } catch (error) {
    if (error instanceof SubjectChangedError) throw error;
    throw classifyTokenError(error);
  }
}

/**
 * False where the provider's keys cannot be had now: the tokens are good, having come from the provider itself, and the
 * claims stay as they were.
 */
async function isSigned(
  runtime: IdpRuntime,
  idToken: string,
  accessToken: string,
  claims: Claims,
  now: number,
): Promise<boolean> {
  try {
    await verifySignature(runtime, idToken, accessToken, claims, now);
    return true;
  } catch (error) {
    if (isAway(error)) return false;
    throw error;
  }
}

/** Claims as the provider tells them now; an outage of UserInfo or keys leaves them as they were. */
async function principalNow(
  runtime: IdpRuntime,
  basis: GrantBasis,
  claims: Claims | undefined,
  accessToken: string,
): Promise<Principal> {
  const last = basis.hot.principal;
  if (claims === undefined) return last;
  const ask = runtime.idp.userinfo;
  try {
    const userinfo = ask ? await fetchUserinfo(runtime, accessToken, last.subject, keyOf(basis)) : undefined;
    return await readPrincipal(runtime, claims, userinfo, accessToken);
  } catch (error) {
    if (isAway(error)) return last;
    throw error;
  }
}

/** The key that the session's tokens are bound to, whatever the configuration says by now. */
function keyOf({ cold: { dpopKey } }: GrantBasis): DpopKey | undefined {
  return dpopKey === undefined ? undefined : createDpopKey(dpopKey);
}

/** Our own copy, validated when it came. */
function lastClaims({ idToken }: SessionCold): Claims | undefined {
  return idToken === undefined ? undefined : decodeJwt(idToken);
}

/** The answer speaks of another user than the session: no session may change hands. */
export class SubjectChangedError extends Error {
  constructor() {
    super('the provider answered for another subject');
    this.name = 'SubjectChangedError';
  }
}

function isAway(error: unknown): boolean {
  return isSallyportError(error) && (error.code === 'idp_unavailable' || error.code === 'service_timeout');
}

/** True for a connection that broke under a request. */
export function isBroken(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as Error & { code?: unknown };
    if (typeof code === 'string' && BROKEN.has(code)) return true;
  }
  return false;
}
