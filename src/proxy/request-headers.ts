import type { Config } from '../core/config/types.ts';
import { SallyportError } from '../core/errors.ts';
import { foldName } from '../core/folded-names.ts';
import { createMemo } from '../core/memo.ts';
import { compileOwnCookies, type OwnCookieTest } from './cookie-names.ts';
import { addNominated, HOP_BY_HOP, NAMES_REMEMBERED } from './header-names.ts';
import { createTraceMaker, type TraceMaker } from './trace.ts';

/** What arrived and may go on, before authorization: name, value, name, value, … */
export type ClientHeaders = {
  readonly list: string[];
  /** A Connection line names a field whose removal would change who is asking (SECURITY §4.1). */
  readonly nominatesCritical: boolean;
};

/** What we say about the request, whatever the client said. */
export type OwnHeaders = {
  readonly clientIp: string;
  readonly host: string;
  readonly scheme: string;
  readonly requestId: string;
  /** Identity headers without any token. */
  /** Name, value, name, value, … */
  readonly identity: readonly string[];
  /** Value of Authorization; empty = none. */
  readonly authorization: string;
  /** Cookie that holds the token of `authorization` too, for services that read it there; empty = none. */
  readonly tokenCookie: string;
};

/** The rules of a configuration, compiled. */
export type RequestHeaderRules = {
  /** Leave out everything that must not reach a service. @param fields as they came, see RequestContext. */
  read(fields: readonly string[]): ClientHeaders;
  /** True for a name that never reaches a service, in any spelling. */
  isRefused(name: string): boolean;
};

/** Set by framing, by us, or meant for us alone. */
const REFUSED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  'host',
  'content-length',
  'expect',
  'cookie',
  'cookie2',
  'authorization',
  'dpop',
  'forwarded',
  'client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'fastly-client-ip',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-remote-ip',
  'x-remote-addr',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-host',
  'x-scheme',
  'x-url-scheme',
  'front-end-https',
  'x-request-id',
  'traceparent',
  'tracestate',
]);

/** Families: the forwarded ones, originals and rewrites, identities and certificates that only a gateway may state. */
const REFUSED_FAMILIES =
  /^(?:x-forwarded|x-original|x-rewrite|x-user-|x-auth-(?!token$)|x-remote-user|x-remote-group|x-webauth-|remote-|x-sallyport|x-accel|x-sendfile|x-ssl-|ssl-client|client-cert|x-client-cert|x-envoy|proxy|sec-websocket)/;

/** Without these a service would see another asker or another message than we did. */
const CRITICAL: readonly string[] = ['authorization', 'cookie', 'host', 'origin', 'content-length'];

const PLAIN_NAME = /^[a-z0-9-]+$/;
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const KNOWN_ENCODINGS = /^(?:(?:gzip|deflate|br|zstd|identity|\*)(?:;q=[01](?:\.\d{0,3})?)?(?:, ?|$))+$/;

/** Compile what may pass from a client to a service (R-133 to R-135, SECURITY §4.1, 4.2, 4.9). */
export function compileRequestHeaders(
  config: Pick<Config, 'sites' | 'compat' | 'csrf'>,
  identityNames: readonly string[],
): RequestHeaderRules {
  const identity = new Set(identityNames.map(foldName));
  const isOwnCookie = compileOwnCookies(config);
  const isRefused = createMemo((name: string): boolean => {
    const lower = name.toLowerCase();
    // `_`, `.` and their like are folded to `-` by some services: none of them passes at all.
    if (!PLAIN_NAME.test(lower)) return true;
    return REFUSED.has(lower) || REFUSED_FAMILIES.test(lower) || identity.has(lower);
  }, NAMES_REMEMBERED);
  const makeTrace = createTraceMaker();
  return { isRefused, read: (fields) => readClientHeaders(fields, { isRefused, isOwnCookie, makeTrace }) };
}

type Reading = {
  readonly isRefused: (name: string) => boolean;
  readonly isOwnCookie: OwnCookieTest;
  readonly makeTrace: TraceMaker;
};

function readClientHeaders(fields: readonly string[], { isRefused, isOwnCookie, makeTrace }: Reading): ClientHeaders {
  const passed: string[] = [];
  let nominated: Set<string> | undefined;
  let cookie = '';
  let traceparent = '';
  let tracestate = '';
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (name === 'connection') {
      nominated ??= new Set();
      addNominated(nominated, value);
    } else if (name === 'cookie') cookie = cookie === '' ? value : `${cookie}; ${value}`;
    else if (name === 'traceparent') traceparent = traceparent === '' ? value : 'repeated';
    else if (name === 'tracestate') tracestate = tracestate === '' ? value : `${tracestate},${value}`;
    else if (isRefused(name) || (name === 'accept-encoding' && !KNOWN_ENCODINGS.test(value))) continue;
    else passed.push(name, fieldValue(name, value));
  }
  const list = nominated === undefined ? passed : withoutNominated(passed, nominated);
  const others = foreignCookies(cookie, isOwnCookie);
  if (others !== '' && nominated?.has('cookie') !== true) list.push('cookie', fieldValue('cookie', others));
  pushTrace(list, traceparent, tracestate, makeTrace);
  return { list, nominatesCritical: nominated !== undefined && CRITICAL.some((name) => nominated?.has(name)) };
}

function withoutNominated(list: readonly string[], nominated: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i < list.length; i += 2) {
    if (!nominated.has(list[i] as string)) kept.push(list[i] as string, list[i + 1] as string);
  }
  return kept;
}

/**
 * The Cookie header without our cookies: rebuilt from its pairs, the others byte for byte in their order (SECURITY
 * §4.9). Pairs without a name are left out: services disagree on what they are.
 */
export function foreignCookies(header: string, isOwnCookie: OwnCookieTest): string {
  if (header === '') return '';
  const kept: string[] = [];
  for (const part of header.split(';')) {
    const pair = trimBlanks(part);
    const equals = pair.indexOf('=');
    if (equals > 0 && !isOwnCookie(pair.slice(0, equals))) kept.push(pair);
  }
  return kept.join('; ');
}

/** Without spaces and tabs around it; other white space stays for the service to see. */
function trimBlanks(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && isBlank(text.charCodeAt(from))) from += 1;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** A valid W3C trace context goes on as it came; without one the trace begins here. */
function pushTrace(list: string[], traceparent: string, tracestate: string, makeTrace: TraceMaker): void {
  if (traceparent !== '' && TRACEPARENT.test(traceparent)) {
    list.push('traceparent', traceparent);
    if (tracestate !== '') list.push('tracestate', fieldValue('tracestate', tracestate));
    return;
  }
  list.push('traceparent', makeTrace());
}

/**
 * A value in the form that undici writes: one character for each byte. The native side reads bytes as UTF-8, so this
 * gives back the bytes that were sent.
 * @throws `bad_request` for controls, and for bytes that were no UTF-8: they cannot be passed on as they came.
 */
function fieldValue(name: string, value: string): string {
  // Printable ASCII and tabs: nearly always.
  if (/^[\t\x20-\x7e]*$/.test(value)) return value;
  if (/[\x00-\x08\x0a-\x1f\x7f\ufffd]/.test(value)) {
    throw new SallyportError('bad_request', { detail: `the value of ${name} holds bytes that cannot be forwarded` });
  }
  return Buffer.from(value, 'utf8').toString('latin1');
}

/**
 * A list as lines of a head. Values were checked where they came in: those of a client when they were read, identities
 * and tokens once for as long as they are remembered; the others are of our making.
 */
export function fieldLines(list: readonly string[]): string {
  let lines = '';
  for (let i = 0; i < list.length; i += 2) lines += `${list[i]}: ${list[i + 1]}\r\n`;
  return lines;
}

/** Complete the list of a request: ours come last, after everything nominated is gone (SECURITY §4.1). */
export function finishHeaders(client: ClientHeaders, own: OwnHeaders): string[] {
  const { list } = client;
  const { clientIp, host, scheme, requestId, identity, authorization, tokenCookie } = own;
  list.push(
    'x-forwarded-for',
    clientIp,
    'x-forwarded-host',
    host,
    'x-forwarded-proto',
    scheme,
    'forwarded',
    `for=${clientIp.includes(':') ? `"[${clientIp}]"` : clientIp};host="${host}";proto=${scheme}`,
    'x-request-id',
    requestId,
  );
  for (let i = 0; i < identity.length; i += 2) list.push(identity[i] as string, identity[i + 1] as string);
  if (authorization === '') return list;
  list.push('authorization', authorization);
  return tokenCookie === '' ? list : withCookie(list, tokenCookie, authorization.slice(BEARER.length));
}

const BEARER = 'Bearer ';

/** RFC 6265 §4.1.1 `cookie-octet`: anything else could be read as further cookies. */
const COOKIE_VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/;

/**
 * The list with a cookie of ours instead of whatever it has under that name in any case.
 * @param value empty, or no cookie's value: there is none then.
 */
export function withCookie(list: readonly string[], name: string, value: string): string[] {
  const kept: string[] = [];
  const pairs: string[] = [];
  for (let i = 0; i < list.length; i += 2) {
    const [field, text] = [list[i] as string, list[i + 1] as string];
    if (field === 'cookie') pairs.push(...text.split('; ').filter((pair) => !isNamed(pair, name)));
    else kept.push(field, text);
  }
  if (COOKIE_VALUE.test(value)) pairs.push(`${name}=${value}`);
  if (pairs.length > 0) kept.push('cookie', pairs.join('; '));
  return kept;
}

function isNamed(pair: string, name: string): boolean {
  return pair.slice(0, pair.indexOf('=')).toLowerCase() === name.toLowerCase();
}
