import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { MacKey } from './mac.ts';

/** What a derived key is for; each label yields an unrelated key (D-27). */
export type KeyLabel = 'session' | 'transaction' | 'csrf' | 'log' | 'index';

/** Derived keys of all configured seal keys. */
export type KeyRing = {
  /** Id of the key that writes. */
  readonly writerId: string;
  /** Ids of all keys, writer first. */
  readonly ids: readonly string[];
  /** The derived key of one seal key; undefined for an unknown id. Nothing is sealed under it: keys are derived of it. */
  find(id: string, label: KeyLabel): MacKey | undefined;
};

const FORMAT_VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const DECIPHER_OPTIONS = { authTagLength: TAG_BYTES };
const LABELS: readonly KeyLabel[] = ['session', 'transaction', 'csrf', 'log', 'index'];

/**
 * Derive the labelled keys of every seal key with HKDF-SHA-256 (RFC 5869).
 * @param seals configured server keys, writer first; 32 bytes each.
 */
export function createKeyRing(seals: readonly { readonly id: string; readonly secret: Buffer }[]): KeyRing {
  const [writer] = seals;
  if (writer === undefined) throw new TypeError('a key ring needs at least one seal key');
  const keys = new Map(LABELS.map((label) => [label, new Map<string, MacKey>()]));
  for (const seal of seals) {
    for (const [label, known] of keys) {
      const bytes = hkdfSync('sha256', seal.secret, Buffer.alloc(0), `sallyport ${label} v${FORMAT_VERSION}`, 32);
      known.set(seal.id, new MacKey(new Uint8Array(bytes)));
    }
  }
  return {
    writerId: writer.id,
    ids: seals.map((seal) => seal.id),
    find: (id, label) => keys.get(label)?.get(id),
  };
}

/** A new secret of `bytes` random bytes (default 256 bit) in base64url. */
export function randomToken(bytes = 32): string {
  return randomBytes(bytes).toString('base64url');
}

/** base64url(SHA-256(text)): 43 characters. */
export function sha256Base64url(text: string): string {
  return hash('sha256', text, 'base64url');
}

/** base64url(HMAC-SHA-256(key, text)): 43 characters. */
export function hmacBase64url(key: MacKey, text: string): string {
  return key.sign(text, 'base64url');
}

/**
 * The key of one sealed thing: HKDF-Expand for one block, i.e. one HMAC of the context under a server key
 * (RFC 5869 §2.3 with L = HashLen). The context holds a secret (the handle), so that neither the store nor the
 * server key alone opens anything (D-13). A `KeyObject`: sealing under a raw Buffer costs 34 µs where this costs 10.
 */
export function deriveKey(serverKey: MacKey, context: string): KeyObject {
  return createSecretKey(Buffer.from(serverKey.sign(`${context}\x01`, 'binary'), 'latin1'));
}

/** The same for one that signs, and seals nothing. */
export function deriveMac(serverKey: MacKey, context: string): MacKey {
  return new MacKey(Buffer.from(serverKey.sign(`${context}\x01`, 'binary'), 'latin1'));
}

/** Equal, in time that depends on the lengths only. */
export function equalSecret(a: string, b: string): boolean {
  const left = hash('sha256', a, 'buffer');
  const right = hash('sha256', b, 'buffer');
  return timingSafeEqual(left, right);
}

/**
 * Seal with AES-256-GCM under a fresh random nonce. Layout: version (1), key id length (1), key id, nonce (12),
 * ciphertext, tag (16).
 * @param aad what the ciphertext is bound to, e.g. `<locator>:h`; the format version is always bound too.
 */
export function sealBytes(key: KeyObject, keyId: string, plain: Buffer, aad: string): Buffer {
  const id = Buffer.from(keyId, 'utf8');
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(`${aad}:v${FORMAT_VERSION}`, 'utf8'));
  const body = cipher.update(plain);
  cipher.final();
  return Buffer.concat([Buffer.from([FORMAT_VERSION, id.length]), id, nonce, body, cipher.getAuthTag()]);
}

/** Id of the key that sealed these bytes; undefined if they are not of our format. */
export function sealedKeyId(sealed: Buffer): string | undefined {
  const nonceAt = findNonce(sealed);
  return nonceAt === -1 ? undefined : sealed.toString('utf8', 2, nonceAt);
}

/** Where the nonce begins: behind the id as written, since one that is no UTF-8 is longer once decoded. -1: not ours. */
function findNonce(sealed: Buffer): number {
  const idLength = sealed[1];
  if (sealed[0] !== FORMAT_VERSION || idLength === undefined) return -1;
  return sealed.length < 2 + idLength + NONCE_BYTES + TAG_BYTES ? -1 : 2 + idLength;
}

/** Open what `sealBytes` made; undefined if it is damaged, foreign or bound to something else. */
export function openBytes(key: KeyObject, sealed: Buffer, aad: string): Buffer | undefined {
  const start = findNonce(sealed);
  if (start === -1) return undefined;
  const end = sealed.length - TAG_BYTES;
  const nonce = sealed.subarray(start, start + NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, DECIPHER_OPTIONS);
  decipher.setAAD(Buffer.from(`${aad}:v${FORMAT_VERSION}`, 'utf8'));
  decipher.setAuthTag(sealed.subarray(end));
  const body = decipher.update(sealed.subarray(start + NONCE_BYTES, end));
  try {
    decipher.final();
  } catch {
    // The one outcome of a wrong tag: the caller treats the bytes as absent.
    return undefined;
  }
  return body;
}

/** Nonce and tag of sealed bytes as one short key: equal exactly when the ciphertext is the same (D-13). */
export function sealFingerprint(sealed: Buffer): string {
  const idLength = sealed[1] ?? 0;
  const nonce = sealed.toString('latin1', 2 + idLength, 2 + idLength + NONCE_BYTES);
  return nonce + sealed.toString('latin1', sealed.length - TAG_BYTES);
}

/** Whether the sealed bytes in [start, end) have this fingerprint. Makes nothing. */
export function isSealedAs(fingerprint: string, bytes: Buffer, start: number, end: number): boolean {
  const nonceAt = start + 2 + (bytes[start + 1] ?? 0);
  const tagAt = end - TAG_BYTES;
  for (let at = 0; at < TAG_BYTES; at += 1) {
    if (bytes[tagAt + at] !== fingerprint.charCodeAt(NONCE_BYTES + at)) return false;
  }
  for (let at = 0; at < NONCE_BYTES; at += 1) if (bytes[nonceAt + at] !== fingerprint.charCodeAt(at)) return false;
  return true;
}
