import { findThumbprint, readScopes } from './bearer-claims.ts';
import {
  type BearerIssuerRuntime,
  hotOfClaims,
  type Introspect,
  refusalOf,
  type ValidToken,
  validateToken,
} from './bearer-token.ts';
import type { BearerRefusal } from './services.ts';

/** b64token of RFC 6750 §2.1. */
const OPAQUE = /^[A-Za-z0-9\-._~+/]+=*$/;
/** For how long a token is taken to last whose end nobody says. */
const UNKNOWN_END_MS = 3_600_000;
/** What introspection may call an access token. */
const TOKEN_TYPES: readonly unknown[] = [undefined, 'bearer', 'access_token'];

/**
 * Whether a token can be asked about alone. What has the three parts of a signed JWT is judged as one: a refusal of
 * its form, signature or claims is never widened by an answer about it.
 */
export function isOpaqueToken(token: string): boolean {
  const first = token.indexOf('.');
  const second = first === -1 ? -1 : token.indexOf('.', first + 1);
  const hasThreeParts = second !== -1 && token.indexOf('.', second + 1) === -1;
  return !hasThreeParts && OPAQUE.test(token);
}

/**
 * Validate a token that nobody but its provider can read (RFC 7662 §2.2, §4). It needs `sub` and an `aud` of ours; it
 * ends with `exp`, if the answer has one, and the caller asks again after `introspectionCacheMs`.
 */
export async function validateOpaque(
  token: string,
  issuer: BearerIssuerRuntime,
  introspect: Introspect,
  now: number,
): Promise<ValidToken | BearerRefusal> {
  const { settings } = issuer;
  const claims = await introspect(token);
  if (claims['active'] !== true) return refusalOf('inactive');
  const { iss, aud, sub, exp, nbf, cnf, token_type: type } = claims;
  const thumbprint = findThumbprint(cnf);
  if (cnf !== undefined && thumbprint === '') return refusalOf('sender_constrained');
  const kind = typeof type === 'string' ? type.toLowerCase() : type;
  if (!TOKEN_TYPES.includes(kind) && !(kind === 'dpop' && thumbprint !== '')) return refusalOf('typ');
  // Keycloak says of refresh and ID tokens that they are active, and here what they are.
  if (claims['typ'] === 'Refresh' || claims['typ'] === 'ID') return refusalOf('typ');
  if (iss !== undefined && iss !== settings.issuer) return refusalOf('issuer');
  const audiences = Array.isArray(aud) ? aud : [aud];
  if (!audiences.some((audience) => settings.audiences.includes(audience as string))) return refusalOf('audience');
  if (typeof sub !== 'string' || sub === '' || /[\x00-\x1f\x7f-\x9f]/.test(sub)) return refusalOf('claims');
  if (isWrongTime(exp) || isWrongTime(nbf)) return refusalOf('claims');
  const expiresAt = exp === undefined ? now + UNKNOWN_END_MS : (exp as number) * 1000;
  if (now >= expiresAt + settings.clockSkewMs) return refusalOf('expired');
  if (nbf !== undefined && (nbf as number) * 1000 > now + settings.clockSkewMs) return refusalOf('not_yet_valid');
  const scopes = readScopes(claims);
  if (scopes === undefined) return refusalOf('claims');
  if (!settings.requiredScopes.every((scope) => scopes.includes(scope))) return refusalOf('scope');
  const endsAt = Math.min(expiresAt + settings.clockSkewMs, now + settings.introspectionCacheMs);
  return { hot: hotOfClaims({ token, claims, scopes, issuer, expiresAt, now }), endsAt, thumbprint };
}

/** Validate a signed token, then ask whether it is still active: revoked, or its user gone (SPEC §7). */
export async function validateActive(
  token: string,
  issuer: BearerIssuerRuntime,
  introspect: Introspect,
  now: number,
): Promise<ValidToken | BearerRefusal> {
  const valid = await validateToken(token, issuer, now);
  if ('kind' in valid) return valid;
  const { active, sub, cnf } = await introspect(token);
  if (active !== true) return refusalOf('inactive');
  // Bound to the same key as the token says itself, or to none that the answer names.
  if (cnf !== undefined && (valid.thumbprint === '' || findThumbprint(cnf) !== valid.thumbprint)) {
    return refusalOf('sender_constrained');
  }
  if (sub !== undefined && sub !== valid.hot.principal.subject) return refusalOf('claims');
  return { ...valid, endsAt: Math.min(valid.endsAt, now + issuer.settings.introspectionCacheMs) };
}

function isWrongTime(value: unknown): boolean {
  return value !== undefined && !Number.isFinite(value);
}
