import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IDPS, load, ROUTES } from './config/support.ts';

const bearer = (entry: string): string => `${IDPS}bearer:\n  enabled: true\n  issuers:\n    - {${entry}}\n`;

describe('bearer in idps.yaml', () => {
  test('absent or off, the header is ignored', () => {
    const off = { enabled: false, issuers: [], cacheEntries: 0, dpop: { proofMaxAgeMs: 60_000, nonce: false } };
    assert.deepEqual(load({}).bearer, off);
    assert.deepEqual(load({ idps: `${IDPS}bearer: {enabled: false, cache_entries: 5}\n` }).bearer, off);
  });

  test('has defaults for everything but issuer, provider and audiences', () => {
    const idps = bearer('issuer: "https://id.example.com", provider: main, audiences: api');
    assert.deepEqual(load({ idps }).bearer, {
      enabled: true,
      cacheEntries: 50_000,
      dpop: { proofMaxAgeMs: 60_000, nonce: false },
      issuers: [
        {
          issuer: 'https://id.example.com',
          provider: 'main',
          audiences: ['api'],
          algs: ['RS256', 'ES256'],
          types: ['at+jwt'],
          requiredScopes: [],
          clockSkewMs: 30_000,
          introspection: false,
          introspectionCacheMs: 30_000,
          claimsLike: 'main',
        },
      ],
    });
    assert.deepEqual(
      load({ idps }).warnings.filter((line) => line.includes('bearer')),
      [],
    );
  });

  test('warns of ID tokens that would pass, and of keys that sign for another issuer', () => {
    const idps = bearer(
      'issuer: "https://sts.example.com", provider: main, audiences: sallyport, types: [at+jwt, JWT]',
    );
    assert.deepEqual(
      load({ idps }).warnings.filter((line) => line.includes('bearer')),
      [
        'idps.yaml:10:43 bearer.issuers[0].provider: the keys of main sign for another issuer than its own',
        'idps.yaml:10:81 bearer.issuers[0].types: JWT with the audience sallyport: its ID tokens pass as access tokens',
      ],
    );
  });

  test('lets routes ask for bearer tokens, with rules', () => {
    const idps = bearer('issuer: "https://id.example.com", provider: main, audiences: api');
    const routes = `${ROUTES}  - {id: a, paths: [/a], auth: bearer, scopes: [x]}\n  - {id: b, paths: [/b], auth: any, roles: [y]}\n`;
    assert.deepEqual(
      load({ idps, routes }).routes.map(({ auth }) => auth),
      ['bearer', 'any'],
    );
  });
});
