import type { JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from 'jose';
import * as errors from 'jose/errors';
import { jwtVerify } from 'jose/jwt/verify';
import { findClaimProblem, findThumbprint, readScopes } from './bearer-claims.ts';
import { REFUSALS, type Reason } from './bearer-refusals.ts';
import type { BearerIssuer } from './config/types-bearer.ts';
import { isSallyportError, SallyportError } from './errors.ts';
import type { JsonObject } from './json-object.ts';
import type { BearerRefusal } from './services.ts';
import type { Principal, SessionHot } from './session.ts';

/**
 * Asks the provider about a token (RFC 7662 §2); the answer's members as they are, `active` a boolean.
 * @throws idp_unavailable if the provider cannot be asked: an outage refuses nobody's token.
 */
export type Introspect = (token: string) => Promise<JsonObject>;

/** An issuer of bearer tokens at run time. */
export type BearerIssuerRuntime = {
  readonly settings: BearerIssuer;
  /**
   * Keys of the pinned provider and of nobody else.
   * @throws SallyportError, now or by rejection, if the provider's keys cannot be had.
   */
  readonly keys: JWTVerifyGetKey;
  /** How long the provider's keys are believed without a new look, and with them a validated token, ms. */
  readonly keysMaxAgeMs: number;
  /** Ask the provider about each token as well (RFC 7662); absent = `introspection` is off. */
  readonly introspect?: Introspect;
  /** Maps the claims of a validated token (D-28). */
  principalOf(claims: JsonObject): Principal;
};

/** What a valid token says about its bearer, in the shape that sessions have. */
export type ValidToken = {
  readonly hot: SessionHot;
  /** Its end with the tolerated skew, ms since the epoch. */
  readonly endsAt: number;
  /** Thumbprint of the key that it is bound to; empty = none. */
  readonly thumbprint: string;
};

/** The refusal for a reason. */
export function refusalOf(reason: Reason): BearerRefusal {
  return REFUSALS[reason];
}

/**
 * Validate signature and claims (RFC 9068 §4, RFC 7519 §4.1).
 * @param now ms since the epoch.
 * @throws idp_unavailable if the keys cannot be had: an outage refuses nobody's token.
 */
export async function validateToken(
  token: string,
  issuer: BearerIssuerRuntime,
  now: number,
): Promise<ValidToken | BearerRefusal> {
  const { settings, keys } = issuer;
  let payload: JWTPayload;
  try {
    const verified = await jwtVerify(token, keys, validationOptions(settings, now));
    payload = verified.payload;
  } catch (error) {
    return REFUSALS[reasonOf(error)];
  }
  const problem = findClaimProblem(payload, settings, now);
  if (problem !== undefined) return REFUSALS[problem];
  const scopes = readScopes(payload) ?? [];
  if (!settings.requiredScopes.every((scope) => scopes.includes(scope))) return REFUSALS.scope;
  const hot = hotOfClaims({ token, claims: payload, scopes, issuer, expiresAt: Number(payload.exp) * 1000, now });
  return { hot, endsAt: hot.tokenExpiresAt + settings.clockSkewMs, thumbprint: findThumbprint(payload['cnf']) };
}

/** What `jose` has to look at. @param now ms since the epoch */
export function validationOptions(settings: BearerIssuer, now: number): JWTVerifyOptions {
  return {
    algorithms: [...settings.algs],
    issuer: settings.issuer,
    audience: [...settings.audiences],
    requiredClaims: ['sub', 'exp'],
    clockTolerance: settings.clockSkewMs / 1000,
    currentDate: new Date(now),
  };
}

/** By type and claim name only. What is left says that the key cannot be used for this: too short, of another kind. */
function reasonOf(error: unknown): Reason {
  if (isSallyportError(error)) {
    const { detail = error.code } = error;
    throw new SallyportError('idp_unavailable', { detail, cause: error, retryAfterS: error.retryAfterS ?? 5 });
  }
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed) return claimReason(error);
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (error instanceof errors.JOSEError || error instanceof TypeError) return 'key';
  throw error;
}

function claimReason({ claim, reason }: errors.JWTClaimValidationFailed): Reason {
  // `missing` and `invalid` are matters of form.
  if (reason !== 'check_failed') return 'claims';
  if (claim === 'aud') return 'audience';
  if (claim === 'iss') return 'issuer';
  return claim === 'nbf' ? 'not_yet_valid' : 'claims';
}

/** What a caller's validated claims come to. */
export type BearerClaims = {
  readonly token: string;
  readonly claims: JsonObject;
  readonly scopes: readonly string[];
  readonly issuer: BearerIssuerRuntime;
  /** ms since the epoch. */
  readonly expiresAt: number;
  readonly now: number;
};

/** A caller in the shape of a session's hot part; it ends with its token. */
export function hotOfClaims({ token, claims, scopes, issuer, expiresAt, now }: BearerClaims): SessionHot {
  const { acr, auth_time: authTimeS } = claims;
  const { settings } = issuer;
  return {
    site: '',
    idp: settings.provider,
    principal: { ...issuer.principalOf(claims), issuer: settings.issuer },
    accessToken: token,
    tokenType: findThumbprint(claims['cnf']) === '' ? 'Bearer' : 'DPoP',
    tokenIssuedAt: now,
    tokenExpiresAt: expiresAt,
    renewable: false,
    scopes,
    sid: undefined,
    acr: typeof acr === 'string' ? acr : undefined,
    authTime: typeof authTimeS === 'number' ? authTimeS * 1000 : undefined,
    createdAt: now,
    idleMs: 0,
    absoluteAt: expiresAt,
    indexKeyId: '',
  };
}
