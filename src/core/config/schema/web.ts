import { isIP } from 'node:net';
import { canonicalPath } from '../../path.ts';

const HOST = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** True for an RFC 9110 token: header and cookie names. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** The URL, if the text is an absolute one without user information; undefined otherwise. */
function parseUrl(text: string): URL | undefined {
  const url = URL.canParse(text) && /^[\x21-\x7e]+$/.test(text) ? new URL(text) : undefined;
  return url === undefined || url.username !== '' || url.password !== '' ? undefined : url;
}

/** True for `localhost`, names below it, 127.0.0.0/8 and ::1; takes a URL's `hostname`. */
export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.toLowerCase().replace(/^\[|\]$/g, '');
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '::1' ||
    (isIP(host) === 4 && host.startsWith('127.'))
  );
}

/** What is wrong with an origin (`https://host[:port]`, nothing behind); plain http only to loopback if asked. */
export function originProblem(text: string, httpOnlyLoopback: boolean): string | undefined {
  const url = parseUrl(text);
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return '{value} is not an http(s) origin';
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') return '{value} has a path';
  if (text.endsWith('/')) return '{value} ends with a slash';
  const written = text.toLowerCase().replace(url.protocol === 'https:' ? /:443$/ : /:80$/, '');
  if (url.origin !== written) return '{value} is not in its canonical form';
  return httpOnlyLoopback ? plainHttpProblem(url) : undefined;
}

/** Plain http is only for loopback. */
function plainHttpProblem(url: URL): string | undefined {
  return url.protocol === 'http:' && !isLoopbackHost(url.hostname)
    ? '{value} is plain http to another machine'
    : undefined;
}

/** What is wrong with a URL of a provider: https (or loopback http), no query where none may be, no fragment. */
export function endpointProblem(text: string, query: boolean): string | undefined {
  const url = parseUrl(text);
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return '{value} is not an absolute URL';
  if (url.hash !== '' || (!query && url.search !== '')) return '{value} has a query or fragment';
  return plainHttpProblem(url);
}

/** What is wrong with an allowed origin: exact, or `https://*.sub.domain` (one label). */
export function allowedOriginProblem(text: string): string | undefined {
  const wildcard = /^(https?:\/\/)\*\.(.+)$/.exec(text);
  if (wildcard === null) return originProblem(text, true);
  const [, scheme = '', rest = ''] = wildcard;
  if (!rest.replace(/:\d+$/, '').includes('.')) return '{value} is wider than one domain';
  return originProblem(`${scheme}${rest}`, true);
}

/** What is wrong with a host: lower or upper case name, optional port, or `*.x.y`. */
export function hostProblem(text: string): string | undefined {
  const [, wildcard = '', name = '', port] = /^(\*\.)?(\[[0-9a-f:.]+\]|[^:*]*)(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = name.toLowerCase();
  const bare = host.startsWith('[')
    ? isIP(host.slice(1, -1)) === 6
      ? 'ip'
      : undefined
    : HOST.test(host)
      ? host
      : undefined;
  if (
    bare === undefined ||
    host.length > 253 ||
    (port !== undefined && !(Number(port) >= 1 && Number(port) <= 65_535))
  ) {
    return '{value} is not a host';
  }
  if (wildcard !== '' && (!host.includes('.') || isIP(host) !== 0 || bare === 'ip'))
    return '{value} is wider than one domain';
  return undefined;
}

/** What is wrong with a path of ours: absolute, canonical, no trailing slash unless it is `/` and that is allowed. */
export function pathProblem(text: string, rootAllowed: boolean): string | undefined {
  if (text === '/') return rootAllowed ? undefined : '{value} would take every address';
  if (!text.startsWith('/')) return '{value} does not begin with a slash';
  if (text.endsWith('/')) return '{value} ends with a slash';
  return canonicalPath(text) === text ? undefined : '{value} is not a canonical path';
}

/** True for a JSON Pointer (RFC 6901) to something inside a document. */
export function isJsonPointer(text: string): boolean {
  return /^(?:\/(?:[^~/]|~[01])*)+$/.test(text) && text.length > 1;
}

/** A host without its port. */
export function hostName(host: string): string {
  return host.replace(/:\d+$/, '');
}
