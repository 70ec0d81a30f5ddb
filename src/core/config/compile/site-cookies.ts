import { foldCookieName, isHelperCookie } from '../../folded-names.ts';
import { hostName } from '../schema/web.ts';
import type { CookieSettings, Site } from '../types.ts';
import type { CompileContext } from './context.ts';

type SiteInput = NonNullable<CompileContext['settings']['sections']['sites']>[string];

/** The cookie of one site: its own keys over those of `session.cookie`, checked against its hosts and prefix rules. */
export function compileCookie(
  context: CompileContext,
  name: string,
  input: SiteInput,
  hosts: readonly string[],
): CookieSettings {
  const { settings } = context;
  const base = settings.sections.session?.cookie;
  const cookie: CookieSettings = {
    name: input.cookie.name ?? base?.name ?? 'bff_session',
    domain: input.cookie.domain?.toLowerCase().replace(/^\./, ''),
    sameSite: input.cookie.same_site ?? base?.same_site ?? 'lax',
    persistent: input.cookie.persistent ?? base?.persistent ?? false,
    partitioned: input.cookie.partitioned ?? base?.partitioned ?? false,
    secure: settings.sections.insecure_http !== true,
  };
  // Without a usable session section the merged cookie would be judged by defaults that nobody wrote.
  if (base !== undefined) checkAttributes(context, name, input, cookie);
  checkScope(context, name, cookie, hosts);
  return cookie;
}

function checkAttributes({ settings }: CompileContext, site: string, input: SiteInput, cookie: CookieSettings): void {
  const at = (key: 'name' | 'same_site' | 'partitioned'): (string | number)[] => {
    return input.cookie[key] === undefined ? ['session', 'cookie', key] : ['sites', site, 'cookie', key];
  };
  if (/^__host-/i.test(cookie.name) && cookie.domain !== undefined) {
    const problem = `${cookie.name} must not have a domain`;
    settings.fail(
      ['sites', site, 'cookie', 'domain'],
      problem,
      'no domain with the prefix __Host-',
      'remove the line or choose another name',
    );
  }
  if (/^__(?:host|secure)-/i.test(cookie.name) && !cookie.secure) {
    settings.fail(at('name'), '{value} needs Secure cookies', 'insecure_http: false', 'choose a name without prefix');
  }
  const usual = 'a name such as bff_session or __Host-bff_session';
  // RFC 6265bis knows `__Host-`, `__Secure-` and `__Host-Http-`; ours is HttpOnly with Path=/ always.
  if (/^__(?!host-|secure-)/i.test(cookie.name)) {
    settings.fail(at('name'), '{value} has a reserved beginning', usual, 'choose another name');
  }
  if (isHelperCookie(foldCookieName(cookie.name))) {
    settings.fail(at('name'), '{value} is another cookie of Sallyport', usual, 'choose another name');
  }
  if (cookie.sameSite === 'none' && !cookie.secure) {
    settings.fail(at('same_site'), 'none needs Secure cookies', 'insecure_http: false', 'use lax');
  }
  if (cookie.partitioned && !cookie.secure) {
    settings.fail(at('partitioned'), 'true needs Secure cookies', 'insecure_http: false', 'remove the line');
  }
}

/** The domain must cover every host of the site; without one the cookie stays on the host that set it. */
function checkScope(
  { settings }: CompileContext,
  site: string,
  cookie: CookieSettings,
  hosts: readonly string[],
): void {
  const names = hosts.map((host) => hostName(host).replace(/^\*\./, ''));
  if (cookie.domain !== undefined) {
    for (const [index, host] of names.entries()) {
      if (isAtOrBelowDomain(host, cookie.domain)) continue;
      const problem = `{value} does not cover the host ${hosts[index]}`;
      settings.fail(
        ['sites', site, 'cookie', 'domain'],
        problem,
        'a domain that all hosts lie in',
        'correct it or move the host to another site',
      );
    }
  } else if (new Set(names).size > 1 || hosts.some((host) => host.startsWith('*.'))) {
    const problem = 'several hosts share a cookie without a domain';
    settings.fail(
      ['sites', site, 'hosts'],
      problem,
      'cookie.domain, since a host-only cookie reaches the host of public_url alone',
      'add cookie.domain or remove hosts',
    );
  }
}

/** Two sites whose cookies reach a common host must not give them one name (D-11). Ports do not part cookies. */
export function checkCookieOverlap({ settings }: CompileContext, sites: readonly Site[]): void {
  for (const [index, site] of sites.entries()) {
    const other = sites
      .slice(0, index)
      .find((earlier) => earlier.cookie.name === site.cookie.name && overlap(earlier, site));
    if (other === undefined) continue;
    const problem = `the cookie ${site.cookie.name} of site ${other.name} reaches hosts of this site too`;
    settings.fail(
      ['sites', site.name],
      problem,
      'another cookie name',
      'give one of the two sites its own cookie.name',
    );
  }
}

/** True if a cookie of one of two sites reaches a host of the other. */
export function overlap(a: Site, b: Site): boolean {
  return reaches(a, b) || reaches(b, a);
}

function reaches(from: Site, to: Site): boolean {
  const { domain } = from.cookie;
  const targets = to.hosts.map((host) => hostName(host));
  if (domain !== undefined) return targets.some((target) => isAtOrBelowDomain(target.replace(/^\*\./, ''), domain));
  const own = new URL(from.publicUrl).hostname;
  return to.cookie.domain === undefined && targets.includes(own);
}

/** True if a host name is the domain or lies below it, by whole labels. */
export function isAtOrBelowDomain(host: string, domain: string): boolean {
  return host === domain || host.endsWith(`.${domain}`);
}
