import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  createResponseFate,
  filterResponse,
  isForeignCookie,
  type ResponseHead,
  type ResponseRules,
} from '../../src/proxy/response-headers.ts';

const isOwnCookie = (name: string): boolean => name.toLowerCase().includes('bff_');
const rules: ResponseRules = {
  isOwnCookie,
  cacheControl: 'no-store',
  fate: createResponseFate(),
  vary: 'cookie, origin',
  own: '\r\nx-request-id: r1\r\naccess-control-allow-origin: https://a.test',
  publicLocation: (location) => (location.startsWith('http://inner') ? '/public' : undefined),
};

function filter(pairs: readonly (readonly [string, string])[], changes: Partial<ResponseRules> = {}): ResponseHead {
  return filterResponse(pairs.flat(), { ...rules, ...changes });
}

/** As a client would read them. */
function linesOf(head: ResponseHead): [string, string][] {
  assert.ok('block' in head, 'problem' in head ? head.problem : '');
  return `vary: ${head.block}`.split('\r\n').map((line) => {
    const colon = line.indexOf(': ');
    return [line.slice(0, colon), line.slice(colon + 2)];
  });
}

function fieldsOf(head: ResponseHead): Record<string, unknown> {
  return Object.fromEntries(linesOf(head));
}

const OURS = { 'cache-control': 'no-store', 'x-request-id': 'r1', 'access-control-allow-origin': 'https://a.test' };

describe('response headers', () => {
  const dropped: readonly (readonly [string, string])[] = [
    ['Connection', 'keep-alive'],
    ['Keep-Alive', 'timeout=5'],
    ['Proxy-Authenticate', 'Basic'],
    ['Trailer', 'x'],
    ['Transfer-Encoding', 'chunked'],
    ['Upgrade', 'h2c'],
    ['Date', 'now'],
    ['Server', 'nginx/1.2.3'],
    ['X-Powered-By', 'PHP'],
    ['Strict-Transport-Security', 'max-age=0'],
    ['Clear-Site-Data', '"*"'],
    ['Access-Control-Allow-Origin', '*'],
    ['Access-Control-Allow-Credentials', 'true'],
    ['X-Accel-Redirect', '/secret'],
    ['X-Sendfile', '/etc/passwd'],
    ['Alt-Svc', 'h3=":443"'],
    ['X-Request-Id', 'theirs'],
    ['Authorization', 'Bearer echoed'],
    ['Set-Cookie', 'bff_session=x'],
    ['Cache-Control', 'public, max-age=99'],
    ['Expires', 'tomorrow'],
    ['Pragma', 'cache'],
  ];
  for (const pair of dropped) {
    test(`never pass ${pair[0]}: ${pair[1]}`, () => {
      assert.deepEqual(fieldsOf(filter([pair])), { ...OURS, vary: 'cookie, origin' });
    });
  }

  test('leave out what any Connection line names', () => {
    const fields = fieldsOf(
      filter([
        ['connection', 'X-A'],
        ['x-a', '1'],
        ['connection', 'x-b'],
        ['X-B', '2'],
        ['x-c', '3'],
      ]),
    );
    assert.equal(fields['x-a'], undefined);
    assert.equal(fields['x-b'], undefined);
    assert.equal(fields['x-c'], '3');
  });

  test('keep caching headers where the route says so', () => {
    const fields = fieldsOf(
      filter(
        [
          ['Cache-Control', 'max-age=9'],
          ['Expires', 'x'],
        ],
        { cacheControl: 'upstream' },
      ),
    );
    assert.equal(fields['cache-control'], 'max-age=9');
    assert.equal(fields['expires'], 'x');
  });

  test('join Vary with ours, in one line', () => {
    const given = [
      ['Vary', 'Accept-Encoding'],
      ['vary', 'cookie, X-A'],
    ] as const;
    assert.equal(fieldsOf(filter(given))['vary'], 'cookie, origin, accept-encoding, x-a');
    assert.equal(fieldsOf(filter([['vary', '*, x']]))['vary'], '*');
    assert.equal(fieldsOf(filter([], { vary: 'origin' }))['vary'], 'origin');
  });

  test('hide the address of the service in Location and Content-Location', () => {
    const fields = fieldsOf(
      filter([
        ['Location', 'http://inner/x'],
        ['content-location', 'http://inner/y'],
      ]),
    );
    assert.equal(fields['location'], '/public');
    assert.equal(fields['content-location'], '/public');
    assert.equal(fieldsOf(filter([['Location', 'https://other.test/']]))['location'], 'https://other.test/');
  });

  test('keep repeated lines apart and bytes beyond ASCII as they are', () => {
    const head = filter([
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
      ['x-name', 'Zo\xeb'],
    ]);
    assert.deepEqual(
      linesOf(head).filter(([name]) => name === 'set-cookie'),
      [
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
      ],
    );
    assert.ok('bytes' in head);
    assert.deepEqual(head.bytes, [['x-name', Uint8Array.from([0x5a, 0x6f, 0xeb])]]);
  });

  test('tell streams of events from everything else', () => {
    const isEvents = (...pairs: [string, string][]): boolean => {
      const head = filter(pairs);
      return 'isEvents' in head && head.isEvents;
    };
    assert.equal(isEvents(['Content-Type', 'Text/Event-Stream; charset=utf-8']), true);
    assert.equal(isEvents(['content-type', 'text/event-stream'], ['content-encoding', 'gzip']), false);
    assert.equal(isEvents(['content-type', 'text/html']), false);
    assert.equal(isEvents(), false);
  });

  test('give the declared length, and refuse lengths and codings that two parties could read differently', () => {
    const known = filter([['Content-Length', '12']]);
    assert.ok('block' in known && known.contentLength === 12);
    const unknown = filter([]);
    assert.ok('block' in unknown && unknown.contentLength === -1);
    for (const value of ['-1', '+1', '1,1', '0x1', '', ' ', '1234567890123456']) {
      assert.deepEqual(filter([['content-length', value]]), { problem: 'content-length' }, value);
    }
    assert.deepEqual(
      filter([
        ['content-length', '1'],
        ['content-length', '1'],
      ]),
      { problem: 'content-length' },
    );
    assert.deepEqual(filter([['transfer-encoding', 'gzip, chunked']]), { problem: 'transfer-encoding' });
  });

  test('refuse names and values that would break the head', () => {
    for (const pair of [
      ['x\r\ny', '1'],
      ['', '1'],
      ['x y', '1'],
      ['x:', '1'],
      ['x', 'a\r\nb'],
      ['x', 'a\nb'],
      ['x', 'a\0'],
      ['x', '\x7f'],
    ] as const) {
      assert.ok('problem' in filter([pair]), JSON.stringify(pair));
    }
    assert.ok('problem' in filter(Array.from({ length: 257 }, () => ['x', '1'] as const)));
  });
});

describe('a cookie that a service sets', () => {
  const passing = [
    'a=1',
    'a=1; Path=/; HttpOnly; Secure; SameSite=Lax',
    'a=; Max-Age=0',
    'a=1; Domain=',
    'a=x; subdomain=y',
  ];
  for (const line of passing) {
    test(`passes: ${line}`, () => assert.ok(isForeignCookie(line, isOwnCookie)));
  }
  const refused = [
    'bff_session=x',
    ' BFF_session=x; Path=/',
    '=bff_session=x',
    'bff_session',
    '',
    'a=1; Domain=example.test',
    'a=1; domain = .example.test',
    'a=1; Domain=; DOMAIN=a.example.test',
  ];
  for (const line of refused) {
    test(`is dropped: ${JSON.stringify(line)}`, () => assert.ok(!isForeignCookie(line, isOwnCookie)));
  }
});
