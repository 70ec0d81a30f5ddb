import { createECDH, createHash, createPrivateKey, hash, randomBytes, sign } from 'node:crypto';

/** What one proof speaks of (RFC 9449 §4.2). */
export type ProofSubject = {
  readonly method: string;
  /** Absolute; query and fragment are left out of the proof. */
  readonly url: string | URL;
  /** The access token that goes with it. */
  readonly accessToken?: string | undefined;
  /** What the server asked to have in it. */
  readonly nonce?: string | undefined;
  /** ms since the epoch. */
  readonly now: number;
};

/** A key that makes proofs of possession (RFC 9449); one for each session. */
export type DpopKey = {
  /** Its private number, from which it can be made again. */
  readonly secret: string;
  /** SHA-256 thumbprint of the public key (RFC 7638), base64url: what tokens are bound to. */
  readonly thumbprint: string;
  /** A fresh proof: a JWT with a `jti` of its own, signed by ES256. */
  proof(subject: ProofSubject): string;
};

const CURVE = 'prime256v1';
const COORDINATE_BYTES = 32;
const JTI_BYTES = 16;

/**
 * A key from its private number (32 bytes, base64url), which is all that a record keeps of it.
 * @throws Error if the number is none of the curve's
 */
export function createDpopKey(secret: string): DpopKey {
  const point = createECDH(CURVE);
  point.setPrivateKey(Buffer.from(secret, 'base64url'));
  const publicPoint = point.getPublicKey();
  const x = publicPoint.subarray(1, 1 + COORDINATE_BYTES).toString('base64url');
  const y = publicPoint.subarray(1 + COORDINATE_BYTES).toString('base64url');
  const jwk = { kty: 'EC', crv: 'P-256', x, y };
  const key = createPrivateKey({ key: { ...jwk, d: secret }, format: 'jwk' });
  const header = encode({ typ: 'dpop+jwt', alg: 'ES256', jwk });
  const thumbprint = createHash('sha256')
    .update(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`)
    .digest('base64url');
  return {
    secret,
    thumbprint,
    proof({ method, url, accessToken, nonce, now }) {
      const { origin, pathname } = new URL(url);
      const payload = {
        jti: randomBytes(JTI_BYTES).toString('base64url'),
        htm: method,
        htu: origin + pathname,
        iat: Math.floor(now / 1000),
        ...(accessToken === undefined ? {} : { ath: hash('sha256', accessToken, 'base64url') }),
        ...(nonce === undefined ? {} : { nonce }),
      };
      const input = `${header}.${encode(payload)}`;
      const signature = sign('sha256', Buffer.from(input, 'ascii'), { key, dsaEncoding: 'ieee-p1363' });
      return `${input}.${signature.toString('base64url')}`;
    },
  };
}

/** A new key from random bytes. */
export function generateDpopKey(): DpopKey {
  for (;;) {
    const secret = randomBytes(COORDINATE_BYTES).toString('base64url');
    if (isDpopSecret(secret)) return createDpopKey(secret);
  }
}

/** True for the private number of a key: 32 bytes below the order of the curve. */
export function isDpopSecret(secret: string): boolean {
  try {
    createECDH(CURVE).setPrivateKey(Buffer.from(secret, 'base64url'));
    return true;
  } catch {
    // Zero, or above the order: one of 2^32 random numbers.
    return false;
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
}
