import { SallyportError } from './errors.ts';
import type { SessionChange, SessionCreation, StoredSession } from './store.ts';

/**
 * Entries kept of one index (a user's sessions, a provider session's sessions). The entries that end first go above
 * it, with their sessions: an index that dropped an entry alone would let that session escape a logout (R-013, D-18).
 */
export const INDEX_ENTRIES_MAX = 1_000;

/** Revision of a session that was just created. */
export const FIRST_REVISION = 1;

/** Sealed hot part of a record (D-12). */
export const HOT_FIELD = 'h';
/** Sealed cold part. */
const COLD_FIELD = 'c';
/** Sealed description of a session, for lists. */
export const DESCRIPTION_FIELD = 'd';
/** What the last failed refresh left behind. */
const BACKOFF_FIELD = 'b';
/** Prefix of sealed service tokens. */
const TOKEN_FIELD = 't:';

/** A sealed field of a record: its name and its bytes. */
export type SealedField = readonly [name: string, value: Buffer];

const KEY_PATTERN = /^[A-Za-z0-9_-]{1,128}$/;

/** Whether a text is a key: base64url, at most 128 characters. No session has another one. */
export function isKey(text: string): boolean {
  return KEY_PATTERN.test(text);
}

/**
 * Refuse a key that is not base64url text of at most 128 characters, before it becomes part of a stored key.
 * The callers hash what they pass, so a refusal is a defect: throws `internal_error`.
 */
export function checkKey(key: string): void {
  if (!isKey(key)) throw new SallyportError('internal_error', { detail: 'store key is not base64url' });
}

/** Refuse a creation that no store may write: bad keys, or limits that are already over. Throws `internal_error`. */
export function checkCreation(creation: SessionCreation): void {
  checkKey(creation.locator);
  checkKey(creation.subjectKey);
  if (creation.providerSessionKey !== undefined) checkKey(creation.providerSessionKey);
  if (creation.now >= creation.expiresAt || creation.expiresAt > creation.absoluteAt) {
    throw new SallyportError('internal_error', { detail: 'session limits are not now < expiresAt <= absoluteAt' });
  }
}

/** The sealed fields that a creation or a change writes. Throws `internal_error` for a token name that is no key. */
export function sealedFields(change: SessionChange | SessionCreation): SealedField[] {
  const fields: SealedField[] = [];
  if (change.hot !== undefined) fields.push([HOT_FIELD, change.hot]);
  if (change.cold !== undefined) fields.push([COLD_FIELD, change.cold]);
  if ('description' in change && change.description !== undefined) fields.push([DESCRIPTION_FIELD, change.description]);
  if ('backoff' in change && change.backoff !== undefined) fields.push([BACKOFF_FIELD, change.backoff]);
  if (!('tokens' in change) || change.tokens === undefined) return fields;
  for (const [hash, value] of change.tokens) {
    checkKey(hash);
    fields.push([TOKEN_FIELD + hash, value]);
  }
  return fields;
}

/** Bytes that sealed fields take, names included, as both stores count them against `sessionRecordMaxBytes`. */
export function sealedBytes(fields: Iterable<SealedField>): number {
  let bytes = 0;
  for (const [name, value] of fields) bytes += name.length + value.length;
  return bytes;
}

/**
 * The error for a record above `sessionRecordMaxBytes`; nothing was written. What fills a record is what a provider
 * sent: claims and tokens.
 */
export function recordTooLarge(maxBytes: number): SallyportError {
  return new SallyportError('idp_bad_response', {
    detail: `session record exceeds ${maxBytes} bytes`,
    publicDetail: 'The identity provider sends more about this account than a session can hold. Tell the operator.',
  });
}

/** The error for a creation whose locator exists: 256 random bits do not collide, so the caller is wrong. */
export function locatorExists(): SallyportError {
  return new SallyportError('internal_error', { detail: 'session locator exists' });
}

/** Split sealed fields into the parts of a stored session. */
export function sessionParts(fields: Iterable<SealedField>): Pick<StoredSession, 'cold' | 'tokens' | 'backoff'> {
  let cold: Buffer | undefined;
  let backoff: Buffer | undefined;
  const tokens = new Map<string, Buffer>();
  for (const [name, value] of fields) {
    if (name === COLD_FIELD) cold = value;
    else if (name === BACKOFF_FIELD) backoff = value;
    else if (name.startsWith(TOKEN_FIELD)) tokens.set(name.slice(TOKEN_FIELD.length), value);
  }
  return backoff === undefined ? { cold, tokens } : { cold, tokens, backoff };
}
