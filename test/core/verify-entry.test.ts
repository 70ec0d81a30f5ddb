import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { RequestContext } from '../../src/core/context.ts';
import { PROBLEM_DUPLICATE, PROBLEM_FORWARDED } from '../../src/core/context-problems.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { verify } from '../../src/core/verify.ts';
import { compileVerifyOptions } from '../../src/core/verify-options.ts';
import { ask, brief, contextOf, HANDLE, NAVIGATION, type Scene, servicesOf, sessionOf } from './world.ts';

type Row = readonly [why: string, request: Partial<RequestContext>, outcome: string, scene?: Scene];

function check(table: readonly Row[]): void {
  for (const [why, request, outcome, scene] of table) {
    test(why, () => assert.equal(brief(ask(request, scene)), outcome));
  }
}

describe('who may ask (D-01, D-03, D-08)', () => {
  const secret = 'verify: {shared_secret: a-shared-secret-of-32-characters!}\n';
  check([
    ['a trusted peer', {}, 'allow'],
    ['an untrusted peer', { trusted: false }, 'untrusted_proxy peer'],
    [
      'anybody, where the operator vouches for the listener',
      { trusted: false },
      'allow',
      { entry: { allPeersTrusted: true } },
    ],
    [
      'a peer with the shared secret',
      { gatewaySecret: 'a-shared-secret-of-32-characters!' },
      'allow',
      { settings: secret },
    ],
    ['a peer without it', {}, 'untrusted_proxy shared_secret', { settings: secret }],
    [
      'a peer with another one',
      { gatewaySecret: 'a-shared-secret-of-32-characters?' },
      'untrusted_proxy shared_secret',
      { settings: secret },
    ],
    [
      'the secret does not make a peer trusted',
      { trusted: false, gatewaySecret: 'a-shared-secret-of-32-characters!' },
      'untrusted_proxy peer',
      { settings: secret },
    ],
    [
      'the secret is asked for on a vouched listener too',
      { trusted: false },
      'untrusted_proxy shared_secret',
      { settings: secret, entry: { allPeersTrusted: true } },
    ],
    ['an unwanted secret does no harm', { gatewaySecret: 'x' }, 'allow'],
  ]);

  test('a refused peer learns nothing and costs nothing: no site, no page, no look-up', () => {
    const services = servicesOf({});
    const entry = { allPeersTrusted: false, shared: false, tail: false };
    const decision = verify(contextOf({ trusted: false, ...NAVIGATION, query: 'x=1' }), entry, services);
    assert.deepEqual(decision, {
      kind: 'deny',
      code: 'untrusted_proxy',
      reason: 'peer',
      site: undefined,
      navigation: false,
      expireCookie: false,
      challenge: '',
      allow: '',
      loginQuery: undefined,
    });
    assert.deepEqual(services.lookedUp, []);
  });
});

describe('the header family (D-03, R-080)', () => {
  check([
    ['no host', { forwardedHost: '' }, 'forwarded_headers_invalid missing_or_repeated'],
    ['no method', { forwardedMethod: '' }, 'forwarded_headers_invalid missing_or_repeated'],
    ['no uri', { forwardedUri: '' }, 'forwarded_headers_invalid missing_or_repeated'],
    ['no proto', { forwardedProto: '' }, 'forwarded_headers_invalid proto'],
    [
      'a repeated header of the family',
      { problems: PROBLEM_FORWARDED },
      'forwarded_headers_invalid missing_or_repeated',
    ],
    ['a repeated single header', { problems: PROBLEM_DUPLICATE }, 'forwarded_headers_invalid missing_or_repeated'],
    ['two protocols', { forwardedProto: 'https, http' }, 'forwarded_headers_invalid proto'],
    ['another protocol', { forwardedProto: 'ftp' }, 'forwarded_headers_invalid proto'],
    ['upper-case protocol', { forwardedProto: 'HTTPS' }, 'forwarded_headers_invalid proto'],
    ['two methods', { forwardedMethod: 'GET, POST' }, 'forwarded_headers_invalid missing_or_repeated'],
    ['lower-case method', { forwardedMethod: 'get' }, 'forwarded_headers_invalid missing_or_repeated'],
    ['an endless method', { forwardedMethod: 'A'.repeat(21) }, 'forwarded_headers_invalid missing_or_repeated'],
    ['CONNECT', { forwardedMethod: 'CONNECT' }, 'forwarded_headers_invalid missing_or_repeated'],
    ['TRACE', { forwardedMethod: 'TRACE' }, 'forwarded_headers_invalid missing_or_repeated'],
    ['methods of other applications pass', { forwardedMethod: 'PROPFIND' }, 'allow'],
    ['a blank in the uri', { forwardedUri: '/a b' }, 'forwarded_headers_invalid uri'],
    ['a fragment', { forwardedUri: '/a#b' }, 'forwarded_headers_invalid uri'],
    ['a backslash', { forwardedUri: '/a\\b' }, 'forwarded_headers_invalid uri'],
    ['a control character in the query', { forwardedUri: '/a?b\n' }, 'forwarded_headers_invalid uri'],
    ['non-ASCII', { forwardedUri: '/é' }, 'forwarded_headers_invalid uri'],
    ['an absolute uri', { forwardedUri: 'https://app.example.test/' }, 'ambiguous_target path'],
    ['dot segments', { forwardedUri: '/public/../admin' }, 'ambiguous_target path'],
    ['encoded slash', { forwardedUri: '/a%2fb' }, 'ambiguous_target path'],
    ['an ambiguous query is the application’s business', { forwardedUri: '/a?b=../%2f//' }, 'allow'],
    ['two hosts', { forwardedHost: 'app.example.test, evil.test' }, 'unknown_host host'],
    ['a foreign host', { forwardedHost: 'evil.test' }, 'unknown_host host'],
    ['host in other case with default port', { forwardedHost: 'App.Example.Test:443' }, 'allow'],
    ['one label under the wildcard', { forwardedHost: 'tenant1.apps.example.test' }, 'allow'],
    ['http where the site is https', { forwardedProto: 'http' }, 'forwarded_headers_invalid scheme_of_site'],
    ['ws where the site is https', { forwardedProto: 'ws' }, 'forwarded_headers_invalid scheme_of_site'],
    ['wss is https', { forwardedProto: 'wss' }, 'allow'],
    ['https where the site is http', { forwardedHost: 'localhost:8080' }, 'forwarded_headers_invalid scheme_of_site'],
  ]);

  test('the request’s own method, path and host decide nothing', () => {
    for (const own of [{ method: 'POST' }, { method: 'HEAD' }, { path: '/auth/verify/x' }, { host: 'evil.test' }]) {
      assert.equal(brief(ask(own)), 'allow');
    }
  });

  test('ws is http for a site without TLS', () => {
    const session = sessionOf({ site: 'plain' });
    const request = { forwardedHost: 'localhost:8080', cookie: `plain_session=${HANDLE}` };
    for (const forwardedProto of ['http', 'ws']) {
      assert.equal(brief(ask({ ...request, forwardedProto }, { session })), 'allow');
    }
  });

  test('a family cut or garbled in any way is never an allow without a session, and never throws', () => {
    const text = fc.oneof(
      fc.constantFrom(
        '',
        'app.example.test',
        'https',
        'GET',
        '/',
        '/a?b',
        'wss',
        'OPTIONS',
        '*',
        'app.example.test:443',
      ),
      fc.string({ maxLength: 8, unit: 'binary' }),
    );
    const family = { forwardedHost: text, forwardedMethod: text, forwardedProto: text, forwardedUri: text };
    const rest = { cookie: text, query: text, origin: text, referer: text, accept: text, forwardedFor: text };
    fc.assert(
      fc.property(fc.record({ ...family, ...rest }), (request) => {
        assert.notEqual(ask(request, { session: null }).kind, 'allow');
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a listener that the public reaches too (D-01)', () => {
  const shared: Scene = { entry: { shared: true } };
  const own = ['/auth', '/auth/', '/auth/verify', '/auth/login?x=1', '/api/auth/session', '/%61uth/verify'];
  check([
    ...own.map((forwardedUri): Row => [`${forwardedUri} is ours`, { forwardedUri }, 'not_found own_path', shared]),
    ['/authors is not ours', { forwardedUri: '/authors' }, 'allow', shared],
    ['/api/authors is not ours', { forwardedUri: '/api/authors' }, 'allow', shared],
    ['a listener of its own answers for them', { forwardedUri: '/auth/verify' }, 'allow'],
  ]);
});

describe('options of the verify URL (D-02)', () => {
  const settings = 'verify: {profiles: {ops: {groups: [ops]}}}\n';
  const table: readonly (readonly [query: string, outcome: string])[] = [
    ['', 'allow'],
    ['roles=user', 'allow'],
    ['roles=admin,user', 'allow'],
    ['roles=admin%20user', 'allow'],
    ['roles=admin+user', 'allow'],
    ['roles=admin', 'access_denied role'],
    ['roles=User', 'access_denied role'],
    ['groups=ops', 'access_denied group'],
    ['scopes=openid', 'allow'],
    ['scopes=openid,email', 'access_denied scope'],
    ['profile=ops', 'access_denied group'],
    ['roles=admin&profile=ops', 'access_denied role'],
    ['roles=user&profile=ops', 'access_denied group'],
    ['profile=dev', 'bad_request unknown profile'],
    ['profile=', 'bad_request unknown profile'],
    ['roles=', 'bad_request empty list in a verify option'],
    ['roles=,%20', 'bad_request empty list in a verify option'],
    ['groups', 'bad_request empty list in a verify option'],
    ['on_fail=403', 'bad_request bad on_fail'],
    ['on_fail=', 'bad_request bad on_fail'],
    ['rolez=user', 'bad_request unknown verify option'],
    ['Roles=user', 'bad_request unknown verify option'],
    ['service=crud', 'bad_request unknown service'],
    ['=', 'bad_request unknown verify option'],
    ['roles=user&roles=user', 'bad_request repeated parameter'],
    ['roles=user&%72oles=admin', 'bad_request repeated parameter'],
    ['roles=%zz', 'bad_request bad percent-encoding in a parameter'],
    ['roles=%ff', 'bad_request bad percent-encoding in a parameter'],
    ['acr=a%22b', 'bad_request malformed acr'],
    ['acr=a%0d%0aSet-Cookie:x', 'bad_request malformed acr'],
    ['acr=%C3%A9', 'bad_request malformed acr'],
    ['acr=a%5C', 'bad_request malformed acr'],
  ];
  check(table.map(([query, outcome]) => [query || 'none', { query }, outcome, { settings }]));

  check([
    ['a path with a tail has no options', { query: 'roles=admin' }, 'allow', { entry: { tail: true } }],
    ['nor unknown ones', { query: 'x=1&x=1' }, 'allow', { entry: { tail: true } }],
  ]);

  test('the original URL’s query is no option', () => {
    assert.equal(brief(ask({ forwardedUri: '/dashboard?roles=admin&x=1&x=1' })), 'allow');
  });

  test('one query is parsed once, refusals too, and new ones never pile up', () => {
    const parse = compileVerifyOptions({ verify: { profiles: [] }, services: [] });
    assert.equal(parse('roles=a'), parse('roles=a'));
    assert.equal(parse('bad=1'), parse('bad=1'));
    const first = parse('roles=a');
    for (let i = 0; i < LIMITS.verifyOptionsMax * 2; i++) parse(`roles=r${i}`);
    assert.notEqual(parse('roles=a'), first, 'the memory was emptied');
    assert.deepEqual(parse('roles=a'), first);
  });

  test('a profile brings its rule and its on_fail; the URL’s own on_fail wins', () => {
    const profile = {
      name: 'p',
      roles: ['r'],
      groups: [],
      scopes: [],
      acr: [],
      maxAgeMs: 5_000,
      onFail: '401' as const,
      service: undefined,
    };
    const parse = compileVerifyOptions({ verify: { profiles: [profile] }, services: [] });
    assert.deepEqual(parse('profile=p'), { rules: [profile], onFail: '401', service: undefined });
    const both = parse('profile=p&on_fail=302&scopes=a,b');
    assert.ok('rules' in both);
    assert.equal(both.onFail, '302');
    assert.deepEqual(both.rules, [
      { roles: [], groups: [], scopes: ['a', 'b'], acr: [], maxAgeMs: undefined },
      profile,
    ]);
    assert.deepEqual(parse(''), { rules: [], onFail: undefined, service: undefined });
  });
});
