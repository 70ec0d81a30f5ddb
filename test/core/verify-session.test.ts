import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RequestContext } from '../../src/core/context.ts';
import { SallyportError } from '../../src/core/errors.ts';
import type { Renewal } from '../../src/core/freshness.ts';
import { HeaderList } from '../../src/core/header-list.ts';
import type { Sessions } from '../../src/core/services.ts';
import { verify } from '../../src/core/verify.ts';
import { type Decision, LateDecision } from '../../src/core/verify-decision.ts';
import {
  ask,
  brief,
  contextOf,
  decisionOf,
  direct,
  HANDLE,
  lateOf,
  NAVIGATION,
  NOW,
  OTHER_HANDLE,
  type Scene,
  servicesOf,
  sessionOf,
} from './world.ts';

type Row = readonly [why: string, request: Partial<RequestContext>, outcome: string, scene?: Scene];

function check(table: readonly Row[]): void {
  for (const [why, request, outcome, scene] of table) {
    test(why, () => assert.equal(brief(ask(request, scene)), outcome));
  }
}

const ENTRY = { allPeersTrusted: false, shared: false, tail: false };
const LOGIN = 'login https://app.example.test/auth/login?return_to=';
const DEEP = `${LOGIN}https%3A%2F%2Fapp.example.test%2Fdashboard`;
const REFUSED = 'authentication_required no_cookie';

describe('the session', () => {
  check([
    ['a live session', {}, 'allow'],
    ['no cookie', { cookie: '' }, 'authentication_required no_cookie'],
    ['another cookie', { cookie: `x=${HANDLE}` }, 'authentication_required no_cookie'],
    ['a malformed handle', { cookie: 'bff_session=abc' }, 'authentication_required no_cookie'],
    ['an unknown handle', { cookie: `bff_session=${OTHER_HANDLE}` }, 'authentication_required unknown_session'],
    ['an ended session', {}, 'authentication_required unknown_session', { session: null }],
    [
      'two different cookies',
      { cookie: `bff_session=${HANDLE}; bff_session=${OTHER_HANDLE}` },
      'authentication_required conflicting_cookies',
    ],
    ['a session of another site', {}, 'authentication_required other_site', { session: sessionOf({ site: 'plain' }) }],
    ['the cookie name of another site', { cookie: `plain_session=${HANDLE}` }, 'authentication_required no_cookie'],
    [
      'a token at its end',
      {},
      'authentication_required token_expired',
      { session: sessionOf({ tokenExpiresAt: NOW }) },
    ],
    ['a token just before its end', {}, 'allow', { session: sessionOf({ tokenExpiresAt: NOW + 1 }) }],
  ]);

  const renewable = sessionOf({ tokenExpiresAt: NOW, renewable: true });
  const renewed = { ...sessionOf(), headers: new HeaderList(['X-User-Id', 'renewed']) };
  const renewals: readonly (readonly [string, Renewal, string, string?])[] = [
    ['a new token', { kind: 'fresh', session: renewed }, 'allow renewed'],
    ['no token now', { kind: 'stale', session: renewed, retryAfterS: 7 }, 'allow renewed'],
    [
      'no token now, where the settings want one',
      { kind: 'stale', session: renewed, retryAfterS: 7 },
      'idp_unavailable 7',
      'verify: {expired_token: unavailable}\n',
    ],
    ['the end of the session', { kind: 'ended', reason: 'refresh_failed' }, 'authentication_required refresh_failed'],
  ];
  for (const [name, renewal, expected, settings = ''] of renewals) {
    test(`an expired token is waited for: ${name}`, async () => {
      const decision = verify(contextOf(), ENTRY, servicesOf({ session: renewable, renewal, settings }));
      const outcome = await decisionOf(decision).then(
        (value) => (value.kind === 'allow' ? `allow ${value.headers.pairs[1]}` : brief(value)),
        (error: SallyportError) => `${error.code} ${error.retryAfterS}`,
      );
      assert.equal(outcome, expected);
    });
  }

  test('a synchronous look-up gives a direct answer with the session’s own header list', () => {
    const session = sessionOf();
    const decision = verify(contextOf(), ENTRY, servicesOf({ session }));
    const { headers } = direct(decision) as Extract<Decision, { kind: 'allow' }>;
    assert.equal(headers, session.headers, 'nothing is built per request');
  });

  test('a look-up that takes time gives the same answers later', async () => {
    for (const scene of [{}, { session: null }, { session: sessionOf({ site: 'plain' }) }] satisfies Scene[]) {
      const later = verify(contextOf(), ENTRY, servicesOf({ ...scene, isLate: true }));
      assert.ok(later instanceof LateDecision);
      assert.equal(brief(await later.promise()), brief(ask({}, scene)));
    }
  });

  test('nothing is looked up where no session is needed', () => {
    for (const request of [
      { cookie: '' },
      { cookie: 'bff_session=x' },
      { trusted: false },
      { forwardedHost: 'evil.test' },
    ]) {
      const services = servicesOf({});
      direct(verify(contextOf(request), ENTRY, services));
      assert.deepEqual(services.lookedUp, []);
    }
  });

  test('exactly one look-up, which slides the session', () => {
    const services = servicesOf({});
    verify(contextOf(), ENTRY, services);
    assert.deepEqual(services.lookedUp, [[HANDLE, true]]);
  });

  test('an outage of the store is an error, never an allow or a 401', async () => {
    const outage = new SallyportError('store_unavailable');
    const atOnce = (): never => {
      throw outage;
    };
    for (const look of [() => lateOf(Promise.reject(outage)), atOnce]) {
      const sessions = { look } as unknown as Sessions;
      await assert.rejects(async () => decisionOf(verify(contextOf(), ENTRY, { ...servicesOf({}), sessions })), outage);
    }
  });

  test('only conflicting cookies are expired', () => {
    const conflicting = ask({ cookie: `bff_session=${HANDLE}; bff_session=x` });
    assert.ok(conflicting.kind === 'deny' && conflicting.expireCookie);
    for (const [request, scene] of [
      [{ cookie: '' }, {}],
      [{}, { session: null }],
    ] as const) {
      const decision = ask(request, scene);
      assert.ok(decision.kind === 'deny' && !decision.expireCookie);
    }
  });

  test('a denial names the site as soon as the host is known, for CORS and the login address', () => {
    const decision = ask({ cookie: '' });
    assert.ok(decision.kind === 'deny');
    assert.equal(decision.site?.loginUrl, 'https://app.example.test/auth/login');
  });
});

describe('navigations (SPEC §6)', () => {
  check([
    ['by Fetch Metadata', { ...NAVIGATION, cookie: '' }, DEEP],
    ['HEAD too', { ...NAVIGATION, cookie: '', forwardedMethod: 'HEAD' }, DEEP],
    ['by Accept, where a browser sends no Fetch Metadata', { cookie: '', accept: 'text/html,*/*;q=0.8' }, DEEP],
    ['not by Accept beside Fetch Metadata', { cookie: '', accept: 'text/html', secFetchSite: 'same-origin' }, REFUSED],
    ['a mode without the rest is a library’s', { cookie: '', accept: 'text/html', secFetchMode: 'cors' }, DEEP],
    ['a fetch', { cookie: '', secFetchMode: 'cors', secFetchDest: 'empty' }, REFUSED],
    ['an image', { cookie: '', secFetchMode: 'no-cors', secFetchDest: 'image', accept: 'image/*' }, REFUSED],
    ['a frame', { ...NAVIGATION, cookie: '', secFetchDest: 'iframe' }, REFUSED],
    ['a program', { cookie: '', accept: '*/*' }, REFUSED],
    ['a program that says nothing', { cookie: '' }, REFUSED],
    ['a form post', { ...NAVIGATION, cookie: '', forwardedMethod: 'POST' }, REFUSED],
    ['an ended session', { ...NAVIGATION }, DEEP, { session: null }],
    ['an expired token', { ...NAVIGATION }, DEEP, { session: sessionOf({ tokenExpiresAt: NOW }) }],
  ]);

  const handshakes: readonly (readonly [string, Partial<RequestContext>])[] = [
    ['wss', { forwardedProto: 'wss' }],
    ['a handshake key', { webSocketKey: 'dGhlIHNhbXBsZSBub25jZQ==' }],
  ];
  for (const [why, request] of handshakes) {
    check([
      [`${why}: never redirected`, { ...NAVIGATION, cookie: '', ...request }, REFUSED],
      [`${why}: not even by on_fail`, { cookie: '', query: 'on_fail=302', ...request }, REFUSED],
    ]);
  }
});

describe('on_fail: the URL, else the route, else the settings', () => {
  const settings = (onFail: string): string => `verify: {on_fail: "${onFail}"}\n`;
  const person = { ...NAVIGATION, cookie: '' };
  const program = { cookie: '' };
  check([
    ['auto, person', person, DEEP],
    ['auto, program', program, REFUSED],
    ['401 by URL, person', { ...person, query: 'on_fail=401' }, REFUSED],
    ['302 by URL, program', { ...program, query: 'on_fail=302' }, DEEP],
    ['302 by URL, POST', { ...program, query: 'on_fail=302', forwardedMethod: 'POST' }, DEEP],
    ['401 by settings, person', person, REFUSED, { settings: settings('401') }],
    ['302 by settings, program', program, DEEP, { settings: settings('302') }],
    [
      'auto by URL over 401 by settings, person',
      { ...person, query: 'on_fail=auto' },
      DEEP,
      { settings: settings('401') },
    ],
    [
      'auto by URL over 302 by settings, program',
      { ...program, query: 'on_fail=auto' },
      REFUSED,
      { settings: settings('302') },
    ],
  ]);
});

describe('the way to the login', () => {
  const person = { ...NAVIGATION, cookie: '' };
  const target = (request: Partial<RequestContext>): string => {
    const decision = ask({ ...person, ...request });
    assert.ok(decision.kind === 'login');
    return decision.location;
  };

  test('brings back exactly the page that was asked for', () => {
    const deep = [
      '/',
      '/a/b?x=1&y=%2F&z=a+b',
      '/a?u=https://other.test/',
      '/a/%C3%A9?q={1}|2',
      '/%61',
      '/a?&&',
      '/a?x=1?y=2',
    ];
    for (const forwardedUri of deep) {
      const url = new URL(target({ forwardedUri }));
      assert.equal(url.origin + url.pathname, 'https://app.example.test/auth/login');
      assert.deepEqual([...url.searchParams.keys()], ['return_to']);
      assert.equal(url.searchParams.get('return_to'), `https://app.example.test${forwardedUri}`);
    }
  });

  test('leads to the host that owns the login, with the canonical host asked for', () => {
    const url = new URL(target({ forwardedHost: 'Tenant1.apps.example.test:443' }));
    assert.equal(url.host, 'app.example.test');
    assert.equal(url.searchParams.get('return_to'), 'https://tenant1.apps.example.test/dashboard');
  });

  test('drops what the login would refuse: our own endpoints, and what is too long', () => {
    for (const forwardedUri of ['/auth/logout', '/api/auth/session', `/${'a'.repeat(2_048)}`, '/a?%00']) {
      assert.equal(target({ forwardedUri }), 'https://app.example.test/auth/login', forwardedUri.slice(0, 20));
    }
  });

  test('is never taken from another header', () => {
    const location = target({ host: 'evil.test', referer: 'https://evil.test/', origin: 'https://evil.test' });
    assert.ok(!location.includes('evil'));
  });
});
