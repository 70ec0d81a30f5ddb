import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import * as errors from 'jose/errors';
import { jwtVerify } from 'jose/jwt/verify';
import { readTokenForm, type TokenForm } from './bearer-form.ts';
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

/** A token that may be worth a signature check: its form is right and it names an issuer of ours. */
export type Candidate = { readonly form: TokenForm; readonly issuer: BearerIssuerRuntime };

/**
 * Everything about a token that can be told without cryptography: form, issuer, `alg` allow-list (never `none` or an
 * HMAC: the schema knows none), `typ` (R-087, RFC 9068 §4). Never throws.
 */
export function selectCandidate(
  token: string,
  issuers: ReadonlyMap<unknown, BearerIssuerRuntime>,
): Candidate | BearerRefusal {
  const form = readTokenForm(token);
  if (typeof form === 'string') return REFUSALS[form];
  const issuer = issuers.get(form.payload['iss']);
  if (issuer === undefined) return REFUSALS.issuer;
  const { alg, typ } = form.header;
  if (typeof alg !== 'string' || !issuer.settings.algs.includes(alg)) return REFUSALS.alg;
  if (typeof typ !== 'string' || !issuer.settings.types.includes(mediaSubtype(typ))) return REFUSALS.typ;
  return { form, issuer };
}

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
  const skewS = settings.clockSkewMs / 1000;
  let payload: JWTPayload;
  try {
    const verified = await jwtVerify(token, keys, {
      algorithms: [...settings.algs],
      issuer: settings.issuer,
      audience: [...settings.audiences],
      requiredClaims: ['sub', 'exp'],
      clockTolerance: skewS,
      currentDate: new Date(now),
    });
    payload = verified.payload;
  } catch (error) {
    return REFUSALS[reasonOf(error)];
  }
  const problem = claimProblem(payload, now / 1000 + skewS);
  if (problem !== undefined) return REFUSALS[problem];
  const scopes = readScopes(payload);
  if (scopes === undefined) return REFUSALS.claims;
  if (!settings.requiredScopes.every((scope) => scopes.includes(scope))) return REFUSALS.scope;
  const hot = hotOfClaims({ token, claims: payload, scopes, issuer, expiresAt: Number(payload.exp) * 1000, now });
  return { hot, endsAt: hot.tokenExpiresAt + settings.clockSkewMs, thumbprint: findThumbprint(payload['cnf']) };
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

/** What jose leaves to us. */
function claimProblem(payload: JWTPayload, latestS: number): Reason | undefined {
  const { sub, exp, nbf, iat } = payload;
  // without its certificate such a token is a stolen one, and what else a token may be bound to is unknown.
  if (Object.hasOwn(payload, 'cnf') && findThumbprint(payload['cnf']) === '') return 'sender_constrained';
  if (typeof sub !== 'string' || sub === '' || hasControl(sub)) return 'claims';
  if (!Number.isFinite(exp) || (nbf !== undefined && !Number.isFinite(nbf))) return 'claims';
  if (iat === undefined) return undefined;
  if (!Number.isFinite(iat)) return 'claims';
  return iat > latestS ? 'not_yet_valid' : undefined;
}

/** The key that a token is bound to (RFC 9449 §6.1); empty = none, or something besides that is not checked here. */
export function findThumbprint(cnf: unknown): string {
  if (typeof cnf !== 'object' || cnf === null || Object.keys(cnf).length !== 1) return '';
  const { jkt } = cnf as { jkt?: unknown };
  return typeof jkt === 'string' && /^[A-Za-z0-9_-]{43}$/.test(jkt) ? jkt : '';
}

/** `scope` (RFC 9068 §2.2.3) or the `scp` of some providers: blanks between, or a list. Undefined if malformed. */
export function readScopes(payload: JsonObject): readonly string[] | undefined {
  const value = payload['scope'] ?? payload['scp'] ?? '';
  if (typeof value === 'string') return value.split(' ').filter((scope) => scope !== '');
  return Array.isArray(value) && value.every((scope) => typeof scope === 'string') ? value : undefined;
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

/** `typ` is a media type whose `application/` may be left out, compared without case (RFC 7515 §4.1.9). */
function mediaSubtype(typ: string): string {
  const lower = typ.toLowerCase();
  return lower.startsWith('application/') ? lower.slice('application/'.length) : lower;
}

function hasControl(text: string): boolean {
  return /[\x00-\x1f\x7f-\x9f]/.test(text);
}
