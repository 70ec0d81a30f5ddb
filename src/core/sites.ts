import type { Config, Site } from './config/types.ts';
import { compileHandleFinder, type HandleFinder } from './cookie.ts';

/** A site with what requests ask of it worked out at start. */
export type SiteRuntime = {
  readonly site: Site;
  /** `https` or `http`: the scheme of public_url, and the only one the site accepts. */
  readonly scheme: 'https' | 'http';
  /** Canonical host of public_url: the host that owns the login (SPEC §2.0). */
  readonly loginHost: string;
  /** Absolute login address, `<public_url><auth>/login`. */
  readonly loginUrl: string;
  /** Absolute logout address. */
  readonly logoutUrl: string;
  /** Finds the handle of the site's session cookie. */
  readonly findHandle: HandleFinder;
  /** True for an origin of `sites.<name>.origins`, or the origin of one of the site's own hosts. */
  allowsOrigin(origin: string): boolean;
};

/** Finds the site of a host. */
export type SiteTable = {
  readonly all: readonly SiteRuntime[];
  /**
   * The site that serves a host, or undefined. Exact hosts first, then `*.x` patterns, by whole labels (R-002, R-003).
   * @param host as sent in Host or X-Forwarded-Host; compared in ASCII lower case without the scheme's default port.
   */
  find(host: string): SiteRuntime | undefined;
};

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Compile the sites of a configuration. */
export function compileSites(config: Config): SiteTable {
  const all = config.sites.map((site) => compileSite(site, config.paths.auth));
  const exact = new Map<string, SiteRuntime>();
  const wildcard = new Map<string, SiteRuntime>();
  for (const runtime of all) {
    for (const host of runtime.site.hosts) {
      if (host.startsWith('*.')) wildcard.set(host.slice(2), runtime);
      else exact.set(canonicalHost(host, runtime.scheme), runtime);
    }
  }
  const findCanonical = (host: string): SiteRuntime | undefined => exact.get(host) ?? findWildcard(wildcard, host);
  const findAny = (host: string): SiteRuntime | undefined => {
    const lower = host.toLowerCase();
    const found = findCanonical(lower);
    if (found !== undefined) return found;
    const scheme = lower.endsWith(':443') ? 'https' : lower.endsWith(':80') ? 'http' : undefined;
    if (scheme === undefined) return undefined;
    const runtime = findCanonical(lower.slice(0, lower.lastIndexOf(':')));
    return runtime?.scheme === scheme ? runtime : undefined;
  };
  let lastHost = '';
  let last: SiteRuntime | undefined;
  return {
    all,
    find(host) {
      // Comparing is cheaper than hashing a string that was just made, and most requests are for the same host.
      if (host === lastHost && last !== undefined) return last;
      const found = exact.get(host) ?? findAny(host);
      if (found !== undefined) {
        last = found;
        lastHost = host;
      }
      return found;
    },
  };
}

/** The scheme of a public URL, the only one its site accepts. */
export function schemeOf(publicUrl: string): 'https' | 'http' {
  return publicUrl.startsWith('https:') ? 'https' : 'http';
}

/** Lower case, without the scheme's default port: the text that everything compares (R-002). */
export function canonicalHost(host: string, scheme: 'https' | 'http'): string {
  const lower = host.toLowerCase();
  const suffix = scheme === 'https' ? ':443' : ':80';
  return lower.endsWith(suffix) ? lower.slice(0, -suffix.length) : lower;
}

/**
 * True if `origin` equals `pattern`, or the pattern is `https://*.domain` and the origin has exactly one LDH label in
 * its place (SECURITY §5). Never a prefix, suffix or regex over the raw value (R-152).
 */
export function matchesOrigin(pattern: string, origin: string): boolean {
  const star = pattern.indexOf('://*.');
  if (star === -1) return pattern === origin;
  const head = pattern.slice(0, star + 3);
  const tail = pattern.slice(star + 4);
  if (!origin.startsWith(head) || !origin.endsWith(tail)) return false;
  return LABEL.test(origin.slice(head.length, origin.length - tail.length));
}

function compileSite(site: Site, authPath: string): SiteRuntime {
  const url = new URL(site.publicUrl);
  const scheme = schemeOf(site.publicUrl);
  const own = site.hosts.map((host) => `${scheme}://${host}`);
  const exact = new Set([site.publicUrl, ...own, ...site.origins].filter((origin) => !origin.includes('*')));
  const patterns = [...own, ...site.origins].filter((origin) => origin.includes('*'));
  return {
    site,
    scheme,
    loginHost: url.host,
    loginUrl: `${site.publicUrl}${authPath}/login`,
    logoutUrl: `${site.publicUrl}${authPath}/logout`,
    findHandle: compileHandleFinder(site.cookie.name),
    allowsOrigin: (origin) => exact.has(origin) || patterns.some((pattern) => matchesOrigin(pattern, origin)),
  };
}

function findWildcard(wildcard: ReadonlyMap<string, SiteRuntime>, host: string): SiteRuntime | undefined {
  const dot = host.indexOf('.');
  if (dot <= 0) return undefined;
  const runtime = wildcard.get(host.slice(dot + 1));
  return runtime !== undefined && LABEL.test(host.slice(0, dot)) ? runtime : undefined;
}
