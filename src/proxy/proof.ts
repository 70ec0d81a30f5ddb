import type { DpopNonces } from '../core/dpop-nonces.ts';
import type { TokenProofs } from '../core/services.ts';

/** What a service said of our proof. */
export type ProofAnswer = {
  readonly status: number;
  /** Value of `DPoP-Nonce`; null = none. */
  readonly nonce: string | null;
  /** Value of `WWW-Authenticate`. */
  readonly challenge: string;
};

/** A service challenges with a body that is read to its end, so that its connection can be used again. */
export const CHALLENGE_MAX_BYTES = 65_536;

/** The proofs of one request whose token is bound to a key (RFC 9449 §7): a fresh one each time that it is sent. */
export class RequestProofs {
  readonly #proofs: TokenProofs;
  readonly #nonces: DpopNonces;
  readonly #method: string;
  readonly #target: string;
  #wasRepeated = false;

  /** @param target as it is sent to the service, beginning with one `/`. */
  constructor(proofs: TokenProofs, nonces: DpopNonces, method: string, target: string) {
    this.#proofs = proofs;
    this.#nonces = nonces;
    this.#method = method;
    this.#target = target;
  }

  /** The value of `DPoP`, with the nonce that the service asked for last. @param origin the service's. */
  make(origin: string): string {
    return this.#proofs.make(this.#method, origin + this.#target, this.#nonces.find(origin));
  }

  /**
   * Remember the nonce of an answer for the next requests (RFC 9449 §8.2).
   * @returns true if the service refused this one for the lack of it (§9): once, or it would go on for ever.
   */
  learn(origin: string, { status, nonce, challenge }: ProofAnswer): boolean {
    const isKnown = this.#nonces.remember(origin, nonce);
    const isAsked = isKnown && status === 401 && /error="?use_dpop_nonce\b/i.test(challenge);
    if (!isAsked || this.#wasRepeated) return false;
    this.#wasRepeated = true;
    return true;
  }
}

/** The value of a field in a head; null = absent. @param name in lower case. */
export function findField(fields: readonly string[], name: string): string | null {
  const values: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if ((fields[i] as string).toLowerCase() === name) values.push(fields[i + 1] as string);
  }
  return values.length === 0 ? null : values.join(', ');
}
