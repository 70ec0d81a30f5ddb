import { generateKeyPair, type KeyObject, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

/** A private key as JSON Web Key with its identifier and algorithm (RFC 7517). */
export type SigningJwk = { readonly kid: string; readonly alg: 'RS256' | 'ES256'; readonly [member: string]: unknown };

const generate = promisify(generateKeyPair);

/** Makes one RS256 (2,048 bits) and one ES256 (P-256) signing key with random identifiers; nothing is written anywhere. */
export async function generateSigningKeys(): Promise<SigningJwk[]> {
  const [rsa, ec] = await Promise.all([
    generate('rsa', { modulusLength: 2048 }),
    generate('ec', { namedCurve: 'P-256' }),
  ]);
  return [toJwk(rsa.privateKey, 'RS256'), toJwk(ec.privateKey, 'ES256')];
}

function toJwk(key: KeyObject, alg: 'RS256' | 'ES256'): SigningJwk {
  return { ...key.export({ format: 'jwk' }), kid: randomBytes(8).toString('base64url'), alg, use: 'sig' };
}
