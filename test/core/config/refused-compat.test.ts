import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { load, type Refusal, SETTINGS, settings, testRefusals } from './support.ts';

const SEVERAL_HOSTS = SETTINGS.replace(
  'https://app.example.com\n',
  'https://app.example.com\n    hosts: [app.example.com, grafana.example.com]\n    cookie: {domain: example.com}\n',
);

const CASES: readonly Refusal[] = [
  {
    name: 'a token cookie whose domain does not cover the host',
    sources: { settings: settings('token_cookies: {enabled: true, access_token: {domain: other.example.com}}\n') },
    lines: [
      'settings.yaml:8:55 token_cookies.access_token.domain: "other.example.com" does not cover the host app.example.com of site main, expected a domain that all hosts lie in, correct it',
    ],
  },
  {
    name: 'a domain that only ends like the host',
    sources: { settings: settings('token_cookies: {enabled: true, access_token: {domain: ample.com}}\n') },
    lines: [
      'settings.yaml:8:55 token_cookies.access_token.domain: "ample.com" does not cover the host app.example.com of site main, expected a domain that all hosts lie in, correct it',
    ],
  },
  {
    name: 'several hosts and a token cookie of one host',
    sources: { settings: `${SEVERAL_HOSTS}token_cookies: {enabled: true}\n` },
    lines: [
      'settings.yaml:10:1 token_cookies.access_token: the hosts of site main share a cookie without a domain, expected a domain that all hosts lie in, add domain',
    ],
  },
  {
    name: 'a token cookie that reaches another site',
    sources: {
      settings: settings('token_cookies: {enabled: true, access_token: {domain: example.com}}\n').replace(
        'keys:',
        '  second: {public_url: "https://b.example.com", cookie: {name: b}}\nkeys:',
      ),
    },
    lines: [
      'settings.yaml:9:55 token_cookies.access_token.domain: "example.com" would send the tokens of one site to the hosts of another, expected no domain with several sites, remove the line',
    ],
  },
  {
    name: 'a refresh cookie that applications would see',
    sources: { settings: settings('token_cookies: {enabled: true, refresh_token: {enabled: true, path: /}}\n') },
    lines: [
      'settings.yaml:8:69 token_cookies.refresh_token.path: "/" is not its path, expected /auth or /auth/refresh: no application may see the refresh token, correct it',
    ],
  },
  {
    name: 'names that are taken, and one that the attributes forbid',
    sources: {
      settings: settings(
        'token_cookies:\n  enabled: true\n  access_token: {name: BFF-Session}\n  refresh_token: {enabled: true, name: __Host-rt}\n',
      ),
    },
    lines: [
      'settings.yaml:10:24 token_cookies.access_token.name: "BFF-Session" is another cookie of Sallyport, expected a name of its own, choose another name',
      'settings.yaml:11:40 token_cookies.refresh_token.name: "__Host-rt" allows neither domain nor path, expected a name without __Host-, choose another name',
    ],
  },
  {
    name: 'one name for both',
    sources: {
      settings: settings('token_cookies: {enabled: true, refresh_token: {enabled: true, name: access-token}}\n'),
    },
    lines: [
      'settings.yaml:8:69 token_cookies.refresh_token.name: "access-token" names the other cookie too, expected two names, rename one',
    ],
  },
  {
    name: 'a script callback that no script could use',
    sources: { settings: settings('spa_callback: {enabled: true}\n') },
    lines: [
      'settings.yaml:8:1 spa_callback.allowed_redirect_uris: no code could be exchanged, expected the redirect URIs of the scripts, add them',
    ],
  },
  {
    name: 'a redirect URI that is a pattern',
    sources: {
      settings: settings(
        'spa_callback: {enabled: true, allowed_redirect_uris: ["https://spa.example.com/cb", "https://spa.example.com/*"]}\n',
      ),
    },
    lines: [
      'settings.yaml:8:85 spa_callback.allowed_redirect_uris[1]: "https://spa.example.com/*" is compared character by character, expected a URI as it is sent, write it out',
    ],
  },
];

describe('compatibility modes that contradict something are refused:', () => testRefusals(CASES));

describe('compatibility modes', () => {
  test('are all off by default, and what is off is not judged', () => {
    assert.deepEqual(load({}).compat, { tokenCookies: undefined, directGrant: undefined, spaCallback: undefined });
    const off = load({ settings: settings('token_cookies: {enabled: false, access_token: {domain: other.test}}\n') });
    assert.equal(off.compat.tokenCookies, undefined);
  });

  test('passwords and tokens for machines are warned about at the start', () => {
    const { warnings, compat } = load({
      settings: settings('direct_access_grant: {enabled: true, return_token: true}\n'),
    });
    assert.deepEqual(
      warnings.map((line) => line.split(': ')[0]),
      ['settings.yaml:8:23 direct_access_grant.enabled', 'settings.yaml:8:38 direct_access_grant.return_token'],
    );
    assert.deepEqual(compat.directGrant, {
      returnToken: true,
      rateLimit: { average: 5, periodMs: 60_000, burst: 5 },
    });
  });

  test('token cookies have the names and paths of the contract', () => {
    const { compat } = load({
      settings: `${SEVERAL_HOSTS}paths: {auth: /id}\ntoken_cookies: {enabled: true, access_token: {domain: .Example.com}, refresh_token: {enabled: true, domain: example.com}}\n`,
    });
    assert.deepEqual(compat.tokenCookies, {
      accessToken: { name: 'access_token', domain: 'example.com', path: '/' },
      refreshToken: { name: 'refresh_token', domain: 'example.com', path: '/id' },
    });
  });
});
