import * as jose from 'jose';
import type { ServiceTokenSettings } from '../core/config/types-token.ts';
import { LIMITS } from '../core/limits.ts';

/** Why a service has no token now (D-06, D-41). */
export type TokenFailureCode =
  /** Refused, or it does not do what the service needs: a new sign-in may help, trying again does not. */
  | 'no_token_available'
  /** It is meant for somebody else. */
  | 'token_audience_mismatch'
  /** The provider's answer cannot be used. */
  | 'idp_bad_response'
  /** The provider is down, slow or to be left alone. */
  | 'idp_unavailable';

/** A token was obtained, or could not be. */
export type TokenAnswer = ObtainedToken | TokenFailure;

/** A token that its service may get. Times in ms since the epoch. */
export type ObtainedToken = {
  readonly kind: 'token';
  readonly token: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
};

/** Why there is none. */
export type TokenFailure = {
  readonly kind: 'failed';
  readonly code: TokenFailureCode;
  /** For the log; holds nothing of a token but its audiences. */
  readonly detail: string;
};

/** A token answer after its form was checked (RFC 6749 §5.1). */
export type TokenMembers = {
  readonly token: string;
  /** Lower case. */
  readonly tokenType: string;
  readonly scope: string | undefined;
  readonly expiresInS: number | undefined;
};

/** What a token is judged by besides itself. */
export type TokenExpectation = {
  readonly settings: ServiceTokenSettings;
  /** Scopes that were asked for, by name or by asking for none in particular. */
  readonly asked: readonly string[];
  readonly now: number;
  readonly clockSkewMs: number;
  /** Assumed life of an opaque token whose answer does not say it. */
  readonly withoutExpiryMs: number;
};

type Claims = Readonly<Record<string, unknown>>;

const AUDIENCE_SHOWN_CHARS = 200;

/**
 * Whether a token may go to its service: type, form, audience, scopes, time (SPEC §9, D-21, R-136). A JWT is read, not
 * verified: it came from the provider itself; an opaque one is judged by what the answer says about it.
 */
export function judgeToken(members: TokenMembers, expectation: TokenExpectation): TokenAnswer {
  const { settings, now } = expectation;
  const { token } = members;
  // RFC 8693 §2.2.1 knows N_A, RFC 9449 DPoP: a service would have no use for either (D-36).
  if (members.tokenType !== 'bearer') return failed('idp_bad_response', 'the token is not a bearer token');
  // RFC 6750 §2.1: anything else could break a header.
  if (token.length > LIMITS.tokenMaxChars || !/^[A-Za-z0-9._~+/=-]+$/.test(token)) {
    return failed('idp_bad_response', 'the token is too long or holds odd characters');
  }
  const claims = readClaims(token);
  if (settings.audience !== undefined && claims !== undefined) {
    const received = audiencesOf(claims);
    if (!received.includes(settings.audience)) return mismatch(settings.audience, received);
  }
  const problem = findScopeProblem(settings, grantedScopes(claims, members.scope) ?? expectation.asked);
  if (problem !== undefined) return failed('no_token_available', problem);
  const expiresAt = endOf(members.expiresInS, claims?.['exp'], expectation);
  if (!(expiresAt > now)) return failed('idp_bad_response', 'the token had expired when it arrived');
  return { kind: 'token', token, issuedAt: now, expiresAt };
}

/** Audiences of a JWT; undefined for an opaque token. */
export function readAudiences(token: string): readonly string[] | undefined {
  const claims = readClaims(token);
  return claims && audiencesOf(claims);
}

/** Why scopes do not suffice for a service, or undefined. */
export function findScopeProblem(
  { requireAny, requireAll }: ServiceTokenSettings,
  granted: readonly string[],
): string | undefined {
  const missing = requireAll.find((scope) => !granted.includes(scope));
  if (missing !== undefined) return `the token lacks the scope ${missing}`;
  if (requireAny.length === 0 || requireAny.some((scope) => granted.includes(scope))) return undefined;
  return `the token has none of the scopes ${requireAny.join(' ')}`;
}

/** Scopes of a JWT where it names any (RFC 9068 §2.2.3, or `scp`), else those of the answer; undefined = unknown. */
function grantedScopes(claims: Claims | undefined, answered: string | undefined): readonly string[] | undefined {
  const value = claims?.['scope'] ?? claims?.['scp'] ?? answered;
  if (Array.isArray(value)) return value.filter((scope) => typeof scope === 'string');
  return typeof value === 'string' ? value.split(' ').filter((scope) => scope !== '') : undefined;
}

/** Claims of a JWT, unverified; undefined for an opaque token. */
export function readClaims(token: string): Claims | undefined {
  if (token.split('.').length !== 3) return undefined;
  try {
    return jose.decodeJwt(token);
  } catch {
    return undefined;
  }
}

/** A failure as a value. */
export function failed(code: TokenFailureCode, detail: string): TokenFailure {
  return { kind: 'failed', code, detail };
}

/** Expected and received are for the log alone (SPEC §9). */
export function mismatch(expected: string, received: readonly string[]): TokenFailure {
  const list = received.map((audience) => audience.slice(0, AUDIENCE_SHOWN_CHARS).replace(/[^\x20-\x7e]/g, '?'));
  return failed('token_audience_mismatch', `expected ${expected}, received ${list.join(' ') || 'none'}`);
}

function audiencesOf({ aud }: Claims): readonly string[] {
  if (Array.isArray(aud)) return aud.filter((audience) => typeof audience === 'string');
  return typeof aud === 'string' ? [aud] : [];
}

/** The earlier of what the answer and the token itself say; the token's own time by the provider's clock. */
function endOf(expiresInS: number | undefined, exp: unknown, expectation: TokenExpectation): number {
  const { now, clockSkewMs, withoutExpiryMs } = expectation;
  const own = typeof exp === 'number' ? exp * 1000 : undefined;
  if (expiresInS === undefined) return own ?? now + withoutExpiryMs;
  return Math.min(now + expiresInS * 1000, own === undefined ? Number.POSITIVE_INFINITY : own + clockSkewMs);
}
