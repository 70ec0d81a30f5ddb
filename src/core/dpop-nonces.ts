import { LIMITS } from './limits.ts';

/** The nonces that servers asked for last in proofs of possession, by origin (RFC 9449 §8.2, §9). */
export type DpopNonces = {
  find(url: string | URL): string | undefined;
  /** @param nonce as it came; null and odd texts are no nonce. @returns true if it is one, and was remembered. */
  remember(url: string | URL, nonce: string | null): boolean;
};

/** A memory of nonces, shared by all sessions: a nonce belongs to no key. @param originsMax origins that it holds. */
export function createDpopNonces(originsMax: number): DpopNonces {
  const nonces = new Map<string, string>();
  return {
    find: (url) => nonces.get(new URL(url).origin),
    remember(url, nonce) {
      // RFC 9449 §8.1: NQCHAR.
      if (nonce === null || nonce.length > LIMITS.dpopNonceMaxChars || !/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(nonce))
        return false;
      const { origin } = new URL(url);
      if (!nonces.has(origin) && nonces.size >= originsMax) return false;
      nonces.set(origin, nonce);
      return true;
    },
  };
}
