import type { AdapterPayload, OidcAdapter } from 'oidc-provider';

/** Most artifacts (sessions, codes, tokens, grants) one provider instance keeps; the oldest go first. */
const PROVIDER_ENTRIES_MAX = 20_000;

type Entry = { readonly payload: AdapterPayload; readonly expiresAtMs: number };

/**
 * The storage of one provider instance: a bounded map in memory, shared with nobody (oidc-provider's own default is
 * one map for the whole process). Returns the factory that oidc-provider calls with each model's name.
 */
export function createProviderStorage(
  options: { entriesMax?: number; now?: () => number } = {},
): (model: string) => OidcAdapter {
  const entries = new Map<string, Entry>();
  const entriesMax = options.entriesMax ?? PROVIDER_ENTRIES_MAX;
  const now = options.now ?? Date.now;
  return (model) => createAdapter(model, entries, entriesMax, now);
}

function createAdapter(model: string, entries: Map<string, Entry>, entriesMax: number, now: () => number): OidcAdapter {
  const prefix = `${model}:`;
  const read = (key: string): AdapterPayload | undefined => {
    const entry = entries.get(key);
    if (entry === undefined || entry.expiresAtMs > now()) {
      return entry?.payload;
    }
    entries.delete(key);
    return undefined;
  };
  const findWhere = (matches: (payload: AdapterPayload) => boolean): AdapterPayload | undefined => {
    for (const [key, entry] of entries) {
      if (key.startsWith(prefix) && matches(entry.payload)) {
        return read(key);
      }
    }
    return undefined;
  };
  return {
    async upsert(id, payload, expiresInSeconds) {
      const expiresAtMs = expiresInSeconds === undefined ? Number.POSITIVE_INFINITY : now() + expiresInSeconds * 1000;
      entries.delete(prefix + id);
      evictOldest(entries, entriesMax - 1);
      entries.set(prefix + id, { payload, expiresAtMs });
    },
    async find(id) {
      return read(prefix + id);
    },
    async findByUid(uid) {
      return findWhere((payload) => payload.uid === uid);
    },
    async findByUserCode(userCode) {
      return findWhere((payload) => payload.userCode === userCode);
    },
    async consume(id) {
      const payload = read(prefix + id);
      if (payload !== undefined) {
        payload.consumed = Math.floor(now() / 1000);
      }
    },
    async destroy(id) {
      entries.delete(prefix + id);
    },
    async revokeByGrantId(grantId) {
      for (const [key, entry] of entries) {
        if (entry.payload.grantId === grantId) {
          entries.delete(key);
        }
      }
    },
  };
}

// A Map iterates in insertion order and upsert re-inserts, so the first key is the one written longest ago.
function evictOldest(entries: Map<string, Entry>, keep: number): void {
  for (const key of entries.keys()) {
    if (entries.size <= keep) {
      return;
    }
    entries.delete(key);
  }
}
