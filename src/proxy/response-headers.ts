import { createMemo } from '../core/memo.ts';
import type { OwnCookieTest } from './cookie-names.ts';
import { addNominated, HOP_BY_HOP, NAMES_REMEMBERED } from './header-names.ts';

/** A service's head, fit to be sent to the client; or why it is not. */
export type ResponseHead =
  | {
      /**
       * The value of `vary`, and behind it a line for each other field: one native call for all of them, where a call
       * for each costs more than all else that is done for it.
       */
      readonly block: string;
      /** Fields whose values hold more than ASCII. */
      readonly bytes: readonly (readonly [name: string, value: Uint8Array])[];
      /** -1 = not declared. */
      readonly contentLength: number;
      /** A stream of events that nobody has compressed. */
      readonly isEvents: boolean;
    }
  | { readonly problem: string };

/** What differs from request to request. */
export type ResponseRules = {
  readonly isOwnCookie: OwnCookieTest;
  readonly cacheControl: 'no-store' | 'upstream';
  readonly fate: ResponseFate;
  /** What the answer depends on by our own doing; the service's is added. */
  readonly vary: string;
  /** CORS, HSTS, request id and cookies of ours: lines, each with its CRLF before it. */
  readonly own: string;
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
  'dpop-nonce',
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
const NO_STORE = '\r\ncache-control: no-store';
const NO_BYTES: readonly [string, Uint8Array][] = [];
const EVENTS = 'text/event-stream';
const PLAIN_VALUE = /^[\t\x20-\x7e]*$/;
const KINDS: ReadonlyMap<string, Kind> = new Map([
  ['connection', 'connection'],
  ['content-length', 'length'],
  ['transfer-encoding', 'coding'],
  ['vary', 'vary'],
  ['set-cookie', 'cookie'],
  ['location', 'address'],
  ['content-location', 'address'],
]);

/**
 * Filter a service's head. Values are checked before anything is written: the native core writes bytes as they
 * are.
 * @param raw name, value, name, value, … as the service sent them, one character for each byte.
 */
export function filterResponse(raw: readonly string[], rules: ResponseRules): ResponseHead {
  if (raw.length > FIELDS_MAX * 2) return { problem: 'too many header fields' };
  const { fate } = rules;
  const nominated = nominatedBy(raw, fate);
  let bytes = NO_BYTES;
  let lines = '';
  let type = '';
  let isEncoded = false;
  let vary = rules.vary;
  let contentLength = -1;
  for (let i = 0; i < raw.length; i += 2) {
    const { name, kind } = fate(raw[i] as string);
    const value = raw[i + 1] as string;
    const isPlain = PLAIN_VALUE.test(value);
    if (kind === 'bad' || (!isPlain && hasControl(value))) return { problem: 'a header that cannot be passed on' };
    if (kind === 'length') {
      if (contentLength !== -1 || !/^\d{1,15}$/.test(value)) return { problem: 'content-length' };
      contentLength = Number(value);
    } else if (kind === 'coding') {
      // Another coding would reach the client undone and unnamed.
      if (value.toLowerCase() !== 'chunked') return { problem: 'transfer-encoding' };
    } else if (kind === 'vary') vary = joinVary(vary, value);
    else if (nominated?.has(name) !== true && passes(kind, value, rules)) {
      if (name === 'content-type') type = value;
      else if (name === 'content-encoding') isEncoded = true;
      const written = (kind === 'address' ? rules.publicLocation(value) : undefined) ?? value;
      if (isPlain || written !== value) lines += `\r\n${name}: ${written}`;
      // The native core would write this text as UTF-8.
      else bytes = [...bytes, [name, Uint8Array.from(Buffer.from(value, 'latin1'))]];
    }
  }
  const isEvents = !isEncoded && type.length >= EVENTS.length && type.toLowerCase().startsWith(EVENTS);
  const block = vary + lines + (rules.cacheControl === 'no-store' ? NO_STORE : '') + rules.own;
  return { block, bytes, contentLength, isEvents };
}

/** What becomes of a field, by its name alone. */
type Kind =
  | 'bad'
  | 'dropped'
  | 'passed'
  | 'caching'
  | 'cookie'
  | 'address'
  | 'length'
  | 'coding'
  | 'vary'
  | 'connection';

/** The fate of a name, in lower case. */
export type ResponseFate = (name: string) => { readonly name: string; readonly kind: Kind };

/** Create the memory of names: services send the same ones with each answer. */
export function createResponseFate(): ResponseFate {
  return createMemo((written) => {
    const name = written.toLowerCase();
    return { name, kind: kindOf(name) };
  }, NAMES_REMEMBERED);
}

function kindOf(name: string): Kind {
  const known = KINDS.get(name);
  if (known !== undefined) return known;
  if (!isToken(name)) return 'bad';
  if (DROPPED.has(name) || DROPPED_FAMILIES.test(name)) return 'dropped';
  return CACHING.has(name) ? 'caching' : 'passed';
}

function nominatedBy(raw: readonly string[], fate: ResponseFate): Set<string> | undefined {
  let nominated: Set<string> | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    if (fate(raw[i] as string).kind !== 'connection') continue;
    nominated ??= new Set();
    addNominated(nominated, raw[i + 1] as string);
  }
  return nominated;
}

function passes(kind: Kind, value: string, rules: ResponseRules): boolean {
  if (kind === 'dropped' || kind === 'connection') return false;
  if (kind === 'caching') return rules.cacheControl !== 'no-store';
  return kind !== 'cookie' || isForeignCookie(value, rules.isOwnCookie);
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

/** The names of one more line added to a list, each once; `*` swallows them all. */
export function joinVary(list: string, line: string): string {
  let joined = list;
  for (const part of line.split(',')) {
    const name = part.trim().toLowerCase();
    if (name === '' || joined === '*') continue;
    if (name === '*') joined = name;
    else if (!`, ${joined}, `.includes(`, ${name}, `)) joined = joined === '' ? name : `${joined}, ${name}`;
  }
  return joined;
}

/** RFC 9110 §5.6.2, in lower case. */
function isToken(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name);
}

/** Controls other than the tab: RFC 9110 §5.5. */
function hasControl(value: string): boolean {
  return /[\x00-\x08\x0a-\x1f\x7f]/.test(value);
}
