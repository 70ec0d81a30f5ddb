import type { OwnCookieTest } from './cookie-names.ts';
import { addNominated, HOP_BY_HOP } from './header-names.ts';

/** One field of an answer; the value as bytes where it holds more than ASCII. */
export type Field = readonly [name: string, value: string | Uint8Array];

/** A service's head, fit to be sent to the client; or why it is not. */
export type ResponseHead =
  | {
      readonly fields: readonly Field[];
      /** -1 = not declared. */
      readonly contentLength: number;
    }
  | { readonly problem: string };

/** What differs from request to request. */
export type ResponseRules = {
  readonly isOwnCookie: OwnCookieTest;
  readonly cacheControl: 'no-store' | 'upstream';
  /** The answer depends on a cookie of ours. */
  readonly dependsOnSession: boolean;
  /** CORS, HSTS and request id; `vary` is merged with the service's. */
  readonly own: readonly (readonly [string, string])[];
  /** Public text for an absolute address of the service, or undefined if it is not one. */
  publicLocation(location: string): string | undefined;
};

/** Written by framing or by the native core, hop-by-hop, or not the service's business (R-138, SECURITY §4.8). */
const DROPPED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  'content-length',
  'date',
  'server',
  'x-powered-by',
  'x-aspnet-version',
  'x-aspnetmvc-version',
  'authorization',
  'set-cookie2',
  'strict-transport-security',
  'clear-site-data',
  'alt-svc',
  'expect-ct',
  'public-key-pins',
  'public-key-pins-report-only',
  'x-request-id',
  'uwebsockets',
]);
const DROPPED_FAMILIES =
  /^(?:access-control-|x-accel-|x-sendfile|x-lighttpd-|x-litespeed-|x-reproxy-|x-sallyport|proxy-)/;
const CACHING: ReadonlySet<string> = new Set([
  'cache-control',
  'expires',
  'pragma',
  'age',
  'surrogate-control',
  'cdn-cache-control',
]);
const FIELDS_MAX = 256;

/**
 * Filter a service's head. Values are checked before anything is written: the native core writes bytes as they
 * are.
 * @param raw name, value, name, value, … as the service sent them.
 */
export function filterResponse(raw: readonly Buffer[], rules: ResponseRules): ResponseHead {
  if (raw.length > FIELDS_MAX * 2) return { problem: 'too many header fields' };
  const nominated = new Set<string>();
  const names: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] as Buffer).toString('latin1').toLowerCase();
    names.push(name);
    if (name === 'connection') addNominated(nominated, (raw[i + 1] as Buffer).toString('latin1'));
  }
  const fields: Field[] = [];
  const vary = new Set<string>();
  let contentLength = -1;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const bytes = raw[i * 2 + 1] as Buffer;
    const value = bytes.toString('latin1');
    if (!isToken(name) || hasControl(value)) return { problem: 'a header that cannot be passed on' };
    if (name === 'content-length') {
      if (contentLength !== -1 || !/^\d{1,15}$/.test(value)) return { problem: 'content-length' };
      contentLength = Number(value);
    } else if (name === 'transfer-encoding') {
      // Another coding would reach the client undone and unnamed.
      if (value.toLowerCase() !== 'chunked') return { problem: 'transfer-encoding' };
    } else if (name === 'vary') addVary(vary, value);
    else if (!nominated.has(name) && passes(name, value, rules)) pushField(fields, name, value, bytes, rules);
  }
  if (rules.cacheControl === 'no-store') fields.push(['cache-control', 'no-store']);
  if (rules.dependsOnSession) vary.add('cookie');
  for (const [name, value] of rules.own) {
    if (name === 'vary') addVary(vary, value);
    else fields.push([name, value]);
  }
  fields.push(['vary', vary.has('*') ? '*' : [...vary].join(', ')]);
  return { fields, contentLength };
}

function passes(name: string, value: string, rules: ResponseRules): boolean {
  if (DROPPED.has(name) || DROPPED_FAMILIES.test(name)) return false;
  if (rules.cacheControl === 'no-store' && CACHING.has(name)) return false;
  return name !== 'set-cookie' || isForeignCookie(value, rules.isOwnCookie);
}

function pushField(fields: Field[], name: string, value: string, bytes: Buffer, rules: ResponseRules): void {
  if (name === 'location' || name === 'content-location') {
    fields.push([name, rules.publicLocation(value) ?? asWritable(value, bytes)]);
  } else fields.push([name, asWritable(value, bytes)]);
}

/** Text beyond ASCII is copied as bytes: the native core would write it as UTF-8. */
function asWritable(value: string, bytes: Buffer): string | Uint8Array {
  return /^[\x00-\x7f]*$/.test(value) ? value : Uint8Array.from(bytes);
}

/**
 * False for a Set-Cookie line that could touch our cookies: one of our names in any spelling, no name at all (the
 * browser would send its value in a name's place), or a Domain, which reaches other hosts than the service's own.
 */
export function isForeignCookie(line: string, isOwnCookie: OwnCookieTest): boolean {
  const parts = line.split(';');
  const pair = parts[0] as string;
  const equals = pair.indexOf('=');
  const name = equals === -1 ? '' : pair.slice(0, equals).trim();
  if (name === '' || isOwnCookie(name)) return false;
  return !parts.slice(1).some((part) => /^\s*domain\s*=\s*[^\s]/i.test(part));
}

function addVary(vary: Set<string>, line: string): void {
  for (const part of line.split(',')) {
    const name = part.trim().toLowerCase();
    if (name !== '') vary.add(name);
  }
}

/** RFC 9110 §5.6.2, in lower case. */
function isToken(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name);
}

/** Controls other than the tab: RFC 9110 §5.5. */
function hasControl(value: string): boolean {
  return /[\x00-\x08\x0a-\x1f\x7f]/.test(value);
}
