import { LIMITS } from './limits.ts';
import type { OnceKind, SessionChange, SessionCreation, SessionEnd, StoredDescription, StoredHot } from './store.ts';
import { checkKey, recordTooLarge, type SealedField, sealedBytes, sealedFields } from './store-rules.ts';

/** An index of sessions by user (`u`) or by provider session (`p`). */
export type Index = { readonly kind: 'u' | 'p'; readonly key: string };

/** The sealed fields that a creation or a change writes. Throws `internal_error` if they are too large. */
export function checkedFields(change: SessionChange | SessionCreation): SealedField[] {
  const fields = sealedFields(change);
  if (sealedBytes(fields) > LIMITS.sessionRecordMaxBytes) throw recordTooLarge(LIMITS.sessionRecordMaxBytes);
  return fields;
}

/** The indexes that name a session. */
export function indexesOf(of: Pick<SessionEnd, 'subjectKey' | 'providerSessionKey'>): Index[] {
  const indexes: Index[] = [];
  if (of.subjectKey !== undefined) indexes.push({ kind: 'u', key: of.subjectKey });
  if (of.providerSessionKey !== undefined) indexes.push({ kind: 'p', key: of.providerSessionKey });
  return indexes;
}

/** The expiry of a key that ends at `end`; Redis knows none below 1 ms. */
export function msLeft(now: number, end: number): number {
  return Math.max(1, Math.ceil(end - now));
}

/** A hash that lacks one of the fields is no session of ours: nothing of it is believed. */
export function parseHot(
  r: Buffer | null | undefined,
  n: Buffer | null | undefined,
  e: Buffer | null | undefined,
  hot: Buffer | null | undefined,
  now: number,
): StoredHot | undefined {
  if (!r || !n || !e || !hot || Number(e.toString('latin1')) <= now) return undefined;
  return { revision: Number(r.toString('latin1')), lastSeenAt: Number(n.toString('latin1')), hot };
}

/** What a list shows of a session; undefined if it is gone. @param fields last seen, end, description. */
export function parseDescription(
  locator: string,
  fields: readonly (Buffer | null)[] | undefined,
  now: number,
): StoredDescription | undefined {
  const [seen, end, description] = fields ?? [];
  if (!seen || !end || Number(end.toString('latin1')) <= now) return undefined;
  return { locator, lastSeenAt: Number(seen.toString('latin1')), description: description ?? undefined };
}

/** The key of something consumed once, without the prefix. */
export function onceName(kind: OnceKind, id: string): string {
  checkKey(id);
  return `${kind === 'state' ? 'o' : 'j'}:${id}`;
}
