import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { canonicalHost, compileSites, matchesOrigin } from '../../src/core/sites.ts';
import { getSite, worldConfig } from './world.ts';

const sites = compileSites(worldConfig());
const main = getSite(sites, 'main');
const plain = getSite(sites, 'plain');

describe('the site of a host', () => {
  const table: readonly (readonly [host: string, site: string | undefined])[] = [
    ['app.example.test', 'main'],
    ['APP.Example.TEST', 'main'],
    ['app.example.test:443', 'main'],
    ['App.example.test:443', 'main'],
    ['tenant1.apps.example.test', 'main'],
    ['tenant1.apps.example.test:443', 'main'],
    ['TENANT1.apps.example.test', 'main'],
    ['1.apps.example.test', 'main'],
    ['xn--bcher-kva.apps.example.test', 'main'],
    ['localhost:8080', 'plain'],
    ['app.example.test:80', undefined],
    ['app.example.test:8443', undefined],
    ['app.example.test:443:443', undefined],
    ['app.example.test:', undefined],
    ['app.example.test.', undefined],
    ['app.example.test ', undefined],
    ['a.b.apps.example.test', undefined],
    ['apps.example.test', undefined],
    ['.apps.example.test', undefined],
    ['-a.apps.example.test', undefined],
    ['a-.apps.example.test', undefined],
    ['a_b.apps.example.test', undefined],
    ['*.apps.example.test', undefined],
    [`${'a'.repeat(64)}.apps.example.test`, undefined],
    ['tenant1.apps.example.test.evil.test', undefined],
    ['evil.test', undefined],
    ['example.test', undefined],
    ['user@app.example.test', undefined],
    ['app.example.test/x', undefined],
    ['app.example.test, evil.test', undefined],
    ['127.0.0.1', undefined],
    ['localhost', undefined],
    ['localhost:80', undefined],
    ['localhost:443', undefined],
    ['', undefined],
    ['__proto__', undefined],
    // Upper-case characters that fold to ASCII must not name our host.
    ['app.example.te\u017ft', undefined],
    ['\u212aapp.example.test', undefined],
  ];
  for (const [host, site] of table) {
    test(`${JSON.stringify(host.slice(0, 40))} is of ${site ?? 'no site'}`, () => {
      assert.equal(sites.find(host)?.site.name, site);
    });
  }

  test('login and logout addresses come from public_url alone', () => {
    assert.equal(main.loginUrl, 'https://app.example.test/auth/login');
    assert.equal(main.logoutUrl, 'https://app.example.test/auth/logout');
    assert.equal(main.loginHost, 'app.example.test');
    assert.equal(main.scheme, 'https');
    assert.equal(plain.loginUrl, 'http://localhost:8080/auth/login');
    assert.equal(plain.loginHost, 'localhost:8080');
    assert.equal(plain.scheme, 'http');
  });
});

describe('allowed origins of a site', () => {
  const table: readonly (readonly [origin: string, allowed: boolean])[] = [
    ['https://app.example.test', true],
    ['https://tenant1.apps.example.test', true],
    ['https://partner.test', true],
    ['http://app.example.test', false],
    ['https://app.example.test:443', false],
    ['https://app.example.test/', false],
    ['https://APP.example.test', false],
    ['https://a.b.apps.example.test', false],
    ['https://.apps.example.test', false],
    ['https://*.apps.example.test', false],
    ['https://evil.test/.apps.example.test', false],
    ['https://evil.test#.apps.example.test', false],
    ['https://evil.testapps.example.test', false],
    ['https://x.partner.test', false],
    ['https://partner.test.evil.test', false],
    ['null', false],
    ['', false],
    ['https://', false],
  ];
  for (const [origin, allowed] of table) {
    test(`${origin || 'no origin'} is ${allowed ? '' : 'not '}allowed`, () => {
      assert.equal(main.allowsOrigin(origin), allowed);
    });
  }

  test('an origin of one site is not allowed by another', () => {
    assert.equal(plain.allowsOrigin('https://app.example.test'), false);
    assert.equal(plain.allowsOrigin('http://localhost:8080'), true);
    assert.equal(main.allowsOrigin('http://localhost:8080'), false);
  });

  test('a pattern stands for exactly one label, with a port where it names one', () => {
    assert.equal(matchesOrigin('https://*.x.test:8443', 'https://a.x.test:8443'), true);
    assert.equal(matchesOrigin('https://*.x.test:8443', 'https://a.x.test'), false);
    assert.equal(matchesOrigin('https://*.x.test', 'https://.x.test'), false);
    assert.equal(matchesOrigin('https://*.x.test', 'https://x.test'), false);
    assert.equal(matchesOrigin('https://x.test', 'https://x.test'), true);
    assert.equal(matchesOrigin('https://x.test', 'https://xxtest'), false);
  });

  test('what a pattern allows is always an https URL with one label before the domain', () => {
    const piece = fc.constantFrom('https://', 'http://', 'a', '-', '.', '.x.test', ':443', '/', '@', '*', 'evil.test');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 5 }), (pieces) => {
        const origin = pieces.join('');
        if (!matchesOrigin('https://*.x.test', origin)) return;
        const url = new URL(origin);
        assert.equal(url.origin, origin);
        assert.match(url.hostname, /^[a-z0-9-]+\.x\.test$/);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('canonical hosts', () => {
  const table: readonly (readonly [host: string, scheme: 'https' | 'http', canonical: string])[] = [
    ['App.Test', 'https', 'app.test'],
    ['app.test:443', 'https', 'app.test'],
    ['app.test:80', 'https', 'app.test:80'],
    ['app.test:80', 'http', 'app.test'],
    ['app.test:443', 'http', 'app.test:443'],
    ['app.test:8443', 'https', 'app.test:8443'],
  ];
  for (const [host, scheme, canonical] of table) {
    test(`${host} over ${scheme}`, () => assert.equal(canonicalHost(host, scheme), canonical));
  }
});
