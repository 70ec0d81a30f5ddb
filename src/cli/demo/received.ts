import type { IncomingMessage } from 'node:http';

/** What stands in a report in place of a credential. */
const NOT_SHOWN = '<not shown>';

// Three dot-separated base64url parts, or the opaque values that travel in these headers: neither may leave whole.
const JWT_LIKE = /[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g;

/**
 * The headers of a request as name and value pairs (lower-case names, in order of arrival), fit to be shown to a
 * browser: of `Authorization` only its scheme, of `Cookie` only the names, and nothing that looks like a JWT anywhere.
 */
export function describeHeaders(request: IncomingMessage): [name: string, value: string][] {
  const described: [string, string][] = [];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const name = (request.rawHeaders[index] ?? '').toLowerCase();
    described.push([name, describeValue(name, request.rawHeaders[index + 1] ?? '')]);
  }
  return described;
}

function describeValue(name: string, value: string): string {
  switch (name) {
    case 'authorization':
    case 'proxy-authorization':
      return describeCredentials(value);
    case 'cookie':
      return value
        .split(';')
        .map((pair) => `${pair.split('=')[0]?.trim()}=${NOT_SHOWN}`)
        .join('; ');
    default:
      return redactJwts(value);
  }
}

/** The text with everything that looks like a JWT replaced. */
export function redactJwts(text: string): string {
  return text.replaceAll(JWT_LIKE, NOT_SHOWN);
}

function describeCredentials(value: string): string {
  if (value === '') {
    return '';
  }
  const [scheme = ''] = value.split(' ', 1);
  return scheme === value ? NOT_SHOWN : `${scheme} ${NOT_SHOWN}`;
}

/** The token of an `Authorization: Bearer` header, or undefined (RFC 6750 §2.1; the scheme is case-insensitive). */
export function readBearer(request: IncomingMessage): string | undefined {
  return /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
}
