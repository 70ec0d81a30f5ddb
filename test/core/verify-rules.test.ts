import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Route } from '../../src/core/config/types.ts';
import type { RequestContext } from '../../src/core/context.ts';
import { ask, brief, NAVIGATION, NOW, principalOf, routeOf, type Scene, sessionOf } from './world.ts';

type Row = readonly [why: string, request: Partial<RequestContext>, outcome: string, scene?: Scene];

function check(table: readonly Row[]): void {
  for (const [why, request, outcome, scene] of table) {
    test(why, () => assert.equal(brief(ask(request, scene)), outcome));
  }
}

/** The scene of one route for everything. */
function at(route: Partial<Route>, scene: Scene = {}): Scene {
  return { ...scene, routes: [routeOf({ id: 'r', paths: ['/*'], ...route })] };
}

const NOBODY = { cookie: '' };
const BLANK = ['Authorization', '', 'X-User-Id', '', 'X-User-Username', '', 'X-User-Email', '', 'X-User-Role', ''];

describe('routes', () => {
  const ping = { public: [{ method: 'GET', path: '/open/ping' }] };
  check([
    ['no session needed', NOBODY, 'allow', at({ auth: 'none' })],
    ['session needed', NOBODY, 'authentication_required no_cookie', at({})],
    ['optional, without a session', NOBODY, 'allow', at({ auth: 'optional' })],
    ['optional, with an ended one', {}, 'allow', at({ auth: 'optional' }, { session: null })],
    ['optional, for a person: no redirect', { ...NOBODY, ...NAVIGATION }, 'allow', at({ auth: 'optional' })],
    ['a public target', { ...NOBODY, forwardedUri: '/open/ping' }, 'allow', at(ping)],
    ['with a query', { ...NOBODY, forwardedUri: '/open/ping?x=1' }, 'allow', at(ping)],
    ['in another spelling of the same path', { ...NOBODY, forwardedUri: '/open/%70ing' }, 'allow', at(ping)],
    [
      'another method of it',
      { ...NOBODY, forwardedUri: '/open/ping', forwardedMethod: 'POST' },
      'authentication_required no_cookie',
      at(ping),
    ],
    [
      'HEAD is another method',
      { ...NOBODY, forwardedUri: '/open/ping', forwardedMethod: 'HEAD' },
      'authentication_required no_cookie',
      at(ping),
    ],
    ['a path below it', { ...NOBODY, forwardedUri: '/open/ping/x' }, 'authentication_required no_cookie', at(ping)],
    [
      'the same path with a slash',
      { ...NOBODY, forwardedUri: '/open/ping/' },
      'authentication_required no_cookie',
      at(ping),
    ],
    [
      'its path in the query of another',
      { ...NOBODY, forwardedUri: '/x?/open/ping' },
      'authentication_required no_cookie',
      at(ping),
    ],
    ['a role is missing', {}, 'access_denied role', at({ roles: ['admin'] })],
    ['a group is missing', {}, 'access_denied group', at({ groups: ['ops'] })],
    ['a scope is missing', {}, 'access_denied scope', at({ scopes: ['x'] })],
    [
      'the URL’s rule and the route’s must both hold',
      { query: 'roles=admin' },
      'access_denied role',
      at({ roles: ['user'] }),
    ],
    [
      'another method than the route’s',
      { forwardedMethod: 'DELETE' },
      'method_not_allowed route_method',
      at({ methods: ['GET'] }),
    ],
    [
      '401 by the route, person',
      { ...NOBODY, ...NAVIGATION },
      'authentication_required no_cookie',
      at({ onUnauthenticated: '401' }),
    ],
    [
      'the URL’s on_fail wins over the route’s',
      { ...NOBODY, ...NAVIGATION, query: 'on_fail=401' },
      'authentication_required no_cookie',
      at({ onUnauthenticated: 'login' }),
    ],
    [
      'login by the route, program',
      { ...NOBODY, forwardedMethod: 'POST' },
      'login https://app.example.test/auth/login?return_to=https%3A%2F%2Fapp.example.test%2Fdashboard',
      at({ onUnauthenticated: 'login' }),
    ],
  ]);

  const deny = 'verify: {unmatched: deny}\n';
  check([
    ['unmatched: a session is enough', {}, 'allow', at({ paths: ['/other'] })],
    ['unmatched: refused', {}, 'access_denied unmatched', at({ paths: ['/other'] }, { settings: deny })],
    ['unmatched: refused where there are no routes at all', {}, 'access_denied unmatched', { settings: deny }],
    ['matched', {}, 'allow', at({}, { settings: deny })],
    [
      'a route of another host does not match',
      {},
      'access_denied unmatched',
      at({ hosts: ['x.test'] }, { settings: deny }),
    ],
    [
      'host and port are canonical for routes',
      { forwardedHost: 'APP.example.test:443' },
      'allow',
      at({ hosts: ['app.example.test'] }, { settings: deny }),
    ],
  ]);

  test('whoever passes without a session gets every identity header, blank (D-04)', () => {
    const scenes: [Partial<RequestContext>, Scene][] = [
      [NOBODY, at({ auth: 'none' })],
      [{}, at({ auth: 'none' })],
      [NOBODY, at({ auth: 'optional' })],
      [{ forwardedUri: '/open/ping' }, at(ping)],
      [{}, at({ identityHeaders: false })],
      [{ forwardedMethod: 'OPTIONS', origin: 'https://evil.test', corsMethod: 'POST' }, {}],
    ];
    for (const [request, scene] of scenes) {
      const decision = ask(request, scene);
      assert.ok(decision.kind === 'allow');
      assert.deepEqual(decision.headers.pairs, [...BLANK, 'X-User-Roles', '', 'X-Auth-Session', '']);
    }
  });

  test('optional, with a live session, tells who it is', () => {
    const decision = ask({}, at({ auth: 'optional' }));
    assert.ok(decision.kind === 'allow');
    assert.deepEqual(decision.headers.pairs, ['X-User-Id', 'u1']);
  });
});

describe('client addresses', () => {
  const inside = { allowIps: ['198.51.100.0/24'] };
  const outside = { allowIps: ['203.0.113.0/24'] };
  const refused = 'address_not_allowed allow_ips';
  check([
    ['inside', {}, 'allow', at(inside)],
    ['outside', {}, refused, at(outside)],
    ['outside, without a session: no login is offered', { ...NOBODY, ...NAVIGATION }, refused, at(outside)],
    ['outside, on a route for all', NOBODY, refused, at({ ...outside, auth: 'none' })],
    [
      'outside, on a public target',
      { ...NOBODY, forwardedUri: '/ping' },
      refused,
      at({ ...outside, public: [{ method: 'GET', path: '/ping' }] }),
    ],
    ['a spoofed entry on the left', { forwardedFor: '203.0.113.5, 198.51.100.7' }, refused, at(outside)],
    ['no header: the peer itself', { forwardedFor: '' }, 'allow', at({ allowIps: ['10.0.0.5/32'] })],
    [
      'an untrusted peer of a vouched listener is the client',
      { trusted: false, peer: Uint8Array.from([203, 0, 113, 9]) },
      'allow',
      at(outside, { entry: { allPeersTrusted: true } }),
    ],
  ]);
});

describe('step-up (RFC 9470)', () => {
  const weak = { session: sessionOf({ acr: 'pwd', authTime: NOW - 3_600_000 }) };
  const profiles =
    'verify: {profiles: {fresh: {acr: [pwd], max_age: 15m}, strong: {acr: [mfa, hwk], max_age: 15m}, aged: {max_age: 90s}}}\n';
  const insufficient = 'insufficient_user_authentication';

  function challengeOf(request: Partial<RequestContext>): string {
    const decision = ask(request, { ...weak, settings: profiles });
    assert.ok(decision.kind === 'deny' && decision.code === insufficient);
    return decision.challenge;
  }

  check([
    ['strong enough', { query: 'acr=pwd' }, 'allow', weak],
    ['too weak', { query: 'acr=mfa,hwk' }, `${insufficient} acr`, weak],
    ['too old', { query: 'profile=fresh' }, `${insufficient} max_age`, { ...weak, settings: profiles }],
    ['a missing role comes first', { query: 'acr=mfa&roles=admin' }, 'access_denied role', weak],
  ]);

  test('a program is told what to ask for', () => {
    assert.equal(challengeOf({ query: 'acr=mfa,hwk' }), ', acr_values="mfa hwk"');
    assert.equal(challengeOf({ query: 'profile=aged' }), ', max_age=90');
    assert.equal(challengeOf({ query: 'profile=strong' }), ', acr_values="mfa hwk", max_age=900');
  });

  test('a person is sent to a login that asks for it and comes back', () => {
    const decision = ask({ ...NAVIGATION, query: 'profile=strong' }, { ...weak, settings: profiles });
    assert.ok(decision.kind === 'login');
    const query = new URL(decision.location).searchParams;
    assert.equal(query.get('return_to'), 'https://app.example.test/dashboard');
    assert.equal(query.get('acr_values'), 'mfa hwk');
    assert.equal(query.get('max_age'), '900');
  });

  test('asks for what the unmet rule asks, not for what another rule asked and got', () => {
    // The URL’s acr is met; only the profile’s age is not: a login without max_age would come back as old as before.
    assert.equal(challengeOf({ query: 'acr=pwd&profile=aged' }), ', max_age=90');
    const decision = ask({ ...NAVIGATION, query: 'acr=pwd&profile=aged' }, { ...weak, settings: profiles });
    assert.ok(decision.kind === 'login');
    assert.equal(new URL(decision.location).searchParams.get('max_age'), '90');
  });

  test('the login is a way out even where the page itself cannot be returned to', () => {
    const request = { ...NAVIGATION, query: 'profile=strong', forwardedUri: '/auth/logout' };
    const decision = ask(request, { ...weak, settings: profiles });
    assert.ok(decision.kind === 'login');
    assert.equal(decision.location, 'https://app.example.test/auth/login?acr_values=mfa%20hwk&max_age=900');
  });

  check([
    ['401 by URL', { ...NAVIGATION, query: 'acr=mfa&on_fail=401' }, `${insufficient} acr`, weak],
    [
      '401 by settings',
      { ...NAVIGATION, query: 'acr=mfa' },
      `${insufficient} acr`,
      { ...weak, settings: 'verify: {on_fail: "401"}\n' },
    ],
    [
      '401 by the route',
      { ...NAVIGATION, query: 'acr=mfa' },
      `${insufficient} acr`,
      at({ onUnauthenticated: '401' }, weak),
    ],
    [
      'a handshake is not redirected',
      { forwardedProto: 'wss', accept: 'text/html', query: 'acr=mfa' },
      `${insufficient} acr`,
      weak,
    ],
  ]);
});

test('roles of one user are not those of another', () => {
  const admin = sessionOf({ principal: principalOf({ roles: ['admin'] }) });
  assert.equal(brief(ask({ query: 'roles=admin' }, { session: admin })), 'allow');
  assert.equal(brief(ask({ query: 'roles=admin' })), 'access_denied role');
});

describe('a host of opaque paths', () => {
  const host = 'app.example.test';
  const opaque = at(
    { pathMode: 'opaque', hosts: [host], groups: ['ops'] },
    { session: sessionOf({ principal: principalOf({ groups: ['ops'] }) }) },
  );
  const refused = 'ambiguous_target path';
  check([
    ['takes an encoded slash', { forwardedUri: '/api/projects/a%2Fb?x=1' }, 'allow', opaque],
    ['and dots, twice the slash and what else is ambiguous', { forwardedUri: '/a/..%2F//b;c=%00' }, 'allow', opaque],
    ['but not without a session', { ...NOBODY, forwardedUri: '/a%2Fb' }, 'authentication_required no_cookie', opaque],
    [
      'nor without the group',
      { forwardedUri: '/a%2Fb' },
      'access_denied group',
      at({ ...opaque.routes?.[0], groups: ['x'] }),
    ],
    ['nor what does not begin with a slash', { forwardedUri: 'http://x/a%2Fb' }, refused, opaque],
    ['nor a backslash', { forwardedUri: '/a\\b' }, 'forwarded_headers_invalid uri', opaque],
    ['and strict paths stay strict', { forwardedUri: '/a%2Fb' }, refused, at({ hosts: [host] })],
    [
      'on another host',
      { forwardedUri: '/a%2Fb' },
      refused,
      at({ ...opaque.routes?.[0], hosts: ['other.example.test'] }),
    ],
    ['and for another method', { forwardedUri: '/a%2Fb' }, refused, at({ ...opaque.routes?.[0], methods: ['POST'] })],
  ]);
});
