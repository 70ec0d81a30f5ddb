import * as errors from 'jose/errors';
import { jwtVerify } from 'jose/jwt/verify';
import { type FormProblem, readTokenForm } from '../core/bearer-form.ts';
import { createBearerKeys } from '../core/bearer-keys.ts';
import type { Clock } from '../core/clock.ts';
import { sha256Base64url } from '../core/crypto.ts';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import { isJsonObject, type JsonObject } from '../core/json-object.ts';
import type { IdpRuntime } from './idp.ts';

/** What a valid logout token says. */
export type LogoutToken = {
  readonly idp: string;
  readonly issuer: string;
  /** The session that ended at the provider; undefined = every session of `subject` did. */
  readonly sid: string | undefined;
  readonly subject: string | undefined;
  /** Hash of issuer and `jti`: names the token for replay checks. */
  readonly id: string;
  /** Its end with the tolerated skew, ms since the epoch. */
  readonly endsAt: number;
};

type Reason =
  | FormProblem
  | 'issuer'
  | 'alg'
  | 'typ'
  | 'audience'
  | 'events'
  | 'nonce'
  | 'who'
  | 'jti'
  | 'times'
  | 'expired'
  | 'future'
  | 'key'
  | 'signature';

/** Why a token was refused; `sentence` holds nothing of the token. */
export type LogoutTokenRefusal = { readonly reason: Reason; readonly sentence: string };

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
/** Longest `sid` and `jti`. */
const NAME_MAX_CHARS = 512;
/** Longest life: the `jti` is remembered until the end. Providers give two minutes. */
const LIFE_MAX_S = 86_400;

const SENTENCES: Readonly<Record<Reason, string>> = {
  size: 'it is too long',
  parts: 'it is not a compact JWS of three parts',
  base64url: 'it is not base64url',
  json: 'it does not hold JSON objects',
  duplicate_member: 'it names a member twice',
  crit: 'it demands an extension',
  kid: 'it names a malformed key id',
  issuer: 'it is of no issuer whose logout tokens are accepted here',
  alg: 'it is signed with an algorithm that is not accepted',
  typ: 'its typ is not logout+jwt',
  audience: 'it is meant for another client',
  events: 'it lacks the back-channel logout event',
  nonce: 'it holds a nonce',
  who: 'it names neither a usable sid nor a usable sub',
  jti: 'it has no usable jti',
  times: 'it has no usable iat and exp',
  expired: 'it expired',
  future: 'it is from the future',
  key: 'it is signed with an unknown key',
  signature: 'the signature is wrong',
};

/**
 * Make the check of logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6; R-116). Everything that needs no
 * cryptography is judged first, so that a stranger's token costs nothing; the provider is the one that `iss` names, and
 * keys come from its JWKS alone. `typ` must be `logout+jwt` (ASVS 10.5.5), `alg` one of the provider's `id_token_algs`.
 * @param idps providers whose tokens are accepted; of several with one issuer `aud` decides.
 * @returns refusals as values. Rejects with idp_unavailable if the keys cannot be had: never a wrong token.
 */
export function createLogoutTokenCheck(
  idps: readonly IdpRuntime[],
  clock: Clock,
): (token: string) => Promise<LogoutToken | LogoutTokenRefusal> {
  const clients = idps.map((runtime) => ({ idp: runtime.idp, keys: createBearerKeys(runtime.keys, clock) }));
  return async (token) => {
    const form = readTokenForm(token);
    if (typeof form === 'string') return refuse(form);
    const { header, payload } = form;
    const ofIssuer = clients.filter(({ idp }) => idp.issuer === payload['iss']);
    if (ofIssuer.length === 0) return refuse('issuer');
    const client = ofIssuer.find(({ idp }) => isFor(payload['aud'], idp.clientId));
    if (client === undefined) return refuse('audience');
    const { idp, keys } = client;
    if (typeof header['alg'] !== 'string' || !idp.idTokenAlgs.includes(header['alg'])) return refuse('alg');
    if (!isLogoutType(header['typ'])) return refuse('typ');
    const now = clock.now();
    const problem = claimProblem(payload, now / 1000, idp.clockSkewMs / 1000);
    if (problem !== undefined) return refuse(problem);
    try {
      await jwtVerify(token, keys, {
        algorithms: [...idp.idTokenAlgs],
        issuer: idp.issuer,
        audience: idp.clientId,
        typ: 'logout+jwt',
        clockTolerance: idp.clockSkewMs / 1000,
        currentDate: new Date(now),
      });
    } catch (error) {
      return refuse(signatureReason(error));
    }
    return {
      idp: idp.name,
      issuer: idp.issuer,
      sid: payload['sid'] as string | undefined,
      subject: payload['sub'] as string | undefined,
      id: sha256Base64url(JSON.stringify([idp.issuer, payload['jti']])),
      endsAt: Number(payload['exp']) * 1000 + idp.clockSkewMs,
    };
  };
}

function refuse(reason: Reason): LogoutTokenRefusal {
  return { reason, sentence: SENTENCES[reason] };
}

function isFor(audience: unknown, clientId: string): boolean {
  return Array.isArray(audience) ? audience.includes(clientId) : audience === clientId;
}

/** A media type without `application/`, compared without case (RFC 7515 §4.1.9). */
function isLogoutType(typ: unknown): boolean {
  return typeof typ === 'string' && /^(?:application\/)?logout\+jwt$/i.test(typ);
}

function claimProblem(payload: JsonObject, nowS: number, skewS: number): Reason | undefined {
  const { events, sid, sub, jti, iat, exp, nbf } = payload;
  // What an ID token has and a logout token must not: neither can pass for the other.
  if (Object.hasOwn(payload, 'nonce')) return 'nonce';
  if (!isJsonObject(events) || !Object.hasOwn(events, EVENT) || !isJsonObject(events[EVENT])) return 'events';
  if (sid === undefined && sub === undefined) return 'who';
  if ((sid !== undefined && !isSid(sid)) || (sub !== undefined && !isSubject(sub))) return 'who';
  if (typeof jti !== 'string' || jti === '' || jti.length > NAME_MAX_CHARS) return 'jti';
  if (!isTime(iat) || !isTime(exp) || (nbf !== undefined && !isTime(nbf))) return 'times';
  if (exp <= nowS - skewS) return 'expired';
  if (iat > nowS + skewS || (nbf !== undefined && nbf > nowS + skewS)) return 'future';
  return exp > nowS + LIFE_MAX_S || exp <= iat ? 'times' : undefined;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}

/**
 * Whether a value can be the provider's session id: visible ASCII without the wildcards of any store. No provider's
 * sessions have others, and a wildcard is somebody's attempt to end all of them.
 */
export function isSid(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value.length <= NAME_MAX_CHARS &&
    /^[\x21-\x7e]+$/.test(value) &&
    !/[*?[\]\\]/.test(value)
  );
}

/** OpenID Connect Core §2: at most 255 ASCII characters. */
function isSubject(value: unknown): value is string {
  return typeof value === 'string' && /^[\x20-\x7e]{1,255}$/.test(value);
}

/** By type only. What is left says that the key cannot be used for this: too short, of another kind. */
function signatureReason(error: unknown): Reason {
  if (isSallyportError(error)) {
    const { detail = error.code } = error;
    throw new SallyportError('idp_unavailable', { detail, cause: error, retryAfterS: error.retryAfterS ?? 5 });
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JOSEError || error instanceof TypeError) return 'key';
  throw error;
}
