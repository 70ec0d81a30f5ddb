import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ERRORS, type ErrorCode, SallyportError } from '../../src/core/errors.ts';
import { compileOriginRules } from '../../src/core/origin.ts';
import { compileReplies, problemOf, type Reply } from '../../src/core/problem.ts';
import { compileSites } from '../../src/core/sites.ts';
import { contextOf, getSite, worldConfig } from './world.ts';

function start(extra = '') {
  const config = worldConfig(extra);
  const sites = compileSites(config);
  return {
    replies: compileReplies(config, compileOriginRules(config)),
    main: getSite(sites, 'main'),
    plain: getSite(sites, 'plain'),
  };
}

const { replies, main, plain } = start();
const all = (reply: Reply, name: string): string[] =>
  reply.headers.filter(([key]) => key === name).map(([, value]) => value);
const json = (reply: Reply): Record<string, unknown> => JSON.parse(reply.body) as Record<string, unknown>;
const problem = (code: ErrorCode, more: object = {}) => ({ code, navigation: false, site: main, ...more });

/** on every answer of ours. */
function checkCommon(reply: Reply): void {
  assert.deepEqual(all(reply, 'cache-control'), ['no-store']);
  assert.deepEqual(all(reply, 'x-content-type-options'), ['nosniff']);
  assert.deepEqual(all(reply, 'referrer-policy'), ['no-referrer']);
  for (const [name, value] of reply.headers) {
    assert.equal(name, name.toLowerCase());
    assert.match(value, /^[\x20-\x7e]*$/, name);
  }
}

describe('a problem for programs (RFC 9457)', () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    test(`${code} carries the table’s status, title and words`, () => {
      const reply = replies.problem(contextOf(), problem(code));
      const { status, title, detail } = ERRORS[code];
      assert.equal(reply.status, status);
      assert.deepEqual(json(reply), {
        type: `urn:sallyport:error:${code}`,
        title,
        status,
        code,
        detail,
        request_id: 'r1',
      });
      assert.deepEqual(all(reply, 'content-type'), ['application/problem+json']);
      assert.deepEqual(all(reply, 'x-request-id'), ['r1']);
      assert.deepEqual(all(reply, 'www-authenticate'), status === 401 ? ['Bearer realm="sallyport"'] : []);
      checkCommon(reply);
    });
  }

  test('says where to sign in and when to come back, where that is known', () => {
    const more = { loginUrl: 'https://app.example.test/auth/login', retryAfterS: 2, detail: 'Not now.' };
    const reply = replies.problem(contextOf(), problem('store_unavailable', more));
    const body = json(reply);
    assert.equal(body['login_url'], more.loginUrl);
    assert.equal(body['retry_after'], 2);
    assert.equal(body['detail'], 'Not now.');
    assert.deepEqual(all(reply, 'retry-after'), ['2']);
  });

  test('a given challenge takes the place of the plain one; other headers are kept', () => {
    const headers = [
      ['www-authenticate', 'Bearer error="insufficient_user_authentication"'],
      ['set-cookie', 'a=; Max-Age=0'],
      ['set-cookie', 'b=; Max-Age=0'],
    ] as const;
    const reply = replies.problem(contextOf(), problem('insufficient_user_authentication', { headers }));
    assert.deepEqual(all(reply, 'www-authenticate'), ['Bearer error="insufficient_user_authentication"']);
    assert.deepEqual(all(reply, 'set-cookie'), ['a=; Max-Age=0', 'b=; Max-Age=0']);
  });

  test('scripts of allowed origins may read it, and no others (R-153)', () => {
    const table: readonly (readonly [origin: string, allowed: boolean])[] = [
      ['https://app.example.test', true],
      ['https://tenant1.apps.example.test', true],
      ['https://partner.test', true],
      ['https://evil.test', false],
      ['null', false],
      ['', false],
    ];
    for (const [origin, allowed] of table) {
      for (const code of ['authentication_required', 'access_denied', 'store_unavailable'] as const) {
        const reply = replies.problem(contextOf({ origin }), problem(code));
        assert.deepEqual(all(reply, 'access-control-allow-origin'), allowed ? [origin] : []);
        assert.deepEqual(all(reply, 'access-control-allow-credentials'), allowed ? ['true'] : []);
        assert.deepEqual(all(reply, 'vary'), ['Origin']);
      }
    }
    const nowhere = replies.problem(
      contextOf({ origin: 'https://app.example.test' }),
      problem('unknown_host', { site: undefined }),
    );
    assert.deepEqual(all(nowhere, 'access-control-allow-origin'), []);
  });

  test('an error’s log detail and cause stay inside', () => {
    const error = new SallyportError('idp_bad_response', {
      detail: 'log only',
      cause: new Error('inner secret'),
      headers: [['x-a', '1']],
      retryAfterS: 3,
      loginUrl: 'https://app.example.test/auth/login',
    });
    for (const navigation of [true, false]) {
      const reply = replies.problem(contextOf(), problemOf(error, navigation, main));
      assert.doesNotMatch(JSON.stringify(reply), /log only|inner secret/);
      assert.deepEqual(all(reply, 'x-a'), ['1']);
      assert.deepEqual(all(reply, 'retry-after'), ['3']);
    }
  });
});

describe('a problem for people', () => {
  const page = (code: ErrorCode, more: object = {}): Reply =>
    replies.problem(contextOf(), problem(code, { navigation: true, ...more }));

  test('is a page with the same status and code, and no script', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const reply = page(code);
      assert.equal(reply.status, ERRORS[code].status);
      assert.deepEqual(all(reply, 'content-type'), ['text/html; charset=utf-8']);
      assert.ok(reply.body.includes(`Code ${code} · request r1`));
      assert.doesNotMatch(reply.body, /<script/);
      assert.match(all(reply, 'content-security-policy')[0] ?? '', /script-src 'none'.*|frame-ancestors 'none'/);
      checkCommon(reply);
    }
  });

  test('offers a new sign-in where that helps, and always the way home', () => {
    const signIn = 'href="https://app.example.test/auth/login"';
    for (const code of [
      'authentication_required',
      'transaction_expired',
      'callback_invalid',
      'login_loop',
      'idp_unavailable',
    ] as const) {
      assert.ok(page(code).body.includes(signIn), code);
    }
    for (const code of ['access_denied', 'not_found', 'address_not_allowed', 'internal_error'] as const) {
      assert.ok(!page(code).body.includes(signIn), code);
      assert.ok(page(code).body.includes('href="https://app.example.test/"'), code);
    }
    const lost = page('unknown_host', { site: undefined }).body;
    assert.ok(lost.includes('href="https://app.example.test/">Go to app.example.test</a>'), lost);
    assert.ok(lost.includes('href="http://localhost:8080/">Go to localhost:8080</a>'));
    assert.ok(!lost.includes(signIn));
  });

  test('shows given words as text', () => {
    const { body } = page('login_loop', { detail: '<b>"bff_session"</b>' });
    assert.ok(body.includes('&#60;b&#62;&#34;bff_session&#34;&#60;/b&#62;'));
  });
});

describe('other answers', () => {
  test('HSTS is sent over https alone, as configured', () => {
    assert.deepEqual(all(replies.json(contextOf(), main, 200, {}), 'strict-transport-security'), ['max-age=31536000']);
    assert.deepEqual(all(replies.json(contextOf(), plain, 200, {}), 'strict-transport-security'), []);
    const subdomains = start('security_headers: {hsts: {max_age: 24h, include_subdomains: true}}\n');
    assert.deepEqual(all(subdomains.replies.json(contextOf(), subdomains.main, 200, {}), 'strict-transport-security'), [
      'max-age=86400; includeSubDomains',
    ]);
    const none = start('security_headers: {hsts: none}\n');
    assert.deepEqual(all(none.replies.json(contextOf(), none.main, 200, {}), 'strict-transport-security'), []);
  });

  test('JSON carries its headers and cannot be embedded elsewhere', () => {
    const reply = replies.json(contextOf(), main, 200, { a: 1 }, [['vary', 'Cookie']]);
    assert.equal(reply.body, '{"a":1}');
    assert.deepEqual(all(reply, 'cross-origin-resource-policy'), ['same-origin']);
    assert.deepEqual(all(reply, 'vary'), ['Origin', 'Cookie']);
    checkCommon(reply);
  });

  test('redirects are 302 after reading and 303 after a POST (R-048)', () => {
    for (const [method, status] of [
      ['GET', 302],
      ['HEAD', 302],
      ['POST', 303],
      ['DELETE', 303],
    ] as const) {
      const reply = replies.redirect(contextOf({ method }), '/x', [['set-cookie', 'a=1']]);
      assert.equal(reply.status, status);
      assert.deepEqual(all(reply, 'location'), ['/x']);
      assert.deepEqual(all(reply, 'set-cookie'), ['a=1']);
      assert.equal(reply.body, '');
      checkCommon(reply);
    }
  });
});
