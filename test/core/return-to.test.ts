import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isSallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { findUrlValue, parseForm } from '../../src/core/query.ts';
import { compileReturnTo } from '../../src/core/return-to.ts';
import { compileSites } from '../../src/core/sites.ts';
import { getSite, readAttacks, worldConfig } from './world.ts';

type RedirectCase = {
  readonly id: string;
  readonly input: string;
  readonly input_kind?: 'raw_query';
  readonly expect: 'accept' | 'reject';
  readonly browser_resolves_to?: string;
  readonly why: string;
  readonly tier: 'must' | 'policy';
};

const config = worldConfig();
const site = getSite(compileSites(config), 'main');
const check = compileReturnTo({ authPaths: ['/auth', '/api/auth'], origins: config.login.returnTo.origins });

/** What the login makes of a raw query: the target, or undefined for the fallback or a refusal. */
function targetOf(query: string): string | undefined {
  try {
    if ((parseForm(query).get('return_to') ?? '') === '') return undefined;
    return check(findUrlValue(query, 'return_to') ?? '', site);
  } catch (error) {
    assert.ok(isSallyportError(error) && error.code === 'bad_request');
    return undefined;
  }
}

/** Policy cases that are answered otherwise: escaped UTF-8 is data, stays escaped in Location and is never narrowed. */
const OTHERWISE: ReadonlySet<string> = new Set(['OR-236']);

describe('open_redirect.json', () => {
  for (const attack of readAttacks<RedirectCase>('open_redirect')) {
    const isOtherwise = attack.tier === 'policy' && OTHERWISE.has(attack.id);
    test(`${attack.id}: ${attack.why}${isOtherwise ? ' (accepted, escaped)' : ''}`, () => {
      const target = attack.input_kind === 'raw_query' ? targetOf(attack.input) : check(attack.input, site);
      assert.equal(target === undefined ? 'reject' : 'accept', isOtherwise ? 'accept' : attack.expect);
      if (target === undefined || attack.input_kind === 'raw_query') return;
      assert.equal(target, attack.input, 'what is written is what was checked');
      assert.equal(new URL(target, site.loginUrl).origin, attack.browser_resolves_to);
    });
  }
});

describe('return_to', () => {
  const accepted = [
    '/a?x={1}|2^`3',
    '/a#fragment',
    '/a?b#c/../../..',
    '/a?b=//evil.test',
    '/auth-help',
    '/authentic',
    '/%61uthors',
    '/a/%C3%A9',
    'https://app.example.test?x=1',
    'https://app.example.test#x',
    'https://guide.docs.test/a',
    'https://partner.test/a',
  ];
  for (const value of accepted) test(`accepts ${value}`, () => assert.equal(check(value, site), value));

  const refused = [
    '/auth',
    '/auth/',
    '/auth?x',
    '/auth#x',
    '/%61uth/login',
    '/a%75th/login',
    '/api/auth/logout',
    '/API/Auth/logout',
    'https://app.example.test/auth/logout',
    'https://tenant1.apps.example.test/auth/login',
    'https://partner.test/auth/login',
    '/a?%0d%0a',
    '/a#%00',
    '/a?%7f',
    '/a?x=%',
    '/a?x=%zz',
    '/a[1]',
    'http://app.example.test/',
    'https://localhost:8080/',
    'https://docs.test/',
    'https://a.b.docs.test/',
    'https://app.example.test:0443/',
    'https://app.example.test:80/',
    'https://app.example.test//evil.test',
    'https://app.example.test/..//evil.test',
    'https://app.example.test/%2f/evil.test',
    'https://%61pp.example.test/',
  ];
  for (const value of refused) test(`refuses ${value}`, () => assert.equal(check(value, site), undefined));

  test('the limit counts characters', () => {
    const atLimit = `/${'a'.repeat(LIMITS.returnToMaxChars - 1)}`;
    assert.equal(check(atLimit, site), atLimit);
    assert.equal(check(`${atLimit}a`, site), undefined);
  });

  test('the plain-http site accepts its own origin and no other', () => {
    const plain = getSite(compileSites(config), 'plain');
    assert.equal(check('http://localhost:8080/x', plain), 'http://localhost:8080/x');
    assert.equal(check('https://app.example.test/x', plain), undefined);
    assert.equal(check('http://localhost/x', plain), undefined);
  });
});

const PIECES = [
  ...[
    '/',
    '//',
    '\\',
    '.',
    '..',
    '@',
    ':',
    '?',
    '#',
    '%2f',
    '%5c',
    '%09',
    '%',
    'a',
    'auth',
    '%61uth',
    '443',
    '\t',
    '\n',
  ],
  ...['https:', 'http:', 'HTTPS://', 'javascript:', 'app.example.test', 'evil.test', '.apps.example.test', 'tenant1'],
  ...['partner.test', '.docs.test', '[::1]', '127.0.0.1', '%00', 'é', '\u3002', '\uff0f', ' ', '-', '_', '*', '"', '<'],
];
const wild = fc.array(fc.constantFrom(...PIECES), { maxLength: 7 }).map((pieces) => pieces.join(''));
const ALLOWED =
  /^https:\/\/(?:app\.example\.test|[a-z0-9-]+\.apps\.example\.test|partner\.test|[a-z0-9-]+\.docs\.test)$/;

describe('properties of return_to', () => {
  test('what is accepted leads a browser to an allowed origin, outside our own endpoints, from any base', () => {
    let accepted = 0;
    const prefixed = fc
      .tuple(fc.constantFrom('', '/', 'https://app.example.test'), wild)
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(prefixed, (value) => {
        const target = check(value, site);
        if (target === undefined) return;
        accepted += 1;
        assert.equal(target, value);
        const url = new URL(target, site.loginUrl);
        assert.match(url.origin, ALLOWED);
        assert.doesNotMatch(decodeURIComponent(url.pathname), /^\/(?:api\/)?auth(?:\/|$)/i);
        assert.equal(url.username + url.password, '');
        assert.match(target, /^[\x21-\x7e]+$/);
        // Our own path is what the browser will ask for: nothing is collapsed on the way.
        const written = target.startsWith('/') ? target : (/^https:\/\/[^/?#]+(.*)$/i.exec(target)?.[1] ?? '');
        assert.equal((written === '' ? '/' : written).split(/[?#]/)[0] || '/', url.pathname);
      }),
      { numRuns: 10_000 },
    );
    assert.ok(accepted > 100, `the property must see accepted values, saw ${accepted}`);
  });
});
