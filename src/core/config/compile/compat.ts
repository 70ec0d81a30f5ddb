import { foldCookieName, isHelperCookie } from '../../folded-names.ts';
import { isAtOrBelow } from '../../path.ts';
import { hostName } from '../schema/web.ts';
import type { Site } from '../types.ts';
import type {
  CompatSettings,
  DirectGrantSettings,
  SpaCallbackSettings,
  TokenCookie,
  TokenCookieSettings,
} from '../types-compat.ts';
import type { CompileContext } from './context.ts';
import { compileRateLimit } from './rate-limits.ts';
import { isAtOrBelowDomain } from './site-cookies.ts';

type TokenCookieKey = 'access_token' | 'refresh_token';

/** `token_cookies`, `direct_access_grant` and `spa_callback` compiled (SPEC §12). */
export function compileCompat(context: CompileContext, sites: readonly Site[]): CompatSettings {
  return {
    tokenCookies: compileTokenCookies(context, sites),
    directGrant: compileDirectGrant(context, sites),
    spaCallback: compileSpaCallback(context),
  };
}

function compileDirectGrant(
  { settings, idps }: CompileContext,
  sites: readonly Site[],
): DirectGrantSettings | undefined {
  const { direct_access_grant: input, paths } = settings.sections;
  if (input?.enabled !== true) return undefined;
  const path = ['direct_access_grant'];
  const address = `POST ${paths?.auth ?? '/auth'}/login`;
  const message = `${address} takes passwords: whoever answers for this service sees them, and the provider asks for nothing more`;
  settings.warn([...path, 'enabled'], message);
  const undecided = sites.find(({ idp }) => idp === '');
  if (undecided !== undefined && idps.namesAt(['providers']).length > 1) {
    const problem = `nobody says whom site ${undecided.name} asks about a password`;
    settings.fail(
      [...path, 'enabled'],
      problem,
      'one provider for each site',
      'add default to idps.yaml, or idp to it',
    );
  }
  if (input.return_token) settings.warn([...path, 'return_token'], `${address} gives access tokens to its callers`);
  const rateLimit = compileRateLimit(settings, [...path, 'rate_limit'], input.rate_limit);
  return rateLimit && { returnToken: input.return_token, rateLimit };
}

function compileSpaCallback({ settings }: CompileContext): SpaCallbackSettings | undefined {
  const { spa_callback: input } = settings.sections;
  if (input?.enabled !== true) return undefined;
  const path = ['spa_callback', 'allowed_redirect_uris'];
  if (input.allowed_redirect_uris.length === 0) {
    settings.fail(path, 'no code could be exchanged', 'the redirect URIs of the scripts', 'add them');
  }
  for (const [index, uri] of input.allowed_redirect_uris.entries()) {
    if (!uri.includes('*') && !uri.includes('#')) continue;
    settings.fail(
      [...path, index],
      '{value} is compared character by character',
      'a URI as it is sent',
      'write it out',
    );
  }
  return { redirectUris: input.allowed_redirect_uris };
}

function compileTokenCookies(context: CompileContext, sites: readonly Site[]): TokenCookieSettings | undefined {
  const { token_cookies: input, paths } = context.settings.sections;
  if (input?.enabled !== true) return undefined;
  const auth = paths?.auth ?? '/auth';
  const { access_token: access, refresh_token: refresh } = input;
  const accessToken: TokenCookie = { name: access.name, domain: plainDomain(access.domain), path: access.path };
  checkCookie(context, sites, 'access_token', accessToken);
  if (!refresh.enabled) return { accessToken, refreshToken: undefined };
  const path = refresh.path ?? auth;
  const refreshToken: TokenCookie = { name: refresh.name, domain: plainDomain(refresh.domain), path };
  checkCookie(context, sites, 'refresh_token', refreshToken);
  if (!isAtOrBelow(path, auth) || !isAtOrBelow(`${auth}/refresh`, path)) {
    const expected = `${auth} or ${auth}/refresh: no application may see the refresh token`;
    context.settings.fail(
      ['token_cookies', 'refresh_token', 'path'],
      '{value} is not its path',
      expected,
      'correct it',
    );
  }
  if (foldCookieName(refresh.name) === foldCookieName(access.name)) {
    const at = ['token_cookies', 'refresh_token', 'name'];
    context.settings.fail(at, '{value} names the other cookie too', 'two names', 'rename one');
  }
  return { accessToken, refreshToken };
}

function plainDomain(domain: string | undefined): string | undefined {
  return domain?.toLowerCase().replace(/^\./, '');
}

/** Whatever would make a browser drop the cookie, or send it where it does not belong, stops the start. */
function checkCookie(context: CompileContext, sites: readonly Site[], key: TokenCookieKey, cookie: TokenCookie): void {
  const { settings } = context;
  const at = (name: string): string[] => ['token_cookies', key, name];
  const { name, domain, path } = cookie;
  if (/^__host-/i.test(name) && (domain !== undefined || path !== '/')) {
    settings.fail(
      at('name'),
      '{value} allows neither domain nor path',
      'a name without __Host-',
      'choose another name',
    );
  }
  if (/^__/.test(name) && sites.some((site) => !site.cookie.secure)) {
    settings.fail(at('name'), '{value} needs Secure cookies', 'insecure_http: false', 'choose a name without prefix');
  }
  const folded = foldCookieName(name);
  const taken = [...sites.map((site) => site.cookie.name), settings.sections.csrf?.cookie ?? ''];
  if (taken.some((other) => foldCookieName(other) === folded) || isHelperCookie(folded)) {
    settings.fail(at('name'), '{value} is another cookie of Sallyport', 'a name of its own', 'choose another name');
  }
  for (const site of sites) checkSite(context, key, cookie, site);
  if (sites.length > 1 && domain !== undefined) {
    const problem = '{value} would send the tokens of one site to the hosts of another';
    settings.fail(at('domain'), problem, 'no domain with several sites', 'remove the line');
  }
}

/** The strict match of hosts (SPEC §12): nobody signs in where a cookie would not come back. */
function checkSite({ settings }: CompileContext, key: TokenCookieKey, cookie: TokenCookie, site: Site): void {
  const hosts = site.hosts.map((host) => hostName(host).replace(/^\*\./, ''));
  const { domain } = cookie;
  if (domain === undefined) {
    if (new Set(hosts).size < 2 && !site.hosts.some((host) => host.startsWith('*.'))) return;
    const problem = `the hosts of site ${site.name} share a cookie without a domain`;
    settings.fail(['token_cookies', key], problem, 'a domain that all hosts lie in', 'add domain');
    return;
  }
  const outside = hosts.find((host) => !isAtOrBelowDomain(host, domain));
  if (outside === undefined) return;
  const problem = `{value} does not cover the host ${outside} of site ${site.name}`;
  settings.fail(['token_cookies', key, 'domain'], problem, 'a domain that all hosts lie in', 'correct it');
}
