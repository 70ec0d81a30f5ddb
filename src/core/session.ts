import type { KeyObject } from 'node:crypto';
import { deriveKey, type KeyRing, openBytes, sealBytes, sealedKeyId, sha256Base64url } from './crypto.ts';

/** Who a session belongs to: the provider's claims mapped to our fields (D-28). */
export type Principal = {
  readonly issuer: string;
  /** The provider's `sub`; with the issuer it identifies the user. */
  readonly subject: string;
  readonly userId: string;
  readonly username: string;
  readonly email: string;
  readonly emailVerified: boolean;
  readonly name: string;
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  /** The validated claims themselves, for header mappings and the session check. Protocol claims are left out. */
  readonly claims: Readonly<Record<string, unknown>>;
};

/** What a login's request looked like (`session.binding`); absent members were not asked for, empty ones not there. */
export type Binding = {
  /** SHA-256 of the client certificate, base64url (`x5t#S256`, RFC 8705 §3.1). */
  readonly certificate?: string;
  /** Family of the browser. */
  readonly agent?: string;
  /** Address of the client. */
  readonly address?: string;
};

/** What every request of a session needs (D-12 field `h`). */
export type SessionHot = {
  readonly site: string;
  readonly idp: string;
  readonly principal: Principal;
  readonly accessToken: string;
  /** `Bearer` or `DPoP`, as the provider said it. */
  readonly tokenType: string;
  /** When the access token was asked for, ms since the epoch. */
  readonly tokenIssuedAt: number;
  /** End of the access token, ms since the epoch. */
  readonly tokenExpiresAt: number;
  /** The cold part holds a refresh token: the session outlives its access token. */
  readonly renewable: boolean;
  readonly scopes: readonly string[];
  /** The provider's session id, where it names one. */
  readonly sid: string | undefined;
  readonly acr: string | undefined;
  /** When the user authenticated, ms since the epoch. */
  readonly authTime: number | undefined;
  readonly createdAt: number;
  /** Idle limit in force when the session began. */
  readonly idleMs: number;
  /** Absolute end, ms since the epoch. */
  readonly absoluteAt: number;
  /** What the session is tied to; absent where nothing was asked for when it began. */
  readonly binding?: Binding | undefined;
  /** Seal key whose index label names this session in the user and provider-session indexes (D-27). */
  readonly indexKeyId: string;
};

/** What only flows need (D-12 field `c`). */
export type SessionCold = {
  readonly refreshToken: string | undefined;
  readonly idToken: string | undefined;
  /** Private number of the key that the tokens are bound to (dpop-key.ts), for the whole life of the session. */
  readonly dpopKey?: string | undefined;
};

/** Where a session began, for its owner's list. */
export type SessionOrigin = {
  readonly userAgent: string;
  /** The client's address; empty where it is unknown. */
  readonly address: string;
};

/**
 * What a session list shows of a session (field `d`). Sealed under the server key alone, because a list is read
 * without the cookies of its sessions: it holds nothing that would open one.
 */
export type SessionDescription = {
  readonly site: string;
  readonly idp: string;
  readonly username: string;
  readonly device: string;
  readonly address: string;
  /** ms since the epoch. */
  readonly createdAt: number;
  /** ms since the epoch. */
  readonly absoluteAt: number;
};

/** Which sealed part of a record; the field name is bound into the ciphertext. */
export type SealedPart = 'h' | 'c' | `t:${string}`;

/** The store's name of a session: base64url(SHA-256(handle)). The store never sees the handle. */
export function locatorOf(handle: string): string {
  return sha256Base64url(handle);
}

/** The key that opens one session: needs the handle and a server key (SPEC §3). Reuse it for both parts. */
export function sessionKey(ring: KeyRing, keyId: string, handle: string): KeyObject | undefined {
  const serverKey = ring.find(keyId, 'session');
  return serverKey === undefined ? undefined : deriveKey(serverKey, handle);
}

/** Seal one part of a record under the writing key. */
export function sealPart(ring: KeyRing, handle: string, locator: string, part: SealedPart, value: object): Buffer {
  const key = sessionKey(ring, ring.writerId, handle);
  if (key === undefined) throw new TypeError('the writing key is not in the ring');
  return sealBytes(key, ring.writerId, Buffer.from(JSON.stringify(value), 'utf8'), `${locator}:${part}`);
}

/** Open one part of a record; undefined if no key of the ring fits or the bytes are not ours. */
export function openPart(
  ring: KeyRing,
  handle: string,
  locator: string,
  part: SealedPart,
  sealed: Buffer,
): unknown | undefined {
  const keyId = sealedKeyId(sealed);
  const key = keyId === undefined ? undefined : sessionKey(ring, keyId, handle);
  const plain = key === undefined ? undefined : openBytes(key, sealed, `${locator}:${part}`);
  return plain === undefined ? undefined : JSON.parse(plain.toString('utf8'));
}

/** Seal what a session list shows, under the writing key. */
export function sealDescription(ring: KeyRing, locator: string, description: SessionDescription): Buffer {
  const key = descriptionKey(ring, ring.writerId, locator);
  if (key === undefined) throw new TypeError('the writing key is not in the ring');
  return sealBytes(key, ring.writerId, Buffer.from(JSON.stringify(description), 'utf8'), `${locator}:d`);
}

/** Open it; undefined if no key of the ring fits or the bytes are not ours. */
export function openDescription(ring: KeyRing, locator: string, sealed: Buffer): SessionDescription | undefined {
  const keyId = sealedKeyId(sealed);
  const key = keyId === undefined ? undefined : descriptionKey(ring, keyId, locator);
  const plain = key === undefined ? undefined : openBytes(key, sealed, `${locator}:d`);
  return plain === undefined ? undefined : (JSON.parse(plain.toString('utf8')) as SessionDescription);
}

/** No handle holds a `|`: the key of no record. */
function descriptionKey(ring: KeyRing, keyId: string, locator: string): KeyObject | undefined {
  const serverKey = ring.find(keyId, 'session');
  return serverKey === undefined ? undefined : deriveKey(serverKey, `describe|${locator}`);
}
