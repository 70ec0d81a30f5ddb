// hot: bench/cookie.ts
import { LIMITS } from './limits.ts';

const SEMICOLON = 0x3b;
const SPACE = 0x20;
const TAB = 0x09;

/** The cookie is absent, empty, malformed, or not of a handle's form. */
export const NO_HANDLE = '';
/** The cookie is there more than once with different values: no session, and it has to be expired. */
export const CONFLICTING_HANDLE = '!';

/**
 * Finds the session handle in a Cookie header.
 * @param header all Cookie lines joined with `; ` (RFC 9113 §8.2.3); longer than the limit counts as no cookie.
 * @returns the handle, NO_HANDLE or CONFLICTING_HANDLE.
 */
export type HandleFinder = (header: string) => string;

/** A longer text is looked for with a table that is made for each search. */
const PROBE_MAX_CHARS = 6;

/**
 * Compile the finder of a cookie's handle; it builds nothing but the handle itself. A pair is what stands between `;`,
 * SP and HTAB around it do not count, its name ends at the first `=` and is compared byte for byte (RFC 6265bis §4.2,
 * no decoding, no quotes, no `$Version`.
 *
 * It jumps from one place where a short piece of the name stands to the next, which the engine does many bytes at a
 * time, and looks around there. The piece begins with a character that the values of other cookies rarely hold. No
 * character is looked at more than a fixed number of times, whatever the header is.
 */
export function compileHandleFinder(name: string): HandleFinder {
  const wanted = `${name}=`;
  const offset = Math.max(0, wanted.search(/[^0-9a-fA-F-]/));
  const probe = wanted.slice(offset, offset + PROBE_MAX_CHARS);
  return (header) => {
    if (header.length > LIMITS.cookieHeaderMaxChars) return NO_HANDLE;
    let firstStart = -1;
    let firstEnd = -1;
    for (let at = header.indexOf(probe, offset); at !== -1; at = header.indexOf(probe, at + 1)) {
      if (!isPairStart(header, at - offset) || !header.startsWith(wanted, at - offset)) continue;
      const start = at - offset + wanted.length;
      const semicolon = header.indexOf(';', start);
      const stop = trimEnd(header, start, semicolon === -1 ? header.length : semicolon);
      if (firstStart === -1) {
        firstStart = start;
        firstEnd = stop;
      } else if (!sameText(header, firstStart, firstEnd, start, stop)) {
        return CONFLICTING_HANDLE;
      }
    }
    if (firstStart === -1 || !hasHandleForm(header, firstStart, firstEnd)) return NO_HANDLE;
    return header.slice(firstStart, firstEnd);
  };
}

/** Whether nothing but blanks stands between this place and the `;` or the start before it. */
function isPairStart(header: string, start: number): boolean {
  let before = start - 1;
  while (before >= 0 && isBlank(header.charCodeAt(before))) before--;
  return before < 0 || header.charCodeAt(before) === SEMICOLON;
}

function trimEnd(header: string, start: number, end: number): number {
  let stop = end;
  while (stop > start && isBlank(header.charCodeAt(stop - 1))) stop--;
  return stop;
}

function sameText(header: string, aStart: number, aEnd: number, bStart: number, bEnd: number): boolean {
  if (aEnd - aStart !== bEnd - bStart) return false;
  for (let i = 0; i < aEnd - aStart; i++) {
    if (header.charCodeAt(aStart + i) !== header.charCodeAt(bStart + i)) return false;
  }
  return true;
}

/** 43 characters of A-Z a-z 0-9 - _. */
function hasHandleForm(header: string, start: number, end: number): boolean {
  if (end - start !== LIMITS.handleLength) return false;
  for (let i = start; i < end; i++) {
    const code = header.charCodeAt(i);
    const letter = (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a;
    if (!letter && !(code >= 0x30 && code <= 0x39) && code !== 0x2d && code !== 0x5f) return false;
  }
  return true;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** One cookie of a header by exact name: the first value and whether another value differs. For flows, not hot. */
export function findCookie(header: string, name: string): { value: string | undefined; conflicting: boolean } {
  let value: string | undefined;
  let conflicting = false;
  for (const [pairName, pairValue] of cookiePairs(header)) {
    if (pairName !== name) continue;
    if (value === undefined) value = pairValue;
    else if (value !== pairValue) conflicting = true;
  }
  return { value, conflicting };
}

/** Every name=value pair of a Cookie header in order; nameless pairs are left out. For flows, not hot. */
export function cookiePairs(header: string): readonly (readonly [string, string])[] {
  const pairs: [string, string][] = [];
  if (header.length > LIMITS.cookieHeaderMaxChars) return pairs;
  let at = 0;
  while (at < header.length) {
    let end = header.indexOf(';', at);
    if (end === -1) end = header.length;
    let from = at;
    while (from < end && isBlank(header.charCodeAt(from))) from++;
    const stop = trimEnd(header, from, end);
    const equals = header.indexOf('=', from);
    if (equals > from && equals < stop) pairs.push([header.slice(from, equals), header.slice(equals + 1, stop)]);
    at = end + 1;
  }
  return pairs;
}
