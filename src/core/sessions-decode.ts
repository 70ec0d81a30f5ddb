import { hmacBase64url, isSealedAs, type KeyRing, sealFingerprint } from './crypto.ts';
import type { HeaderList } from './header-list.ts';
import type { IdentityHeaders } from './identity.ts';
import { LIMITS } from './limits.ts';
import type { MacKey } from './mac.ts';
import type { Session } from './services.ts';
import { openPart, type SessionHot } from './session.ts';
import { SessionSharing } from './session-sharing.ts';
import type { HotView } from './store.ts';

/** A decoded session with what its keepers need. */
export type Decoded = {
  /** A string of its own, not a slice of a request's header. */
  readonly handle: string;
  readonly session: Session;
  /** What it takes in memory, about. */
  readonly bytes: number;
};

/** A decoded session, and which bytes it was. */
export type Remembered = Decoded & { readonly fingerprint: string };

/**
 * Memory of a cached session besides its texts: maps, objects, heads of strings. Measured 450 bytes with a typical
 * record; the rest is for records with more claims.
 */
const ENTRY_OVERHEAD_BYTES = 1_024;
/** A shorter text is copied by `slice`, not shared. */
const SHARED_MIN_CHARS = 32;

/**
 * Opens stored records and remembers them, by handle, until the store returns other bytes (nonce or tag differ): the
 * same record is opened once. Coherent by construction, with the L1 off too (D-13). Above
 * `LIMITS.decodeMemoEntriesMax` the oldest is forgotten.
 */
export class SessionDecoder {
  readonly #ring: KeyRing;
  readonly #identity: IdentityHeaders;
  readonly #memo = new Map<string, Remembered>();
  readonly #sharing = new SessionSharing();
  /** Goes on where it stands: a new iterator would pass over everything that was deleted before. */
  #oldest = this.#memo.keys();

  constructor(ring: KeyRing, identity: IdentityHeaders) {
    this.#ring = ring;
    this.#identity = identity;
  }

  /** What a handle stands for, as far as is remembered. */
  find(handle: string): Remembered | undefined {
    return this.#memo.get(handle);
  }

  /**
   * Undefined if the record cannot be opened: no key of the ring fits, or the bytes are not ours.
   * @param known what `find` found; what was remembered since is looked for.
   */
  decode(handle: string, locator: string, stored: HotView, known = this.#memo.get(handle)): Decoded | undefined {
    const { bytes, start, end, lastSeenAt, revision } = stored;
    if (known !== undefined && isSealedAs(known.fingerprint, bytes, start, end)) {
      const { session } = known;
      if (session.lastSeenAt === lastSeenAt && session.revision === revision) return known;
      return this.#remember({ ...known, session: { ...session, lastSeenAt, revision } });
    }
    const sealed = bytes.subarray(start, end);
    const hot = openPart(this.#ring, handle, locator, 'h', sealed) as SessionHot | undefined;
    if (hot === undefined) return undefined;
    this.#sharing.share(hot);
    const publicId = publicIdOf(this.#ring, hot.indexKeyId, locator);
    const headers = this.#identity.build({ hot, publicId });
    const sharedChars = shareToken(headers, hot);
    return this.#remember({
      handle: copyOf(handle),
      session: { locator, publicId, hot, headers, lastSeenAt, revision },
      bytes: ENTRY_OVERHEAD_BYTES + sealed.length + headers.block.length - sharedChars,
      fingerprint: sealFingerprint(sealed),
    });
  }

  #remember(decoded: Remembered): Decoded {
    const { handle } = decoded;
    if (this.#memo.size >= LIMITS.decodeMemoEntriesMax && !this.#memo.has(handle)) this.#forgetOldest();
    this.#memo.set(handle, decoded);
    return decoded;
  }

  #forgetOldest(): void {
    let oldest = this.#oldest.next();
    if (oldest.done) {
      this.#oldest = this.#memo.keys();
      oldest = this.#oldest.next();
    }
    if (!oldest.done) this.#memo.delete(oldest.value);
  }
}

/**
 * The token is most of a session: where a header carries it, the record's is made a piece of that header, so that both
 * have one copy (measured: 800 of 3,100 bytes). Returns how many characters that saves.
 */
function shareToken({ block }: HeaderList, hot: { accessToken: string }): number {
  const { accessToken } = hot;
  const { length } = accessToken;
  if (length < SHARED_MIN_CHARS) return 0;
  // A long text is searched for character by character, 6 µs of them; its beginning is found and the rest compared at once.
  const beginning = accessToken.slice(0, SHARED_MIN_CHARS);
  for (let at = block.indexOf(beginning); at !== -1; at = block.indexOf(beginning, at + 1)) {
    const piece = block.slice(at, at + length);
    if (piece !== accessToken) continue;
    hot.accessToken = piece;
    return length;
  }
  return 0;
}

/** The same text in memory of its own, in one piece. */
function copyOf(text: string): string {
  return Buffer.from(text).toString();
}

/** The index key named in a session, or the writer's if that one left the ring: then only its name is asked for. */
export function indexKeyOf(ring: KeyRing, keyId: string): MacKey {
  const key = ring.find(keyId, 'index') ?? ring.find(ring.writerId, 'index');
  if (key === undefined) throw new TypeError('the writing key is not in the ring');
  return key;
}

/** The public name of a session (D-27): 128 bits, from which nobody gets to the locator. */
export function publicIdOf(ring: KeyRing, keyId: string, locator: string): string {
  return copyOf(hmacBase64url(indexKeyOf(ring, keyId), `public|${locator}`).slice(0, 22));
}
