import { createHash } from 'node:crypto';
import * as errors from 'jose/errors';
import { decodeJwt } from 'jose/jwt/decode';
import { jwtVerify } from 'jose/jwt/verify';
import * as oauth from 'oauth4webapi';
import type { DpopKey } from '../core/dpop-key.ts';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import type { Claims } from './claims.ts';
import { createProvingFetch, withNonce } from './dpop.ts';
import type { FlowServices } from './flow.ts';
import type { IdpRuntime } from './idp.ts';
import type { RequestOptions } from './idp-metadata.ts';
import { openSignedUserinfo } from './signed-userinfo.ts';
import { callAsClient, checkTokenType, tokenMetadata } from './token-endpoint.ts';

/** Validated result of a code exchange. */
export type TokenSet = {
  readonly accessToken: string;
  readonly tokenType: string;
  /** When it was asked for, ms since the epoch. */
  readonly issuedAt: number;
  /** End of the access token, ms since the epoch. */
  readonly expiresAt: number;
  readonly scopes: readonly string[];
  readonly refreshToken: string | undefined;
  readonly idToken: string | undefined;
  readonly claims: Claims;
  /** Key that the tokens are bound to. */
  readonly dpop: DpopKey | undefined;
};

/** What a code is exchanged with. */
export type CodeExchange = {
  readonly code: string;
  readonly redirectUri: string;
  readonly codeVerifier: string;
  readonly nonce: string;
  readonly maxAgeS: number | undefined;
  /** Key that the tokens are to be bound to. */
  readonly dpop: DpopKey | undefined;
};

/**
 * Exchange an authorization code and validate everything that comes back: token response, ID token claims and
 * signature, `at_hash` (OpenID Connect Core §3.1.3.3 to §3.1.3.8, R-064).
 * @throws callback_invalid for a refused code or an ID token that is not for this login, idp_bad_response for an
 * unusable answer, service_timeout and idp_unavailable as the outbound client says.
 */
export async function exchangeCode(runtime: IdpRuntime, exchange: CodeExchange, now: number): Promise<TokenSet> {
  try {
    const response = await callAsClient(runtime, {
      endpoint: 'token',
      params: {
        grant_type: 'authorization_code',
        code: exchange.code,
        redirect_uri: exchange.redirectUri,
        code_verifier: exchange.codeVerifier,
      },
      dpop: exchange.dpop,
    });
    const result = await oauth.processAuthorizationCodeResponse(tokenMetadata(runtime), runtime.client(), response, {
      expectedNonce: exchange.nonce,
      requireIdToken: true,
      ...(exchange.maxAgeS === undefined ? {} : { maxAge: exchange.maxAgeS }),
    });
    return await readTokenSet(runtime, result, now, exchange.dpop);
  } catch (error) {
    throw classifyTokenError(error);
  }
}

/**
 * Everything of a token answer that oauth4webapi leaves to us: signature and `at_hash` of the ID token, type, audience
 * and form of the tokens.
 * @param result as oauth4webapi processed it, with an ID token.
 * @throws callback_invalid, idp_bad_response, token_audience_mismatch, or what reading the keys throws.
 */
export async function readTokenSet(
  runtime: IdpRuntime,
  result: oauth.TokenEndpointResponse,
  now: number,
  dpop: DpopKey | undefined,
): Promise<TokenSet> {
  const idToken = result.id_token;
  const claims = oauth.getValidatedIdTokenClaims(result);
  if (idToken === undefined || claims === undefined)
    throw new SallyportError('callback_invalid', { detail: 'no ID token' });
  await verifySignature(runtime, idToken, result.access_token, claims, now);
  return { ...readTokens(runtime, result, now, dpop), idToken: checkToken(idToken), claims: checkSubject(claims) };
}

/** The same of an answer without an ID token, whose claims come from UserInfo (OpenID Connect Core §5.3). */
export async function readTokensOfUserinfo(
  runtime: IdpRuntime,
  result: oauth.TokenEndpointResponse,
  now: number,
  dpop: DpopKey | undefined,
): Promise<TokenSet> {
  const tokens = readTokens(runtime, result, now, dpop);
  const claims = await fetchUserinfo(runtime, tokens.accessToken, oauth.skipSubjectCheck, dpop);
  return { ...tokens, idToken: undefined, claims: checkSubject(claims) };
}

function readTokens({ idp }: IdpRuntime, result: oauth.TokenEndpointResponse, now: number, dpop: DpopKey | undefined) {
  checkTokenType(result.token_type, dpop);
  checkAudience(result.access_token, idp.audiences.accept);
  return {
    accessToken: checkToken(result.access_token),
    tokenType: result.token_type,
    issuedAt: now,
    expiresAt: now + (result.expires_in === undefined ? idp.refreshWithoutExpiryMs : result.expires_in * 1000),
    scopes: result.scope === undefined ? idp.scopes : result.scope.split(' ').filter((scope) => scope !== ''),
    refreshToken: result.refresh_token === undefined ? undefined : checkToken(result.refresh_token),
    dpop,
  };
}

/**
 * Ask UserInfo and compare its `sub` (OpenID Connect Core §5.3.4, R-065); a signed answer needs a good signature.
 * @throws as `exchangeCode`
 */
export async function fetchUserinfo(
  runtime: IdpRuntime,
  accessToken: string,
  subject: string | typeof oauth.skipSubjectCheck,
  dpop: DpopKey | undefined,
): Promise<Claims> {
  const metadata = runtime.metadata();
  const client = runtime.client();
  const { requestOptions } = runtime;
  const ask = (options: RequestOptions) => oauth.userInfoRequest(metadata, client, accessToken, options);
  try {
    const response =
      dpop === undefined
        ? await ask(requestOptions)
        : await withNonce(() => {
            const fetch = createProvingFetch({ ...runtime, nonces: runtime.dpopNonces, key: dpop, accessToken });
            return ask({ ...requestOptions, [oauth.customFetch]: fetch });
          });
    return await oauth.processUserInfoResponse(metadata, client, subject, await openSignedUserinfo(runtime, response));
  } catch (error) {
    throw classifyTokenError(error);
  }
}

/**
 * Revoke tokens without anybody waiting (RFC 7009, R-114). Failures are logged; the session is gone already.
 * @param tokens refresh token first: revoking it ends the grant at most providers.
 */
export function revokeInBackground(
  services: Pick<FlowServices, 'log'>,
  runtime: IdpRuntime,
  tokens: readonly (string | undefined)[],
): void {
  const { log } = services;
  if (!runtime.isReady() || runtime.metadata().revocation_endpoint === undefined) return;
  const revoke = async (): Promise<void> => {
    for (const token of tokens) {
      if (token === undefined || token === '') continue;
      await oauth.processRevocationResponse(await callAsClient(runtime, { endpoint: 'revocation', params: { token } }));
    }
  };
  revoke().catch((error: unknown) => log.warn({ err: error, idp: runtime.idp.name }, 'token revocation failed'));
}

/**
 * The signature and `at_hash` of an ID token whose claims oauth4webapi has validated (D-35). Keys come from the pinned
 * JWKS only.
 * @throws callback_invalid, a JOSE error, or what reading the keys throws.
 */
export async function verifySignature(
  runtime: IdpRuntime,
  idToken: string,
  accessToken: string,
  claims: Claims,
  now: number,
): Promise<void> {
  const { protectedHeader } = await jwtVerify(idToken, runtime.keys, {
    algorithms: [...runtime.idp.idTokenAlgs],
    issuer: runtime.idp.issuer,
    audience: runtime.idp.clientId,
    clockTolerance: Math.ceil(runtime.idp.clockSkewMs / 1000),
    currentDate: new Date(now),
  });
  if (Number(claims['iat']) * 1000 > now + runtime.idp.clockSkewMs) {
    throw new SallyportError('callback_invalid', { detail: 'the ID token is from the future' });
  }
  const expected = claims['at_hash'];
  if (expected !== undefined && expected !== accessTokenHash(accessToken, protectedHeader.alg)) {
    throw new SallyportError('callback_invalid', { detail: 'at_hash does not fit the access token' });
  }
}

/** OpenID Connect Core §2: at most 255 ASCII characters. An empty one would be the same user for everybody. */
function checkSubject(claims: Claims): Claims {
  const { sub } = claims;
  if (typeof sub === 'string' && /^[\x20-\x7e]{1,255}$/.test(sub)) return claims;
  throw new SallyportError('idp_bad_response', { detail: 'sub is empty, too long or not ASCII' });
}

/** Left half of the hash that the signature algorithm names (OpenID Connect Core §3.1.3.6). */
function accessTokenHash(accessToken: string, alg: string): string {
  const bits = alg === 'EdDSA' || alg === 'Ed25519' ? '512' : alg.slice(-3);
  const digest = createHash(`sha${bits}`).update(accessToken).digest();
  return digest.subarray(0, digest.length / 2).toString('base64url');
}

/**
 * A JWT access token must be meant for one of `audiences.accept`, where the configuration names any (SPEC §2.6). An
 * opaque one cannot be judged.
 * @throws token_audience_mismatch
 */
export function checkAudience(accessToken: string, accept: readonly string[]): void {
  if (accept.length === 0 || accessToken.split('.').length !== 3) return;
  const received = readAudience(accessToken);
  if (received === undefined || received.some((audience) => accept.includes(audience))) return;
  const list = received.map((audience) => audience.slice(0, 200)).join(' ');
  throw new SallyportError('token_audience_mismatch', { detail: `expected ${accept.join(' ')}, received ${list}` });
}

/** Undefined where the text is no JWT after all. */
function readAudience(accessToken: string): readonly string[] | undefined {
  try {
    const { aud = [] } = decodeJwt(accessToken);
    return typeof aud === 'string' ? [aud] : aud;
  } catch {
    return undefined;
  }
}

/**
 * RFC 6749 Appendix A.12: visible ASCII; anything else could break a header. Bounded by R-013.
 * @throws idp_bad_response
 */
export function checkToken(token: string): string {
  if (token.length > LIMITS.tokenMaxChars || !/^[\x20-\x7e]+$/.test(token)) {
    throw new SallyportError('idp_bad_response', { detail: 'a token is too long or holds odd characters' });
  }
  return token;
}

/** Our error for a failed token call, by class and code only (ARCHITECTURE §5): texts of the provider stay out. */
export function classifyTokenError(error: unknown): Error {
  if (isSallyportError(error)) return error;
  if (error instanceof oauth.ResponseBodyError) {
    const detail = `the provider answered ${error.status} ${safeCode(error.error)}`;
    if (error.error === 'invalid_grant') return new SallyportError('callback_invalid', { detail });
    if (error.status >= 500) return new SallyportError('idp_unavailable', { detail, retryAfterS: 5 });
    return new SallyportError('idp_bad_response', { detail });
  }
  if (error instanceof errors.JOSEError) {
    return new SallyportError('callback_invalid', { detail: `ID token refused: ${error.code}` });
  }
  if (error instanceof oauth.OperationProcessingError) {
    return new SallyportError(codeOfProcessing(error), {
      detail: `answer refused: ${error.code ?? error.name}`,
      cause: withoutCause(error),
    });
  }
  if (error instanceof oauth.UnsupportedOperationError || error instanceof oauth.WWWAuthenticateChallengeError) {
    return new SallyportError('idp_bad_response', { detail: error.code });
  }
  return error instanceof Error ? error : new TypeError('a non-error was thrown');
}

/** Claim checks mean a wrong login; everything else that does not parse is the provider's fault. */
function codeOfProcessing(error: oauth.OperationProcessingError): 'callback_invalid' | 'idp_bad_response' {
  return error.code === oauth.JWT_CLAIM_COMPARISON || error.code === oauth.JWT_TIMESTAMP_CHECK
    ? 'callback_invalid'
    : 'idp_bad_response';
}

/** The library hangs claims and bodies on `cause`: they must not reach a log. */
function withoutCause(error: Error): Error {
  const plain = new Error(error.message);
  plain.name = error.name;
  return plain;
}

/** RFC 6749 §5.2 error codes are NQSCHAR; longer or odder text is not repeated. */
export function safeCode(text: string): string {
  return /^[A-Za-z0-9_.-]{1,64}$/.test(text) ? text : 'an unreadable error code';
}
