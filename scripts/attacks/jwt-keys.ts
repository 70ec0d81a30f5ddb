import { createHmac, constants as crypto, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import type { JWK } from 'jose';

/** Signs bytes as a JWS algorithm says; for a name that no key of this kind has, as the key's own kind does. */
export type Signer = (alg: unknown, data: Buffer) => Buffer;

/** The keys of the jwt family: trusted, odd and hostile ones. */
export type JwtKeys = {
  /** What the pinned issuer publishes. */
  readonly published: readonly JWK[];
  /** What the second issuer publishes. */
  readonly publishedElsewhere: readonly JWK[];
  /** Signers by the names of `sign_with` and by key id. */
  readonly signers: ReadonlyMap<string, Signer>;
  readonly attackerJwk: JWK;
  /** For encrypting to us. */
  readonly encryptionKey: KeyObject;
  /** DER of the attacker's and of the trusted public key. */
  readonly attackerSpki: Buffer;
  readonly trustedSpki: Buffer;
};

const RSA_BITS = { 'rsa-1': 2048, 'rsa-1024': 1024 } as const;

/** Make the keys that the cases name (SECURITY section 0), and a second ES256 key beside ec-1. */
export function createJwtKeys(): JwtKeys {
  const ec = (): Pair => generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const rsa = (bits: number): Pair => generateKeyPairSync('rsa', { modulusLength: bits });
  const [ec1, ec2, enc, ops, other, attacker] = [ec(), ec(), ec(), ec(), ec(), ec()] as const;
  const [rsa1, rsa1024] = [rsa(RSA_BITS['rsa-1']), rsa(RSA_BITS['rsa-1024'])];
  const secret = randomBytes(32);
  return {
    // Without `alg`, so that nothing but the key itself contradicts a wrong algorithm.
    published: [
      publicJwk(ec1, { kid: 'ec-1', use: 'sig' }),
      publicJwk(ec2, { kid: 'ec-2', use: 'sig' }),
      publicJwk(rsa1, { kid: 'rsa-1', use: 'sig' }),
      publicJwk(enc, { kid: 'enc-1', use: 'enc' }),
      publicJwk(ops, { kid: 'ops-1', key_ops: ['deriveBits'] }),
      publicJwk(rsa1024, { kid: 'rsa-1024', use: 'sig' }),
      { kty: 'oct', k: secret.toString('base64url'), kid: 'oct-1', use: 'sig' },
    ],
    publishedElsewhere: [publicJwk(other, { kid: 'other-issuer-1', use: 'sig' })],
    signers: new Map<string, Signer>([
      ['trusted', ecSigner(ec1)],
      ['ec-1', ecSigner(ec1)],
      ['ec-2', ecSigner(ec2)],
      ['enc-1', ecSigner(enc)],
      ['ops-1', ecSigner(ops)],
      ['rsa-1', rsaSigner(rsa1)],
      ['rsa-1024', rsaSigner(rsa1024)],
      ['other_issuer', ecSigner(other)],
      ['attacker', ecSigner(attacker)],
      ['oct-1', hmacSigner(secret)],
      ['hmac:empty', hmacSigner(Buffer.alloc(0))],
    ]),
    attackerJwk: publicJwk(attacker, {}),
    encryptionKey: enc.publicKey,
    attackerSpki: attacker.publicKey.export({ type: 'spki', format: 'der' }),
    trustedSpki: ec1.publicKey.export({ type: 'spki', format: 'der' }),
  };
}

type Pair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

function publicJwk({ publicKey }: Pair, members: Partial<JWK>): JWK {
  return { ...(publicKey.export({ format: 'jwk' }) as JWK), ...members };
}

function ecSigner({ privateKey }: Pair): Signer {
  return (alg, data) => sign(digestOf(alg), data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
}

function rsaSigner({ privateKey }: Pair): Signer {
  return (alg, data) => {
    if (typeof alg !== 'string' || !alg.startsWith('PS')) return sign(digestOf(alg), data, privateKey);
    const padding = { padding: crypto.RSA_PKCS1_PSS_PADDING, saltLength: crypto.RSA_PSS_SALTLEN_DIGEST };
    return sign(digestOf(alg), data, { key: privateKey, ...padding });
  };
}

function hmacSigner(secret: Buffer): Signer {
  return (_alg, data) => createHmac('sha256', secret).update(data).digest();
}

function digestOf(alg: unknown): string {
  const bits = typeof alg === 'string' ? /\d+$/.exec(alg)?.[0] : undefined;
  if (bits === '1') return 'sha1';
  return bits === '384' || bits === '512' ? `sha${bits}` : 'sha256';
}
