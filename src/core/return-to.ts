import { LIMITS } from './limits.ts';
import { AMBIGUOUS, canonicalPath } from './path.ts';
import { matchesOrigin, type SiteRuntime } from './sites.ts';

/** Decides whether a `return_to` may become a Location. */
export type ReturnToCheck = (value: string, site: SiteRuntime) => string | undefined;

// RFC 3986 characters and nothing else: no control, space, quote, angle bracket, backslash or non-ASCII.
const URL_CHARACTERS = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/?#[\]%|{}^`]*$/;
const ABSOLUTE = /^(https?):\/\/([a-z0-9.-]+(?::[0-9]{1,5})?)([/?#].*)?$/i;

/**
 * Compile the `return_to` rule: a path-absolute reference, or an absolute URL of a host of this site
 * or of an allow-listed origin; never an address of our own auth endpoints. Checked on the very string that is
 * returned and later written, after exactly one percent-decoding.
 * @returns a check that answers the safe value, or undefined for a refused one.
 */
export function compileReturnTo(options: {
  readonly authPaths: readonly string[];
  readonly origins: readonly string[];
}): ReturnToCheck {
  const reserved = options.authPaths.map((path) => path.toLowerCase());
  return (value, site) => {
    if (value === '' || value.length > LIMITS.returnToMaxChars || !URL_CHARACTERS.test(value)) return undefined;
    if (value.startsWith('/')) return isSafePath(value, reserved) ? value : undefined;
    const parts = ABSOLUTE.exec(value);
    if (parts === null) return undefined;
    const [, , authority = '', rest = ''] = parts;
    const tail = rest.startsWith('/') ? rest : `/${rest}`;
    const origin = originOf(value, authority);
    if (origin === undefined || !isSafePath(tail, reserved)) return undefined;
    const allowed = site.allowsOrigin(origin) || options.origins.some((pattern) => matchesOrigin(pattern, origin));
    return allowed ? value : undefined;
  };
}

/** The WHATWG origin, but only where the text itself names that authority: no port 0, no trailing dot, no IP games. */
function originOf(value: string, authority: string): string | undefined {
  if (!URL.canParse(value)) return undefined;
  const url = new URL(value);
  const lower = authority.toLowerCase();
  const withDefault =
    url.port === '' ? [url.hostname, `${url.hostname}:${url.protocol === 'https:' ? 443 : 80}`] : [url.host];
  return withDefault.includes(lower) && !url.hostname.endsWith('.') ? url.origin : undefined;
}

function isSafePath(target: string, reserved: readonly string[]): boolean {
  const end = target.search(/[?#]/);
  const path = end === -1 ? target : target.slice(0, end);
  const canonical = canonicalPath(path);
  if (canonical === AMBIGUOUS || hasBadEscape(target.slice(path.length))) return false;
  const lower = canonical.toLowerCase();
  return !reserved.some((prefix) => lower === prefix || lower.startsWith(`${prefix}/`));
}

function hasBadEscape(text: string): boolean {
  return /%(?![0-9A-Fa-f]{2})|%(?:0[0-9A-Fa-f]|1[0-9A-Fa-f]|7[fF])/.test(text);
}
