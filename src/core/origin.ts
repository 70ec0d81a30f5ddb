import type { Config } from './config/types.ts';
import type { RequestContext } from './context.ts';
import { matchesOrigin, type SiteRuntime } from './sites.ts';

/** Header pairs of an answer. */
export type HeaderPairs = readonly (readonly [string, string])[];

/** CORS and CSRF rules of a configuration, compiled. */
export type OriginRules = {
  /**
   * CORS headers for an answer to `origin`: its own text only, credentials, exposed headers; nothing for an
   * origin that is not allowed or absent. `Vary: Origin` in every case.
   */
  corsHeaders(site: SiteRuntime | undefined, origin: string): HeaderPairs;
  /** The answer's headers for a preflight of an allowed origin; undefined if it is not allowed. */
  preflightHeaders(site: SiteRuntime, context: RequestContext): HeaderPairs | undefined;
};

/** What browsers write in Sec-Fetch-Site (Fetch Metadata §2.4); empty = nothing. */
const FETCH_SITES: ReadonlySet<string> = new Set(['', 'same-origin', 'same-site', 'cross-site', 'none']);

/** HEAD, GET and OPTIONS change nothing (RFC 9110 §9.2.1); everything else is unsafe. */
export function isUnsafeMethod(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';
}

/** A real CORS preflight: OPTIONS with Origin and Access-Control-Request-Method (Fetch standard). */
export function isPreflight(method: string, context: RequestContext): boolean {
  return method === 'OPTIONS' && context.origin !== '' && context.corsMethod !== '';
}

/**
 * True for a top-level navigation by a person: the only request that a redirect to a login page helps (SPEC §6).
 * Fetch Metadata decides where the browser sends it, else method and Accept.
 * @param method of the original request.
 */
export function isNavigation(method: string, context: RequestContext): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false;
  if (context.webSocketKey !== '' || context.upgrade !== '') return false;
  const { secFetchMode, secFetchDest } = context;
  if (secFetchMode === 'navigate') return secFetchDest === 'document' || secFetchDest === '';
  if (hasFetchMetadata(context)) return false;
  return context.accept.includes('text/html');
}

/**
 * True if a browser sent Fetch Metadata. Browsers send Site, Mode and Dest together; a lone Mode comes from a server-side
 * HTTP library that imitates fetch, and says nothing about where the request began.
 */
export function hasFetchMetadata(context: RequestContext): boolean {
  return context.secFetchSite !== '' || context.secFetchDest !== '';
}

/** Compile the CORS rules. */
export function compileOriginRules(config: Config): OriginRules {
  const { allowHeaders, allowMethods, exposeHeaders, maxAgeMs } = config.cors;
  const vary = Object.freeze(['vary', 'Origin'] as const);
  const expose = Object.freeze(['access-control-expose-headers', exposeHeaders.join(', ')] as const);
  const credentials = Object.freeze(['access-control-allow-credentials', 'true'] as const);
  const allowedMethods = allowMethods.join(', ');
  const allowedHeaders = [...new Set([...allowHeaders, config.csrf.header.toLowerCase()])].join(', ');
  return {
    corsHeaders(site, origin) {
      if (site === undefined || origin === '' || !site.allowsOrigin(origin)) return [vary];
      return [vary, ['access-control-allow-origin', origin], credentials, expose];
    },
    preflightHeaders(site, context) {
      if (!site.allowsOrigin(context.origin)) return undefined;
      return [
        ['vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers'],
        ['access-control-allow-origin', context.origin],
        credentials,
        ['access-control-allow-methods', allowedMethods],
        ['access-control-allow-headers', allowedHeaders],
        ['access-control-max-age', String(Math.floor(maxAgeMs / 1000))],
      ];
    },
  };
}

/**
 * Why an unsafe request fails the origin rule, or undefined if it passes: Sec-Fetch-Site `same-origin`, else an
 * allowed Origin, else an allowed Referer.
 * @param silent what a request without any of the three means: `allow` for third-party apps behind verify, whose
 * non-browser clients send none (every browser that sends cookies sends one on unsafe requests); `refuse` elsewhere.
 */
export function originProblem(
  context: RequestContext,
  site: SiteRuntime,
  silent: 'allow' | 'refuse',
): string | undefined {
  const { secFetchSite, origin, referer } = context;
  // A value of the standard in another spelling was written by no browser (CC-026).
  if (secFetchSite === 'none' || !FETCH_SITES.has(secFetchSite)) return 'fetch_site';
  // A listed foreign origin may be of another site; one of our own hosts cannot be, so somebody lies (D-44, CC-022).
  if (secFetchSite === 'cross-site') return isListed(site, origin) ? undefined : 'fetch_site';
  if (origin !== '') return site.allowsOrigin(origin) ? undefined : 'origin';
  if (secFetchSite === 'same-origin') return undefined;
  if (referer !== '')
    return URL.canParse(referer) && site.allowsOrigin(new URL(referer).origin) ? undefined : 'referer';
  if (secFetchSite !== '') return 'fetch_site';
  return silent === 'allow' ? undefined : 'no_origin';
}

function isListed({ site }: SiteRuntime, origin: string): boolean {
  return site.origins.some((pattern) => matchesOrigin(pattern, origin));
}
