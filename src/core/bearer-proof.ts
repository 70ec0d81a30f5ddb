import { createPublicKey, hash, type JsonWebKey, type KeyObject, constants as padding, verify } from 'node:crypto';
import { readTokenForm } from './bearer-form.ts';
import type { Clock } from './clock.ts';
import type { SigningKey } from './config/types-idp.ts';
import { deriveMac, equalSecret, hmacBase64url, type KeyRing } from './crypto.ts';
import { SallyportError } from './errors.ts';
import type { JsonObject } from './json-object.ts';
import { LIMITS } from './limits.ts';
import type { PresentedToken } from './services.ts';
import { findKeyProblem } from './signing-keys.ts';
import { createSweep } from './sweep.ts';

/** Why a proof is not taken; for the log and, in words, for the caller. */
export type ProofProblem =
  | 'missing'
  | 'form'
  | 'alg'
  | 'key'
  | 'binding'
  | 'target'
  | 'token'
  | 'age'
  | 'nonce'
  | 'signature'
  | 'replay';

/** Judges proofs of possession. */
export type ProofCheck = {
  /**
   * What is wrong with the proof of a token that is bound to `thumbprint`; undefined = nothing, and it is used up.
   * @throws overloaded if no more proofs can be remembered: one that is forgotten could be used twice
   */
  find(presented: PresentedToken, thumbprint: string): ProofProblem | undefined;
  /** The nonce that the next proof has to hold; undefined = none is demanded. */
  nonce(): string | undefined;
};

/** What the check is made of. */
export type ProofOptions = {
  readonly clock: Clock;
  /** Oldest `iat` that is taken, ms. */
  readonly maxAgeMs: number;
  /** Text that belongs to a time, the same in every process; undefined = no nonce is demanded. */
  readonly nonceOf: ((period: number) => string) | undefined;
};

const ALGORITHMS: readonly SigningKey['alg'][] = ['ES256', 'ES384', 'ES512', 'EdDSA', 'PS256', 'RS256'];
/** For the challenge (RFC 9449 §7.1). */
export const PROOF_ALGORITHMS = ALGORITHMS.join(' ');
/** Members of a JWK that nobody may send (RFC 7518 §6). */
const PRIVATE_MEMBERS: readonly string[] = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** Nonces for a key ring's processes: the same in each of them for a period, and nobody's guess (RFC 9449 §9). */
export function createNonceMaker(ring: KeyRing): (period: number) => string {
  const key = ring.find(ring.writerId, 'csrf');
  if (key === undefined) throw new TypeError('the writing key is not in the ring');
  const own = deriveMac(key, 'dpop nonce');
  return (period) => hmacBase64url(own, String(period));
}

/**
 * Proofs of possession as callers send them (RFC 9449 §4.3): form, algorithm, key, `htm`, `htu`, `iat`, `ath`, the
 * key that the token is bound to, signature; each `jti` once in this process while the proof could be used again.
 */
export function createProofCheck({ clock, maxAgeMs, nonceOf }: ProofOptions): ProofCheck {
  const used = new Map<string, number>();
  const sweep = createSweep(
    used,
    (until, now) => until <= now,
    (id) => used.delete(id),
  );
  const periodOf = (now: number): number => Math.floor(now / maxAgeMs);
  const isNonce = (value: unknown, now: number): boolean => {
    if (nonceOf === undefined) return true;
    if (typeof value !== 'string') return false;
    return equalSecret(value, nonceOf(periodOf(now))) || equalSecret(value, nonceOf(periodOf(now) - 1));
  };
  const isFirstUse = (id: string, until: number, now: number): boolean => {
    sweep(now);
    if ((used.get(id) ?? 0) > now) return false;
    if (used.size >= LIMITS.dpopProofsMax) throw new SallyportError('overloaded', { detail: 'proofs', retryAfterS: 5 });
    used.set(id, until);
    return true;
  };
  return {
    nonce: () => nonceOf?.(periodOf(clock.now())),
    find(presented, thumbprint) {
      const { proof } = presented;
      if (proof === '') return 'missing';
      const form = proof.length > LIMITS.dpopProofMaxChars ? undefined : readTokenForm(proof);
      if (form === undefined || typeof form === 'string' || form.header['typ'] !== 'dpop+jwt') return 'form';
      const alg = ALGORITHMS.find((name) => name === form.header['alg']);
      if (alg === undefined) return 'alg';
      const key = readKey(form.header['jwk'], alg);
      if (key === undefined) return 'key';
      const now = clock.now();
      const problem = claimProblem(form.payload, presented, now, maxAgeMs);
      if (problem !== undefined) return problem;
      if (thumbprintOf(key) !== thumbprint) return 'binding';
      if (!isNonce(form.payload['nonce'], now)) return 'nonce';
      if (!isSigned(proof, key, alg)) return 'signature';
      const until = Number(form.payload['iat']) * 1000 + maxAgeMs + 1;
      const id = hash('sha256', `${thumbprint} ${String(form.payload['jti'])}`, 'base64url');
      return isFirstUse(id, until, now) ? undefined : 'replay';
    },
  };
}

function claimProblem(
  { jti, htm, htu, iat, ath }: JsonObject,
  { token, method, scheme, host, target }: PresentedToken,
  now: number,
  maxAgeMs: number,
): ProofProblem | undefined {
  if (typeof jti !== 'string' || jti === '' || jti.length > LIMITS.dpopJtiMaxChars) return 'form';
  if (htm !== method || typeof htu !== 'string' || !isSameTarget(htu, `${scheme}://${host}${target}`)) return 'target';
  if (ath !== hash('sha256', token, 'base64url')) return 'token';
  if (typeof iat !== 'number' || !Number.isFinite(iat)) return 'form';
  const age = now - iat * 1000;
  return age > maxAgeMs || age < -LIMITS.dpopClockSkewMs ? 'age' : undefined;
}

/** Without query and fragment; scheme, host and default port in their normal form (RFC 9449 §4.3, RFC 3986 §6.2). */
function isSameTarget(htu: string, expected: string): boolean {
  if (!URL.canParse(htu) || !URL.canParse(expected)) return false;
  const [a, b] = [new URL(htu), new URL(expected)];
  return a.origin === b.origin && a.pathname === b.pathname && a.username === '' && a.password === '';
}

function readKey(jwk: unknown, alg: SigningKey['alg']): KeyObject | undefined {
  if (typeof jwk !== 'object' || jwk === null || PRIVATE_MEMBERS.some((name) => Object.hasOwn(jwk, name)))
    return undefined;
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
    return findKeyProblem(key, alg) === undefined ? key : undefined;
  } catch {
    // Anybody may send anything here; that it is no key is an outcome.
    return undefined;
  }
}

/** RFC 7638, over the key's own spelling of its members, whatever the proof's was. */
function thumbprintOf(key: KeyObject): string {
  const { kty, crv, x, y, n, e } = key.export({ format: 'jwk' });
  const members = kty === 'RSA' ? { e, kty, n } : kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x };
  return hash('sha256', JSON.stringify(members), 'base64url');
}

function isSigned(proof: string, key: KeyObject, alg: SigningKey['alg']): boolean {
  const dot = proof.lastIndexOf('.');
  const data = Buffer.from(proof.slice(0, dot), 'ascii');
  const signature = Buffer.from(proof.slice(dot + 1), 'base64url');
  if (alg === 'EdDSA') return verify(null, data, key, signature);
  const digest = `sha${alg.slice(2)}`;
  if (alg === 'RS256') return verify(digest, data, key, signature);
  if (alg !== 'PS256') return verify(digest, data, { key, dsaEncoding: 'ieee-p1363' }, signature);
  const pss = { padding: padding.RSA_PKCS1_PSS_PADDING, saltLength: padding.RSA_PSS_SALTLEN_DIGEST };
  return verify(digest, data, { key, ...pss }, signature);
}
