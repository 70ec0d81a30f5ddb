import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isSallyportError } from '../../src/core/errors.ts';
import { finishHeaders, foreignCookies } from '../../src/proxy/request-headers.ts';
import { isOwnCookie, OWN, type Pair, read, rules, toPairs } from './header-lab.ts';

/** What passes, without the trace that is always there. */
function passed(...pairs: Pair[]): Pair[] {
  return toPairs(read(pairs).list).filter(([name]) => name !== 'traceparent');
}

describe('request headers', () => {
  const refused = [
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'Proxy-Authorization',
    'Proxy',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
    'HTTP2-Settings',
    'Expect',
    'Content-Length',
    'Host',
    'Authorization',
    'DPoP',
    'X-User-Id',
    'X_User_Id',
    'x.user.id',
    'X-User_Id',
    'x~user~id',
    'X-Team-Name',
    'X-Team_Name',
    'sub',
    'X-User-Anything',
    'Remote-User',
    'X-Forwarded-For',
    'X-Forwarded-Host',
    'X_Forwarded_Host',
    'X-Forwarded-Prefix',
    'X-Forwarded',
    'Forwarded',
    'X-Real-IP',
    'True-Client-IP',
    'CF-Connecting-IP',
    'X-Original-URL',
    'X-Original-Method',
    'X-Rewrite-URL',
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'X-Sallyport-Secret',
    'X-Request-Id',
    'Client-Cert',
    'Sec-WebSocket-Key',
    'X-SSL-Client-Verify',
  ];
  for (const name of refused) {
    test(`never pass ${name}`, () => {
      assert.deepEqual(passed([name, 'forged']), []);
      assert.ok(rules.isRefused(name));
    });
  }

  test('pass what concerns the resource, in order and with repetitions', () => {
    const pairs: Pair[] = [
      ['accept', 'application/json'],
      ['user-agent', 'x/1.0 (y; z)'],
      ['if-none-match', '"a", "b"'],
      ['x-csrf', '1'],
      ['origin', 'https://a.test'],
      ['range', 'bytes=0-9'],
      ['x-custom', ''],
      ['x-custom', 'again'],
      ['x-auth-token', 'the service’s own'],
    ];
    const expected = pairs.map(([name, value]): Pair => [name, Buffer.from(value).toString('latin1')]);
    assert.deepEqual(passed(...pairs), expected);
  });

  test('pass a known Accept-Encoding only', () => {
    assert.deepEqual(passed(['accept-encoding', 'gzip, deflate, br, zstd']).length, 1);
    assert.deepEqual(passed(['accept-encoding', 'br;q=1.0, *;q=0']).length, 1);
    assert.deepEqual(passed(['accept-encoding', 'gzip, x-shady']), []);
  });

  test('leave out every name of every Connection line, in any case', () => {
    const pairs = passed(
      ['connection', 'close, X-A'],
      ['connection', ' x-b ,'],
      ['x-a', '1'],
      ['X-B', '2'],
      ['x-c', '3'],
    );
    assert.deepEqual(pairs, [['x-c', '3']]);
  });

  test('cannot take our own headers away by nominating them', () => {
    const client = read([['connection', 'close, x-user-id, authorization, x-request-id, x-forwarded-for']]);
    const names = toPairs(finishHeaders(client, OWN)).map(([name]) => name);
    for (const name of ['x-user-id', 'authorization', 'x-request-id', 'x-forwarded-for'])
      assert.ok(names.includes(name), name);
  });

  test('say so when a field is nominated that must arrive', () => {
    for (const name of ['Cookie', 'origin', 'HOST', 'content-length', 'authorization']) {
      assert.ok(read([['connection', `close, ${name}`]]).nominatesCritical, name);
    }
    assert.ok(!read([['connection', 'close, x-user-id']]).nominatesCritical);
  });

  test('keep a valid trace and its state, and begin one otherwise', () => {
    const valid = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    assert.deepEqual(
      toPairs(
        read([
          ['tracestate', 'a=1'],
          ['traceparent', valid],
        ]).list,
      ),
      [
        ['traceparent', valid],
        ['tracestate', 'a=1'],
      ],
    );
    const invalid = [
      'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      '00-00000000000000000000000000000000-00f067aa0ba902b7-01',
      '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01',
      `${valid}-more`,
      'x',
      '',
    ];
    for (const value of invalid) {
      const list = toPairs(
        read([
          ['traceparent', value],
          ['tracestate', 'a=1'],
        ]).list,
      );
      assert.equal(list.length, 1);
      assert.match(list[0]?.[1] ?? '', /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
      assert.notEqual(list[0]?.[1], value);
    }
    assert.notEqual(
      read([
        ['traceparent', valid],
        ['traceparent', valid],
      ]).list[1],
      valid,
    );
  });

  test('give back the bytes of values beyond ASCII, and refuse what cannot be given back', () => {
    assert.deepEqual(passed(['x-name', 'Zoë č']), [['x-name', Buffer.from('Zoë č').toString('latin1')]]);
    for (const value of ['a\rb', 'a\nb', 'a\0b', 'a\x7fb', 'a\ufffdb', 'a\u010d\x01']) {
      assert.throws(
        () => passed(['x-name', value]),
        (error) => isSallyportError(error) && error.code === 'bad_request',
      );
    }
  });

  test('end with what we say ourselves, IPv6 quoted', () => {
    const list = toPairs(finishHeaders(read([['x-forwarded-for', '1.1.1.1']]), OWN)).filter(
      ([name]) => name !== 'traceparent',
    );
    assert.deepEqual(list, [
      ['x-forwarded-for', '2001:db8::1'],
      ['x-forwarded-host', 'a.test:8443'],
      ['x-forwarded-proto', 'https'],
      ['forwarded', 'for="[2001:db8::1]";host="a.test:8443";proto=https'],
      ['x-request-id', 'r1'],
      ['x-user-id', 'u1'],
      ['authorization', 'Bearer t'],
    ]);
  });
});

describe('cookies to a service', () => {
  const cases: readonly Pair[] = [
    ['', ''],
    ['a=1; b="x y"; c=', 'a=1; b="x y"; c='],
    ['a=1; bff_session=secret; b=2', 'a=1; b=2'],
    ['bff_session=secret', ''],
    ['bff_session=secret;bff_session=other', ''],
    ['  bff_session=secret', ''],
    ['bff_session\t=secret', ''],
    ['BFF_SESSION=secret; bff-session=x; bff.session=y', ''],
    ['%62ff_session=secret; __Host-bff_session=x; __Secure-bff_session=y', ''],
    ['__Host-staff=secret; staff=x; staff2=y', 'staff2=y'],
    ['bff_tx_abc=1; __Host-bff_tx_abc=2; bff_loop=3; __Host-bff_loop=3; bff_left=4; bff_csrf=5; __Host-bff_csrf=6', ''],
    ['bff_txt=1; bff_looper=2; my_bff_session=3', 'bff_txt=1; bff_looper=2; my_bff_session=3'],
    ['=bff_session=x; bff_session; ;; a=b', 'a=b'],
    ['a="x; bff_session=secret; y"', 'a="x'],
    ['a=%zz; %zz=1', 'a=%zz; %zz=1'],
  ];
  for (const [header, expected] of cases) {
    test(`of ${JSON.stringify(header)} are ${JSON.stringify(expected)}`, () => {
      assert.equal(foreignCookies(header, isOwnCookie), expected);
    });
  }

  test('come from all Cookie lines', () => {
    assert.deepEqual(passed(['cookie', 'a=1'], ['cookie', 'bff_session=x; b=2']), [['cookie', 'a=1; b=2']]);
  });
});
