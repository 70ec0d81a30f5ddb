import { canonicalHost, schemeOf } from '../../sites.ts';
import { isLoopbackHost } from '../schema/web.ts';
import type { Site } from '../types.ts';
import type { CompileContext } from './context.ts';
import { checkCookieOverlap, compileCookie } from './site-cookies.ts';

type SiteInput = NonNullable<CompileContext['settings']['sections']['sites']>[string];

/**
 * Compile the host groups (D-11) and check what they must not contradict: public URLs, hosts, cookies, providers.
 * Only sites that passed the schema are returned.
 */
export function compileSites(context: CompileContext, defaultIdp: string): readonly Site[] {
  const { settings } = context;
  const inputs = Object.entries(settings.sections.sites ?? {});
  if (settings.sections.sites !== undefined && settings.namesAt(['sites']).length === 0) {
    settings.fail(['sites'], 'there is no site', 'at least one', 'add "main: {public_url: …}" below it');
  }
  checkInsecure(context, inputs);
  const sites = inputs.map(([name, input]) => compileSite(context, name, input, defaultIdp));
  checkHostsUnique(context, sites);
  checkCookieOverlap(context, sites);
  return sites;
}

/** True if a host is one of the patterns, or the one label more that a `*.x` stands for. */
export function hostMatches(host: string, patterns: readonly string[]): boolean {
  const dot = host.indexOf('.');
  const parent = dot === -1 ? undefined : `*${host.slice(dot)}`;
  return patterns.some((pattern) => pattern === host || (pattern.startsWith('*.') && pattern === parent));
}

function compileSite(context: CompileContext, name: string, input: SiteInput, defaultIdp: string): Site {
  const { settings, idps } = context;
  const url = new URL(input.public_url);
  const scheme = schemeOf(url.origin);
  const hosts = input.hosts?.map((host) => canonicalHost(host, scheme)) ?? [url.host];
  if (input.hosts !== undefined && !hostMatches(url.host, hosts)) {
    settings.fail(['sites', name, 'hosts'], 'the host of public_url is missing', `${url.host} among them`, 'add it');
  }
  const providers = idps.namesAt(['providers']);
  if (input.idp !== undefined && providers.length > 0 && !providers.includes(input.idp)) {
    settings.fail(
      ['sites', name, 'idp'],
      '{value} is no provider of idps.yaml',
      providers.join(', '),
      'choose one of them',
    );
  }
  return {
    name,
    publicUrl: url.origin,
    hosts,
    cookie: compileCookie(context, name, input, hosts),
    idp: input.idp ?? defaultIdp,
    origins: input.origins.map((origin) => canonicalOrigin(origin)),
    defaultReturnTo: input.default_return_to ?? settings.sections.login?.return_to.default ?? '/',
  };
}

/** An allowed origin in lower case, without the default port of its scheme. */
export function canonicalOrigin(origin: string): string {
  const lower = origin.toLowerCase();
  return lower.replace(lower.startsWith('https:') ? /:443$/ : /:80$/, '');
}

/** Plain http is for loopback; cookies without `Secure` must be asked for (SPEC §2.5). */
function checkInsecure({ settings }: CompileContext, inputs: readonly (readonly [string, SiteInput])[]): void {
  const insecure = settings.sections.insecure_http === true;
  for (const [name, input] of inputs) {
    const url = new URL(input.public_url);
    if (insecure && !isLoopbackHost(url.hostname)) {
      const problem = `true although public_url of site ${name} is not a loopback address`;
      settings.fail(['insecure_http'], problem, 'false', 'remove the line');
    } else if (!insecure && url.protocol === 'http:') {
      const message =
        'plain http with Secure cookies: some browsers drop them; insecure_http: true sends them without Secure';
      settings.warn(['sites', name, 'public_url'], message);
    }
  }
  if (insecure)
    settings.warn(['insecure_http'], 'cookies are sent without Secure; for demonstrations on one machine only');
}

function checkHostsUnique({ settings }: CompileContext, sites: readonly Site[]): void {
  const owners = new Map<string, string>();
  for (const site of sites) {
    for (const [index, host] of site.hosts.entries()) {
      const owner = owners.get(host);
      const written = settings.namesAt(['sites', site.name]).includes('hosts');
      const path = written ? ['sites', site.name, 'hosts', index] : ['sites', site.name, 'public_url'];
      if (owner === site.name) settings.fail(path, '{value} is there twice', 'each host once', 'remove one');
      else if (owner !== undefined)
        settings.fail(path, `the host ${host} belongs to site ${owner} already`, 'each host in one site', 'remove one');
      owners.set(host, owner ?? site.name);
    }
  }
}
