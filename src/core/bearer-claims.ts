import type { Reason } from './bearer-refusals.ts';
import type { BearerIssuer } from './config/types-bearer.ts';
import type { JsonObject } from './json-object.ts';

/**
 * What is wrong with the claims of a signed token (RFC 9068 §4, RFC 7519 §4.1), whoever signed it; undefined = nothing.
 * Asked before the signature is looked at, because it costs a hundredth of that, and once more after. A scope that is
 * missing is left to the latter: only whoever is known can be told that they may not.
 * @param now ms since the epoch. Whole seconds count, as for `jose`.
 */
export function findClaimProblem(payload: JsonObject, settings: BearerIssuer, now: number): Reason | undefined {
  const { iss, aud, sub } = payload;
  if (iss !== settings.issuer) return 'issuer';
  // without its certificate such a token is a stolen one, and what else a token may be bound to is unknown.
  if (Object.hasOwn(payload, 'cnf') && findThumbprint(payload['cnf']) === '') return 'sender_constrained';
  if (typeof sub !== 'string' || sub === '' || hasControl(sub) || aud === undefined) return 'claims';
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!audiences.some((audience) => settings.audiences.includes(audience as string))) return 'audience';
  const untimely = findTimeProblem(payload, settings.clockSkewMs / 1000, now);
  if (untimely !== undefined) return untimely;
  return readScopes(payload) === undefined ? 'claims' : undefined;
}

function findTimeProblem({ exp, nbf, iat }: JsonObject, skewS: number, now: number): Reason | undefined {
  const nowS = Math.floor(now / 1000);
  if (!isTime(exp) || (nbf !== undefined && !isTime(nbf)) || (iat !== undefined && !isTime(iat))) return 'claims';
  if (exp <= nowS - skewS) return 'expired';
  if (nbf !== undefined && nbf > nowS + skewS) return 'not_yet_valid';
  return iat !== undefined && iat > now / 1000 + skewS ? 'not_yet_valid' : undefined;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
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

function hasControl(text: string): boolean {
  return /[\x00-\x1f\x7f-\x9f]/.test(text);
}
