import { SallyportError } from './errors.ts';
import { LIMITS } from './limits.ts';

/**
 * Parse a raw query or form body (`application/x-www-form-urlencoded`): `&` separates, `;` does not, the first `=`
 * splits, `+` is a space. A name may come once.
 * @throws bad_request for a repeated name, a bad escape, invalid UTF-8, or more parameters than the limit.
 */
export function parseForm(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  if (text === '') return values;
  const pairs = text.split('&');
  if (pairs.length > LIMITS.queryParametersMax)
    throw new SallyportError('bad_request', { detail: 'too many parameters' });
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    if (values.has(name)) throw new SallyportError('bad_request', { detail: 'repeated parameter' });
    values.set(name, equals === -1 ? '' : decode(pair.slice(equals + 1)));
  }
  return values;
}

/**
 * One parameter that is itself a URL, percent-decoded once. A raw `+` is a space in form encoding, and a space in a URL
 * is written `%20`; a plus of the URL comes as `%2B`. Undefined if absent. Assumes that `parseForm` accepted the same
 * text (no repetition, escapes valid).
 */
export function findUrlValue(query: string, name: string): string | undefined {
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=');
    if (equals === -1 || pair.slice(0, equals) !== name) continue;
    return pair
      .slice(equals + 1)
      .split('+')
      .map(decodeURIComponent)
      .join('%20');
  }
  return undefined;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new SallyportError('bad_request', { detail: 'bad percent-encoding in a parameter' });
  }
}
