import { compileOwnCookies } from '../../src/proxy/cookie-names.ts';
import { type ClientHeaders, compileRequestHeaders } from '../../src/proxy/request-headers.ts';

/** One header. */
export type Pair = readonly [string, string];

const cookie = { domain: undefined, sameSite: 'lax', persistent: false, partitioned: false, secure: true } as const;
const site = { publicUrl: 'https://a.test', hosts: [], idp: 'x', origins: [], defaultReturnTo: '/' };
const sites = [
  { ...site, name: 'main', cookie: { ...cookie, name: 'bff_session' } },
  { ...site, name: 'other', cookie: { ...cookie, name: '__Host-staff' } },
];
const compat = { tokenCookies: undefined, directGrant: undefined, spaCallback: undefined };
const csrf = { mode: 'token', header: 'X-CSRF', value: '1', cookie: 'xsrf_proof' } as const;
const identityNames = ['authorization', 'x-user-id', 'x-team_name', 'Sub'];
/** The rules of a configuration with two sites and four identity headers. */
export const rules = compileRequestHeaders({ sites, compat, csrf }, identityNames);
/** The cookies of those sites. */
export const isOwnCookie = compileOwnCookies({ sites, compat, csrf });

/** Headers as the native request gives them: names in lower case. */
export function read(pairs: readonly Pair[]): ClientHeaders {
  return rules.read(pairs.flatMap(([name, value]) => [name.toLowerCase(), value]));
}

/** Takes a flat list apart. */
export function toPairs(list: readonly string[]): Pair[] {
  const pairs: Pair[] = [];
  for (let i = 0; i < list.length; i += 2) pairs.push([list[i] as string, list[i + 1] as string]);
  return pairs;
}

/** What we say of a request. */
export const OWN = {
  clientIp: '2001:db8::1',
  host: 'a.test:8443',
  scheme: 'https',
  requestId: 'r1',
  identity: ['x-user-id', 'u1'],
  authorization: 'Bearer t',
  tokenCookie: '',
};
