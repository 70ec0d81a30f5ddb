import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject, type webcrypto } from 'node:crypto';
import type { SigningKey } from './config/types-idp.ts';

type CryptoAlgorithm = Parameters<KeyObject['toCryptoKey']>[0];

const ALGORITHMS: Readonly<Record<SigningKey['alg'], CryptoAlgorithm>> = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
  ES512: { name: 'ECDSA', namedCurve: 'P-521' },
  EdDSA: 'Ed25519',
  PS256: { name: 'RSA-PSS', hash: 'SHA-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
};

const CURVES: Readonly<Record<string, string>> = { ES256: 'prime256v1', ES384: 'secp384r1', ES512: 'secp521r1' };
const RSA_BITS_MIN = 2_048;

/**
 * Read a private key: PKCS #8 (or SEC 1, PKCS #1) PEM, or a JWK as JSON.
 * @throws Error whose message may quote nothing of the key but must not be shown all the same
 */
export function readPrivateKey(text: string): KeyObject {
  const trimmed = text.trim();
  if (!trimmed.startsWith('{')) return createPrivateKey(trimmed);
  return createPrivateKey({ key: JSON.parse(trimmed) as JsonWebKey, format: 'jwk' });
}

/** What is wrong with a key for this algorithm, in words; undefined = it fits (RFC 7518 §3, RFC 8037 §3.1). */
export function findKeyProblem(key: KeyObject, alg: SigningKey['alg']): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (alg === 'EdDSA') return type === 'ed25519' ? undefined : 'is no Ed25519 key';
  if (alg === 'RS256' || alg === 'PS256') {
    if (type !== 'rsa') return 'is no RSA key';
    return (details?.modulusLength ?? 0) >= RSA_BITS_MIN ? undefined : `is shorter than ${RSA_BITS_MIN} bits`;
  }
  return type === 'ec' && details?.namedCurve === CURVES[alg] ? undefined : `is no key of the curve of ${alg}`;
}

/** A configured key, ready to sign; it cannot be exported again. */
export function importSigningKey({ alg, privateKey }: SigningKey): webcrypto.CryptoKey {
  return readPrivateKey(privateKey).toCryptoKey(ALGORITHMS[alg], false, ['sign']);
}

/**
 * The public halves as a JSON Web Key Set (RFC 7517 §5) for `/auth/jwks.json`, in the order of the configuration:
 * built from the public key alone, so that no private member can slip in.
 */
export function publicKeySet(keys: readonly SigningKey[]): { readonly keys: readonly object[] } {
  return {
    keys: keys.map(({ kid, alg, privateKey }) => {
      const jwk = createPublicKey(readPrivateKey(privateKey)).export({ format: 'jwk' });
      return { ...jwk, kid, alg, use: 'sig' };
    }),
  };
}
