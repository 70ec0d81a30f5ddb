import type { Config } from './config/types.ts';
import type { RequestContext } from './context.ts';
import { equalSecret, hmacBase64url, type KeyRing } from './crypto.ts';

/** The proof that a script of an allowed page composed a request (SPEC §10), in the mode that is configured. */
export type CsrfProofs = {
  /** What scripts of a session send in mode `token`; undefined in mode `header`. Rotates with the handle. */
  tokenOf(locator: string): string | undefined;
  /**
   * True if the request carries the proof. Compared in constant time (R-014).
   * @param locator of the session that the request is made with; undefined = none: any value of the header proves then
   * what it proves in mode `header`, that no page of another origin sent it unasked.
   */
  isProven(context: RequestContext, locator: string | undefined): boolean;
};

/** Compile the proofs. A token is `<key id>.<HMAC(csrf key, locator)>`; tokens of every listed key are read (D-27). */
export function compileCsrfProofs({ csrf }: Pick<Config, 'csrf'>, ring: KeyRing): CsrfProofs {
  if (csrf.mode === 'header') {
    const { value } = csrf;
    return {
      tokenOf: () => undefined,
      isProven: ({ csrfProof }) => csrfProof !== '' && equalSecret(csrfProof, value),
    };
  }
  const tokenBy = (id: string, locator: string): string | undefined => {
    const key = ring.find(id, 'csrf');
    return key === undefined ? undefined : `${id}.${hmacBase64url(key, `request ${locator}`)}`;
  };
  return {
    tokenOf: (locator) => tokenBy(ring.writerId, locator),
    isProven({ csrfProof }, locator) {
      if (locator === undefined) return csrfProof !== '';
      const dot = csrfProof.indexOf('.');
      const expected = dot === -1 ? undefined : tokenBy(csrfProof.slice(0, dot), locator);
      return expected !== undefined && equalSecret(csrfProof, expected);
    },
  };
}
