import type { Config } from './config/types.ts';
import type { TokenCookie, TokenCookieSettings } from './config/types-compat.ts';
import type { RequestContext } from './context.ts';
import { findCookie } from './cookie.ts';
import { deriveKey, type KeyRing, openBytes, sealBytes, sealedKeyId } from './crypto.ts';
import { LIMITS } from './limits.ts';
import type { Logger } from './log.ts';
import { isAtOrBelow } from './path.ts';
import type { Session } from './services.ts';
import type { Binding } from './session.ts';
import { type CookieWriter, compileSessionCookie } from './set-cookie.ts';
import type { SiteRuntime } from './sites.ts';

/** What a refresh cookie holds, sealed: enough to go on where the session itself was lost. */
export type SavedGrant = {
  readonly refreshToken: string;
  readonly site: string;
  readonly idp: string;
  readonly subject: string;
  readonly sid: string | undefined;
  readonly acr: string | undefined;
  /** ms since the epoch, as all times here. */
  readonly authTime: number | undefined;
  /** The session it belongs to. */
  readonly locator: string;
  /** When that session was made. */
  readonly createdAt: number;
  readonly absoluteAt: number;
  /** The user was last seen, for the idle limit. */
  readonly savedAt: number;
  readonly idleMs: number;
  /** What that session was tied to. */
  readonly binding: Binding | undefined;
};

/** Tokens of sessions in cookies (SPEC §12). */
export type TokenCookies = {
  /** Name of the cookie that back ends read. */
  readonly name: string;
  /** True where a refresh cookie exists too. */
  readonly savesGrants: boolean;
  /**
   * `Set-Cookie` values for the tokens of a session. A token that does not fit a cookie is not sent, and what the browser
   * has in its place is removed.
   * @param refreshToken undefined = none; its cookie is removed.
   */
  issue(site: SiteRuntime, session: Session, refreshToken: string | undefined): readonly string[];
  /**
   * True if the browser has the session's token already, or need not get one: the cookie's path leaves this address out,
   * or there is no token now.
   */
  isCurrent(context: RequestContext, path: string, session: Session): boolean;
  /** `Set-Cookie` values that remove every variant of the cookies. */
  expired(site: SiteRuntime): readonly string[];
  /** The grant of the request's refresh cookie; undefined without a usable one. Limits are not judged here. */
  findGrant(context: RequestContext, site: SiteRuntime): SavedGrant | undefined;
};

type Writers = { readonly access: CookieWriter; readonly refresh: CookieWriter | undefined };

/** RFC 6265bis §4.1.1 `cookie-octet`. */
const COOKIE_VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/;

/** Compile the token cookies of a configuration; undefined if they are off. */
export function compileTokenCookies(config: Config, ring: KeyRing, log: Logger): TokenCookies | undefined {
  const settings = config.compat.tokenCookies;
  if (settings === undefined) return undefined;
  const writers = new Map(config.sites.map(({ name }) => [name, compileWriters(config, settings, name)]));
  const writersOf = ({ site }: SiteRuntime): Writers => {
    const found = writers.get(site.name);
    if (found === undefined) throw new TypeError(`no token cookies compiled for site ${site.name}`);
    return found;
  };
  const set = createSetter(log);
  const { accessToken, refreshToken } = settings;
  return {
    name: accessToken.name,
    savesGrants: refreshToken !== undefined,
    issue(site, session, token) {
      const { access, refresh } = writersOf(site);
      const isBearer = session.hot.tokenType.toLowerCase() === 'bearer';
      const values = [...set(access, isBearer ? session.hot.accessToken : '')];
      if (refresh === undefined) return values;
      const grant = isBearer && token !== undefined ? sealGrant(ring, grantOf(session, token)) : '';
      return [...values, ...set(refresh, grant)];
    },
    isCurrent(context, path, { hot }) {
      if (hot.accessToken === '' || !isAtOrBelow(path, accessToken.path)) return true;
      const { value, conflicting } = findCookie(context.cookie, accessToken.name);
      if (hot.tokenType.toLowerCase() !== 'bearer' || !fits(accessToken.name, hot.accessToken))
        return value === undefined;
      return value === hot.accessToken && !conflicting;
    },
    expired(site) {
      const { access, refresh } = writersOf(site);
      return [...access.expire, ...(refresh?.expire ?? [])];
    },
    findGrant(context, site) {
      if (refreshToken === undefined) return undefined;
      const { value, conflicting } = findCookie(context.cookie, refreshToken.name);
      const grant = value === undefined || conflicting ? undefined : openGrant(ring, value);
      return grant?.site === site.site.name ? grant : undefined;
    },
  };
}

function compileWriters(config: Config, settings: TokenCookieSettings, siteName: string): Writers {
  const site = config.sites.find(({ name }) => name === siteName);
  if (site === undefined) throw new TypeError(`no site ${siteName}`);
  const persistentMs = site.cookie.persistent ? config.session.absoluteMs : undefined;
  const write = ({ name, domain, path }: TokenCookie): CookieWriter =>
    compileSessionCookie({ ...site.cookie, name, domain }, persistentMs, path);
  return { access: write(settings.accessToken), refresh: settings.refreshToken && write(settings.refreshToken) };
}

/** Sets a cookie or removes it; says once what did not fit, until something does. */
function createSetter(log: Logger): (cookie: CookieWriter, value: string) => readonly string[] {
  const unfit = new Set<string>();
  return (cookie, value) => {
    if (value === '') return cookie.expire;
    if (fits(cookie.name, value)) {
      unfit.delete(cookie.name);
      return [cookie.set(value)];
    }
    if (!unfit.has(cookie.name)) {
      unfit.add(cookie.name);
      log.warn({ cookie: cookie.name, chars: value.length }, 'a token does not fit its cookie and is not sent there');
    }
    return cookie.expire;
  };
}

/** Browsers drop larger cookies without a word. */
function fits(name: string, value: string): boolean {
  return name.length + 1 + value.length <= LIMITS.cookieMaxBytes && COOKIE_VALUE.test(value);
}

function grantOf({ locator, hot, lastSeenAt }: Session, refreshToken: string): SavedGrant {
  const { site, idp, principal, sid, acr, authTime, createdAt, absoluteAt, idleMs, binding } = hot;
  const { subject } = principal;
  const limits = { createdAt, absoluteAt, savedAt: lastSeenAt, idleMs };
  return { refreshToken, site, idp, subject, sid, acr, authTime, locator, binding, ...limits };
}

const LABEL = 'refresh cookie';

/** Under the server's key alone: without the session there is no handle to derive one from. */
function sealGrant(ring: KeyRing, grant: SavedGrant): string {
  const key = ring.find(ring.writerId, 'session');
  if (key === undefined) throw new TypeError('the writing key is not in the ring');
  const plain = Buffer.from(JSON.stringify(grant), 'utf8');
  return sealBytes(deriveKey(key, LABEL), ring.writerId, plain, LABEL).toString('base64url');
}

function openGrant(ring: KeyRing, value: string): SavedGrant | undefined {
  if (value.length > LIMITS.cookieMaxBytes) return undefined;
  const sealed = Buffer.from(value, 'base64url');
  const keyId = sealedKeyId(sealed);
  const key = keyId === undefined ? undefined : ring.find(keyId, 'session');
  const plain = key === undefined ? undefined : openBytes(deriveKey(key, LABEL), sealed, LABEL);
  return plain === undefined ? undefined : JSON.parse(plain.toString('utf8'));
}
