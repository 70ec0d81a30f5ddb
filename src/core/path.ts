// hot: bench/path.ts

/** The target is ambiguous or malformed; the caller answers 400 `ambiguous_target`. */
export const AMBIGUOUS = '';

// What one ASCII character may be in a path: 0 refused, 1 plain, 2 slash, 3 percent, 4 dot.
const REFUSED = 0;
const PLAIN = 1;
const SLASH = 2;
const PERCENT = 3;
const DOT = 4;
const CLASS = buildClasses();

/**
 * The one canonical path function, shared by verify and proxy (D-07 strict, R-131): what it returns is what is
 * matched, authorized and sent. Refuses what can be read in two ways: no single leading slash, empty, `.` or `..`
 * segments in any encoding, encoded `/ \ ; ? # %` and controls, raw `\ ; #`, non-ASCII, bad escapes, bad UTF-8.
 * Escapes of unreserved characters are decoded, the others written in upper case. A trailing slash stays.
 * @param path without query.
 * @returns the canonical path (the same string if nothing changes), or AMBIGUOUS.
 */
export function canonicalPath(path: string): string {
  const length = path.length;
  if (length === 0 || path.charCodeAt(0) !== 0x2f) return AMBIGUOUS;
  let segmentStart = true;
  for (let i = 1; i < length; i++) {
    const code = path.charCodeAt(i);
    const kind = code < 128 ? CLASS[code] : REFUSED;
    if (kind === PLAIN) {
      segmentStart = false;
    } else if (kind === SLASH) {
      if (segmentStart) return AMBIGUOUS;
      segmentStart = true;
    } else if (kind === REFUSED) {
      return AMBIGUOUS;
    } else if (kind === PERCENT || segmentStart) {
      // An escape anywhere or a dot that opens a segment: rare, and judged with more care.
      return canonicalSlowly(path);
    }
  }
  return path;
}

/** Segment by segment: decode what is unreserved, judge the decoded text. */
function canonicalSlowly(path: string): string {
  let canonical = '';
  let at = 1;
  while (at <= path.length) {
    let end = path.indexOf('/', at);
    if (end === -1) end = path.length;
    const last = end === path.length;
    if (end === at && !last) return AMBIGUOUS;
    const segment = canonicalSegment(path, at, end);
    if (segment === undefined) return AMBIGUOUS;
    canonical += `/${segment}`;
    at = end + 1;
  }
  return canonical;
}

function canonicalSegment(path: string, from: number, end: number): string | undefined {
  let out = '';
  let onlyDotsAndSpaces = end > from;
  const pending = { left: 0, low: 0x80, high: 0xbf };
  for (let i = from; i < end; i++) {
    const code = path.charCodeAt(i);
    const kind = code < 128 ? CLASS[code] : REFUSED;
    if (kind === REFUSED) return undefined;
    if (kind !== PERCENT) {
      if (pending.left !== 0) return undefined;
      if (kind !== DOT) onlyDotsAndSpaces = false;
      out += path[i];
      continue;
    }
    const byte = hexByte(path, i + 1, end);
    if (byte < 0 || isForbiddenByte(byte) || !acceptUtf8(pending, byte)) return undefined;
    if (byte !== 0x2e && byte !== 0x20) onlyDotsAndSpaces = false;
    out += isUnreserved(byte) ? String.fromCharCode(byte) : `%${path.slice(i + 1, i + 3).toUpperCase()}`;
    i += 2;
  }
  // `.`, `..`, `.. ` and their like: some servers trim them into a dot segment.
  return pending.left !== 0 || onlyDotsAndSpaces ? undefined : out;
}

/** RFC 3629 §4: the second byte of some sequences has a narrower range, which shuts out overlong forms. */
function acceptUtf8(pending: { left: number; low: number; high: number }, byte: number): boolean {
  if (pending.left > 0) {
    if (byte < pending.low || byte > pending.high) return false;
    pending.left -= 1;
    pending.low = 0x80;
    pending.high = 0xbf;
    return true;
  }
  if (byte < 0x80) return true;
  if (byte < 0xc2 || byte > 0xf4) return false;
  pending.left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
  pending.low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
  pending.high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
  return true;
}

/** Encoded controls, `/ \ ; ? # %` and DEL never have a place in a path that two parties must agree on. */
function isForbiddenByte(byte: number): boolean {
  if (byte < 0x20 || byte === 0x7f) return true;
  return byte === 0x2f || byte === 0x5c || byte === 0x3b || byte === 0x3f || byte === 0x23 || byte === 0x25;
}

function isUnreserved(byte: number): boolean {
  if (byte === 0x2d || byte === 0x2e || byte === 0x5f || byte === 0x7e) return true;
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}

function hexByte(text: string, at: number, end: number): number {
  if (at + 1 >= end) return -1;
  const high = hexDigit(text.charCodeAt(at));
  const low = hexDigit(text.charCodeAt(at + 1));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** True if every character is visible ASCII other than `#` and `\`: the text of a query, or of a whole target. */
export function isCleanTarget(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f || code === 0x23 || code === 0x5c) return false;
  }
  return true;
}

/** RFC 3986 pchar without `;`, plus the raw `| ^ { } [ ] "` that browsers leave in paths are refused. */
function buildClasses(): Uint8Array {
  const classes = new Uint8Array(128);
  for (let code = 0x21; code < 0x7f; code++) if (isUnreserved(code)) classes[code] = PLAIN;
  for (const char of "!$&'()*+,=:@") classes[char.charCodeAt(0)] = PLAIN;
  classes[0x2e] = DOT;
  classes[0x2f] = SLASH;
  classes[0x25] = PERCENT;
  return classes;
}

/** True if `path` is `prefix` or lies below it, on a segment border. */
export function isAtOrBelow(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(prefix === '/' ? '/' : `${prefix}/`);
}
