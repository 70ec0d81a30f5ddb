import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import * as errors from 'jose/errors';
import { jwtVerify } from 'jose/jwt/verify';
import { type FormProblem, type JsonObject, readTokenForm, type TokenForm } from './bearer-form.ts';
import type { BearerIssuer } from './config/types-bearer.ts';
import { isSallyportError, SallyportError } from './errors.ts';
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
};

/** A token that may be worth a signature check: its form is right and it names an issuer of ours. */
export type Candidate = { readonly form: TokenForm; readonly issuer: BearerIssuerRuntime };

type Reason =
  | FormProblem
  | 'issuer'
  | 'alg'
  | 'typ'
  | 'key'
  | 'signature'
  | 'expired'
  | 'not_yet_valid'
  | 'audience'
  | 'claims'
  | 'sender_constrained'
  | 'inactive'
  | 'scope';

/** Public sentences (RFC 6750 §3 `error_description`): no quote, no backslash, nothing from the token. */
const DESCRIPTIONS: Readonly<Record<Reason, string>> = {
  size: 'The token is too long',
  parts: 'The token is not a compact JWS of three parts',
  base64url: 'The token is not base64url',
  json: 'The token does not hold JSON objects',
  duplicate_member: 'The token names a member twice',
  crit: 'The token demands an extension',
  kid: 'The token names a malformed key id',
  issuer: 'The token is of another issuer',
  alg: 'The token is signed with an algorithm that is not accepted',
  typ: 'The token is not an access token',
  key: 'The token is signed with an unknown key',
  signature: 'The signature is wrong',
  expired: 'The token expired',
  not_yet_valid: 'The token is not valid yet',
  audience: 'The token is meant for somebody else',
  claims: 'The token lacks a claim or holds a malformed one',
  sender_constrained: 'The token is bound to a key or certificate and cannot be used as Bearer',
  inactive: 'The token is not active',
  scope: 'The token lacks a scope',
};

const REFUSALS = compileRefusals();

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
  return { hot, endsAt: hot.tokenExpiresAt + settings.clockSkewMs };
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
  // without its proof or certificate such a token is a stolen one. Inbound proofs are not accepted yet (D-36).
  if (Object.hasOwn(payload, 'cnf')) return 'sender_constrained';
  if (typeof sub !== 'string' || sub === '' || hasControl(sub)) return 'claims';
  if (!Number.isFinite(exp) || (nbf !== undefined && !Number.isFinite(nbf))) return 'claims';
  if (iat === undefined) return undefined;
  if (!Number.isFinite(iat)) return 'claims';
  return iat > latestS ? 'not_yet_valid' : undefined;
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
    tokenType: 'Bearer',
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

function compileRefusals(): Readonly<Record<Reason, BearerRefusal>> {
  const entries = Object.entries(DESCRIPTIONS).map(([reason, description]): [string, BearerRefusal] => [
    reason,
    {
      kind: 'refused',
      code: reason === 'scope' ? 'access_denied' : 'invalid_token',
      reason: `bearer_${reason}`,
      description,
      // A key may be published, a time may come: a later look can end otherwise.
      isLasting: reason !== 'key' && reason !== 'not_yet_valid',
    },
  ]);
  return Object.fromEntries(entries) as Record<Reason, BearerRefusal>;
}
