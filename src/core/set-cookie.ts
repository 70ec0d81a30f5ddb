import type { CookieSettings } from './config/types.ts';

/** Writes and expires one cookie; attributes are text made at start. */
export type CookieWriter = {
  readonly name: string;
  /** `Set-Cookie` value for a new value of base64url or percent-encoded characters. */
  set(value: string, maxAgeMs?: number): string;
  /** `Set-Cookie` values that remove every Domain variant of the cookie (R-112). */
  readonly expire: readonly string[];
};

/**
 * The session cookie of a site (SPEC §2.5), or a token cookie beside it: `HttpOnly`, `SameSite`, `Secure` unless on
 * loopback http.
 * @param persistentMs Max-Age of a persistent cookie, or undefined for a browser-session cookie.
 */
export function compileSessionCookie(
  settings: CookieSettings,
  persistentMs: number | undefined,
  path = '/',
): CookieWriter {
  const { name, domain, sameSite, secure, partitioned } = settings;
  const flags =
    `; Path=${path}; HttpOnly` +
    (secure ? '; Secure' : '') +
    `; SameSite=${sameSite === 'lax' ? 'Lax' : sameSite === 'strict' ? 'Strict' : 'None'}` +
    (partitioned ? '; Partitioned' : '');
  const domainPart = domain === undefined ? '' : `; Domain=${domain}`;
  const age = persistentMs === undefined ? '' : `; Max-Age=${Math.floor(persistentMs / 1000)}`;
  const expired = `${name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT`;
  return {
    name,
    set: (value) => `${name}=${value}${domainPart}${age}${flags}`,
    // With a Domain, a host-only cookie of the same name can still have been planted: both go.
    expire: domain === undefined ? [expired + flags] : [expired + domainPart + flags, expired + flags],
  };
}

/** A cookie as `compileSessionCookie` makes it, that scripts can read: it must hold nothing that is a credential. */
export function compileReadableCookie(settings: CookieSettings, persistentMs: number | undefined): CookieWriter {
  const hidden = compileSessionCookie(settings, persistentMs);
  const readable = (text: string): string => text.replace('; HttpOnly', '');
  return {
    name: hidden.name,
    set: (value) => readable(hidden.set(value)),
    expire: hidden.expire.map(readable),
  };
}

/**
 * A short-lived `HttpOnly`, `SameSite=Lax` cookie of ours, `__Host-` prefixed where `Secure` is on and no Domain is
 * given (R-044, D-23).
 */
export function compileHelperCookie(
  name: string,
  options: { secure: boolean; domain?: string | undefined },
): CookieWriter {
  const { secure, domain } = options;
  const full = secure && domain === undefined ? `__Host-${name}` : name;
  const flags = `; Path=/; HttpOnly${secure ? '; Secure' : ''}; SameSite=Lax${domain === undefined ? '' : `; Domain=${domain}`}`;
  return {
    name: full,
    set: (value, maxAgeMs = 0) => `${full}=${value}; Max-Age=${Math.floor(maxAgeMs / 1000)}${flags}`,
    expire: [`${full}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT${flags}`],
  };
}
