import { describe } from 'node:test';
import { type Refusal, SETTINGS, settings, site, testRefusals } from './support.ts';

const CASES: readonly Refusal[] = [
  {
    name: 'no public URL',
    sources: { settings: SETTINGS.replace('    public_url: https://app.example.com', '    hosts: [app.example.com]') },
    lines: [
      'settings.yaml:3:3 sites.main.public_url: is missing, expected an https origin such as https://app.example.com (http only on loopback), add the line',
    ],
  },
  {
    name: 'a public URL with a path',
    sources: { settings: SETTINGS.replace('.com', '.com/app') },
    lines: [
      'settings.yaml:4:17 sites.main.public_url: "https://app.example.com/app" has a path, expected an https origin such as https://app.example.com (http only on loopback), write scheme, host and port only',
    ],
  },
  {
    name: 'a public URL with a trailing slash',
    sources: { settings: SETTINGS.replace('.com', '.com/') },
    lines: [
      'settings.yaml:4:17 sites.main.public_url: "https://app.example.com/" ends with a slash, expected an https origin such as https://app.example.com (http only on loopback), write scheme, host and port only',
    ],
  },
  {
    name: 'plain http to the world',
    sources: { settings: SETTINGS.replace('https', 'http') },
    lines: [
      'settings.yaml:4:17 sites.main.public_url: "http://app.example.com" is plain http to another machine, expected an https origin such as https://app.example.com (http only on loopback), write scheme, host and port only',
    ],
  },
  {
    name: 'insecure cookies with a real public URL',
    sources: { settings: settings('insecure_http: true\n') },
    lines: [
      'settings.yaml:8:16 insecure_http: true although public_url of site main is not a loopback address, expected false, remove the line',
    ],
  },
  {
    name: 'a name for a site that cannot be one',
    sources: { settings: SETTINGS.replace('main:', '"ma in":') },
    lines: [
      'settings.yaml:3:3 sites."ma in": the name is not allowed, expected letters, digits, - and _, at most 64, rename it',
    ],
  },
  {
    name: 'no site at all',
    sources: { settings: SETTINGS.replace(/sites:[\s\S]*keys/, 'sites: {}\nkeys') },
    lines: ['settings.yaml:2:1 sites: there is no site, expected at least one, add "main: {public_url: …}" below it'],
  },
  {
    name: 'hosts without the host of the public URL',
    sources: { settings: site('hosts: [www.example.com]') },
    lines: [
      'settings.yaml:5:5 sites.main.hosts: the host of public_url is missing, expected app.example.com among them, add it',
    ],
  },
  {
    name: 'a wildcard in the middle',
    sources: {
      settings: site('hosts: [app.example.com, "a.*.example.com", "*.com"]\n    cookie: {domain: example.com}'),
    },
    lines: [
      'settings.yaml:5:30 sites.main.hosts[1]: "a.*.example.com" is not a host, expected a host such as app.example.com, or *.example.com for exactly one label, correct the host',
      'settings.yaml:5:49 sites.main.hosts[2]: "*.com" is wider than one domain, expected a host such as app.example.com, or *.example.com for exactly one label, correct the host',
    ],
  },
  {
    name: 'several hosts with a host-only cookie',
    sources: { settings: site('hosts: [app.example.com, www.example.com]') },
    lines: [
      'settings.yaml:5:5 sites.main.hosts: several hosts share a cookie without a domain, expected cookie.domain, since a host-only cookie reaches the host of public_url alone, add cookie.domain or remove hosts',
    ],
  },
  {
    name: 'a cookie domain that ends in the middle of a label',
    sources: { settings: site('cookie: {domain: ample.com}') },
    lines: [
      'settings.yaml:5:22 sites.main.cookie.domain: "ample.com" does not cover the host app.example.com, expected a domain that all hosts lie in, correct it or move the host to another site',
    ],
  },
  {
    name: 'a cookie domain of one label',
    sources: { settings: site('cookie: {domain: com}') },
    lines: [
      'settings.yaml:5:22 sites.main.cookie.domain: "com" is wider than one domain, expected a domain such as example.com, write the domain alone',
    ],
  },
  {
    name: '__Host- with a domain',
    sources: { settings: site('cookie: {name: __Host-bff_session, domain: example.com}') },
    lines: [
      'settings.yaml:5:48 sites.main.cookie.domain: __Host-bff_session must not have a domain, expected no domain with the prefix __Host-, remove the line or choose another name',
    ],
  },
  ...['__Host-bff_tx_1', 'bff_loop', '__Secure-BFF-left'].map((name) => ({
    name: `the name of another cookie of ours: ${name}`,
    sources: { settings: site(`cookie: {name: ${name}}`) },
    lines: [
      `settings.yaml:5:20 sites.main.cookie.name: "${name}" is another cookie of Sallyport, expected a name such as bff_session or __Host-bff_session, choose another name`,
    ],
  })),
  {
    name: 'prefix, SameSite=None and Partitioned without Secure',
    sources: {
      settings:
        SETTINGS.replace('https://app.example.com', 'http://localhost:8080') +
        'insecure_http: true\nsession:\n  cookie:\n    name: __Secure-s\n    same_site: none\n    partitioned: true\n',
    },
    lines: [
      'settings.yaml:11:11 session.cookie.name: "__Secure-s" needs Secure cookies, expected insecure_http: false, choose a name without prefix',
      'settings.yaml:12:16 session.cookie.same_site: none needs Secure cookies, expected insecure_http: false, use lax',
      'settings.yaml:13:18 session.cookie.partitioned: true needs Secure cookies, expected insecure_http: false, remove the line',
    ],
  },
  {
    name: 'a site with an unknown provider',
    sources: { settings: site('idp: staff') },
    lines: [
      'settings.yaml:5:10 sites.main.idp: "staff" is no provider of idps.yaml, expected main, choose one of them',
    ],
  },
  {
    name: 'one host in two sites',
    sources: {
      settings: site(
        'hosts: [app.example.com]\n  other:\n    public_url: https://app.example.com:443\n    cookie: {name: other_session}',
      ),
    },
    lines: [
      'settings.yaml:7:17 sites.other.public_url: the host app.example.com belongs to site main already, expected each host in one site, remove one',
    ],
  },
  {
    name: 'overlapping cookies with one name',
    sources: {
      settings: site(
        'cookie: {domain: example.com}\n  tenants:\n    public_url: https://login.apps.example.com\n    cookie: {domain: apps.example.com}',
      ),
    },
    lines: [
      'settings.yaml:6:3 sites.tenants: the cookie bff_session of site main reaches hosts of this site too, expected another cookie name, give one of the two sites its own cookie.name',
    ],
  },
  {
    name: 'one cookie name on two ports of a host',
    sources: {
      settings: SETTINGS.replace(
        'https://app.example.com',
        'http://127.0.0.1:9000\n  other:\n    public_url: http://127.0.0.1:9001',
      ),
    },
    lines: [
      'settings.yaml:5:3 sites.other: the cookie bff_session of site main reaches hosts of this site too, expected another cookie name, give one of the two sites its own cookie.name',
    ],
  },
  {
    name: 'an origin with a path and one over plain http',
    sources: { settings: site('origins: "https://spa.example.com/x, http://spa.example.com"') },
    lines: [
      'settings.yaml:5:14 sites.main.origins[0]: "https://spa.example.com/x, http://spa.example.com" has a path, expected an origin such as https://spa.example.com or https://*.apps.example.com, write scheme, host and port only; "*." stands for one label (http only on loopback)',
      'settings.yaml:5:14 sites.main.origins[1]: "https://spa.example.com/x, http://spa.example.com" is plain http to another machine, expected an origin such as https://spa.example.com or https://*.apps.example.com, write scheme, host and port only; "*." stands for one label (http only on loopback)',
    ],
  },
  {
    name: 'an origin wider than a domain',
    sources: { settings: site('origins: ["https://*.com", "*"]') },
    lines: [
      'settings.yaml:5:15 sites.main.origins[0]: "https://*.com" is wider than one domain, expected an origin such as https://spa.example.com or https://*.apps.example.com, write scheme, host and port only; "*." stands for one label (http only on loopback)',
      'settings.yaml:5:32 sites.main.origins[1]: "*" is not an http(s) origin, expected an origin such as https://spa.example.com or https://*.apps.example.com, write scheme, host and port only; "*." stands for one label (http only on loopback)',
    ],
  },
  {
    name: 'a default target elsewhere',
    sources: { settings: site('default_return_to: //evil.example') },
    lines: [
      'settings.yaml:5:24 sites.main.default_return_to: "//evil.example" is not a local target, expected a path such as / or /app?tab=1, begin with one slash, leave scheme and host out',
    ],
  },
];

describe('sites are refused, with the exact lines', () => testRefusals(CASES));
