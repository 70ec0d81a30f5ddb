import type { FormProblem } from './bearer-form.ts';
import { PROOF_ALGORITHMS, type ProofProblem } from './bearer-proof.ts';
import type { BearerRefusal } from './services.ts';

/** Why a bearer token is refused. */
export type Reason =
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

/** The refusals, made once. */
export const REFUSALS = compileRefusals();

/** A token that is bound to a key, brought as Bearer. */
export const BOUND_AS_BEARER: BearerRefusal = REFUSALS.sender_constrained;

/** A token that is not bound, brought with the scheme DPoP (RFC 9449 §7.1). */
export const NOT_BOUND: BearerRefusal = refuseBound({
  kind: 'refused',
  code: 'invalid_token',
  reason: 'bearer_not_bound',
  description: 'The token is bound to no key and cannot be used as DPoP',
  isLasting: true,
});

/** More validations run than may. */
export const TOO_MANY: BearerRefusal = notNow('bearer validations');
/** As many tokens were invalid as may be looked at, lately. */
export const TOO_MANY_INVALID: BearerRefusal = notNow('invalid bearer tokens');

const PROOF_DESCRIPTIONS: Readonly<Record<ProofProblem, string>> = {
  missing: 'There is no proof of possession',
  form: 'The proof is no well-formed JWT of the type dpop+jwt',
  alg: 'The proof is signed with an algorithm that is not accepted',
  key: 'The proof holds no public key of its algorithm, or a private one',
  binding: 'The proof is signed by another key than the one that the token is bound to',
  target: 'The proof is for another method or address',
  token: 'The proof is for another token',
  age: 'The proof is too old or from the future',
  nonce: 'The proof must hold the nonce of this answer',
  signature: 'The signature of the proof is wrong',
  replay: 'The proof was used before',
};

/** The same refusal, with the challenge of the scheme DPoP (RFC 9449 §7.1). */
export function refuseBound(refusal: BearerRefusal): BearerRefusal {
  if (refusal.code === 'overloaded') return refusal;
  return { ...refusal, challenge: challengeOf('invalid_token', refusal.description) };
}

/** @param nonce what the next proof has to hold; undefined = nothing */
export function refuseProof(problem: ProofProblem, nonce: string | undefined): BearerRefusal {
  const description = PROOF_DESCRIPTIONS[problem];
  const error = problem === 'nonce' ? 'use_dpop_nonce' : 'invalid_dpop_proof';
  const challenge = challengeOf(error, description);
  return {
    kind: 'refused',
    code: 'invalid_token',
    reason: `proof_${problem}`,
    description,
    isLasting: false,
    challenge,
    nonce,
  };
}

/** Nothing is said about the token: it may come again. */
function notNow(reason: string): BearerRefusal {
  return { kind: 'refused', code: 'overloaded', reason, description: '', isLasting: false, retryAfterS: 1 };
}

function challengeOf(error: string, description: string): string {
  return `DPoP realm="sallyport", error="${error}", error_description="${description}", algs="${PROOF_ALGORITHMS}"`;
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
