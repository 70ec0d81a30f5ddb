import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { until } from '../support/until.ts';
import { goodHandshake, nextMessage, type SocketWorld, startSocketWorld } from './websocket-world.ts';
import { codeOf, type TestAnswer } from './world.ts';

type Attack = {
  readonly id: string;
  readonly input: { readonly path: string; readonly headers: Readonly<Record<string, string>> };
  readonly expect: string;
  readonly why: string;
};

let lab: SocketWorld;
let good: Record<string, string>;

before(async () => {
  lab = await startSocketWorld();
  good = goodHandshake(lab.world.origin, lab.alice);
});

after(() => lab.close());

function outcome(answer: TestAnswer): string {
  return answer.status === 101 ? '101' : `${answer.status} ${codeOf(answer)}`;
}

function without(name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
}

describe('handshakes of the attack file', () => {
  const file = new URL('../fixtures/attacks/csrf_cors.json', import.meta.url);
  const { cases } = { cases: [], ...JSON.parse(`{"cases":${readFileSync(file, 'utf8')}}`) } as { cases: Attack[] };
  const attacks = cases.filter(({ id }) => id >= 'CC-110' && id <= 'CC-122');
  assert.equal(attacks.length, 9);
  for (const { id, why, expect, input } of attacks) {
    test(`${id}: ${why}`, async () => {
      const origins: Readonly<Record<string, string>> = {
        'https://app.example.test': lab.world.origin,
        'https://admin.apps.example.test': 'https://listed.example.test',
        'http://app.example.test': lab.world.origin.replace('http:', 'https:'),
      };
      const { origin = '' } = input.headers;
      const headers = { ...input.headers, origin: origins[origin] ?? origin, cookie: lab.alice };
      const reached = lab.service.seen.length;
      const answer = await lab.handshake('/echo/ws', headers);
      assert.equal(answer.status === 101 ? 'accept' : 'reject', expect);
      assert.equal(lab.service.seen.length - reached, expect === 'accept' ? 1 : 0);
      assert.equal(answer.headers.location, undefined);
      if (expect === 'reject') assert.match(String(answer.headers['content-type']), /^application\/problem\+json/);
    });
  }
});

describe('a handshake is refused', () => {
  const cases: readonly [string, string, () => Record<string, string>, string][] = [
    ['without an Origin', '/echo/x', () => without('origin'), '403 origin_not_allowed'],
    [
      'of a foreign page on a public route',
      '/open/x',
      () => ({ ...good, origin: 'https://evil.test' }),
      '403 origin_not_allowed',
    ],
    ['without an Origin on a public route', '/open/x', () => without('origin'), '403 origin_not_allowed'],
    ['without a session', '/echo/x', () => without('cookie'), '401 authentication_required'],
    [
      'without a session, though people get a login',
      '/login',
      () => ({ ...without('cookie'), accept: 'text/html' }),
      '401 authentication_required',
    ],
    ['of users without the role', '/admin', () => good, '403 access_denied'],
    ['without a version', '/echo/x', () => without('sec-websocket-version'), '400 bad_request'],
    ['without a key', '/echo/x', () => without('sec-websocket-key'), '400 bad_request'],
    [
      'with a key that is no base64 of 16 bytes',
      '/echo/x',
      () => ({ ...good, 'sec-websocket-key': '!'.repeat(24) }),
      '400 bad_request',
    ],
    ['with another upgrade', '/echo/x', () => ({ ...good, upgrade: 'h2c' }), '400 bad_request'],
    ['with two upgrades', '/echo/x', () => ({ ...good, upgrade: 'websocket, h2c' }), '400 bad_request'],
    ['with a body', '/echo/x', () => ({ ...good, 'content-length': '1' }), '400 bad_request'],
    ['with a chunked body', '/echo/x', () => ({ ...good, 'transfer-encoding': 'chunked' }), '400 bad_request'],
    [
      'with malformed subprotocols',
      '/chat',
      () => ({ ...good, 'sec-websocket-protocol': 'chat.v1, (x)' }),
      '400 bad_request',
    ],
    [
      'with a repeated subprotocol',
      '/chat',
      () => ({ ...good, 'sec-websocket-protocol': 'chat.v1, chat.v1' }),
      '400 bad_request',
    ],
    [
      'that nominates what must arrive',
      '/echo/x',
      () => ({ ...good, connection: 'Upgrade, Origin' }),
      '400 bad_request',
    ],
    ['on an HTTP route', '/http/x', () => good, '400 bad_request'],
    ['on no route', '/none', () => good, '404 not_found'],
    ['in the form of a plain request', '/echo/x', () => ({ cookie: lab.alice }), '400 bad_request'],
  ];
  for (const [name, path, headers, expected] of cases) {
    test(`${name}: ${expected}`, async () => {
      const reached = lab.service.seen.length;
      const answer = await lab.handshake(path, headers());
      assert.equal(outcome(answer), expected);
      assert.equal(answer.headers.location, undefined);
      assert.equal(lab.service.seen.length, reached);
    });
  }

  test('with another method, 405 with Allow', async () => {
    for (const method of ['POST', 'HEAD']) {
      const answer = await lab.handshake('/any', good, method);
      assert.equal(answer.status, 405);
      assert.equal(answer.headers.allow, 'GET');
    }
  });

  test('with the version that would do named', async () => {
    const answer = await lab.handshake('/echo/x', { ...good, 'sec-websocket-version': '12' });
    assert.equal(answer.headers['sec-websocket-version'], '13');
  });
});

describe('requests with a handshake key', () => {
  test('to verify and to our own pages get their HTTP answers', async () => {
    const verify = await lab.handshake('/auth/verify', good);
    assert.ok(verify.status !== 101 && verify.status >= 400, String(verify.status));
    const health = await lab.handshake('/readyz', good);
    assert.equal(health.status, 200);
    const session = await lab.handshake('/api/auth/session', good);
    assert.equal(session.status, 200);
    assert.equal((JSON.parse(session.body.toString()) as { authenticated: boolean }).authenticated, true);
  });
});

describe('the service gets', () => {
  test('identity and token, forwarded fields, foreign cookies, a key of our own; nothing that the client states', async () => {
    await (
      await lab.connect('/echo/a%7e?q=%22x%22&y={z}', {
        cookie: `theme=dark; ${lab.alice}; b=1`,
        headers: {
          authorization: 'Bearer forged',
          'x-user-id': 'admin',
          x_user_id: 'admin',
          'x-forwarded-for': '9.9.9.9',
        },
      })
    ).terminate();
    const request = lab.service.seen.at(-1);
    assert.equal(request?.url, '/echo/a~?q=%22x%22&y={z}');
    const { headers } = request as NonNullable<typeof request>;
    assert.equal(headers['x-user-id'], 'u-1001');
    assert.match(headers.authorization ?? '', /^Bearer eyJ/);
    assert.equal(headers.cookie, 'theme=dark; b=1');
    assert.equal(headers['x-forwarded-for'], '127.0.0.1');
    assert.equal(headers['x_user_id'], undefined);
    assert.equal(headers.host, `127.0.0.1:${lab.service.port}`);
    assert.equal(headers.origin, lab.world.origin);
    assert.notEqual(headers['sec-websocket-key'], good['sec-websocket-key']);
  });

  test('the token in the cookie that the route names, and only there, whatever the client sent', async () => {
    await (await lab.connect('/cookie', { cookie: `JWT=forged; jwt=forged2; ${lab.alice}; a=b` })).terminate();
    const { headers } = lab.service.seen.at(-1) as NonNullable<(typeof lab.service.seen)[number]>;
    assert.match(headers.cookie ?? '', /^a=b; jwt=eyJ[\w.-]+$/);
    assert.equal(headers.authorization, undefined);
    assert.equal(headers['x-user-id'], 'u-1001');
  });

  test('no identity and no token on a public route', async () => {
    await (await lab.connect('/open/x')).terminate();
    const { headers } = lab.service.seen.at(-1) as NonNullable<(typeof lab.service.seen)[number]>;
    assert.deepEqual([headers['x-user-id'], headers.authorization, headers.cookie], [undefined, undefined, undefined]);
  });

  test('the path with its beginning rewritten', async () => {
    await (await lab.connect('/old/7')).terminate();
    assert.equal(lab.service.seen.at(-1)?.url, '/v1/7');
  });

  test('those subprotocols that the route lists, in the order of the client, and its choice stands', async () => {
    const socket = await lab.connect('/chat', { subprotocols: ['evil', 'chat.v1', 'chat.v2'] });
    assert.equal(socket.protocol, 'chat.v2');
    assert.equal(lab.service.seen.at(-1)?.headers['sec-websocket-protocol'], 'chat.v1,chat.v2');
    socket.send('x');
    assert.equal(String((await nextMessage(socket)).data), 'x');
    socket.terminate();
    assert.equal((await lab.connect('/chat')).protocol, '');
  });
});

test('twenty sockets of one session, and no more; another session has its own; a closed one makes room', async () => {
  await until(() => lab.service.open.size <= 1, 'sockets of other tests are gone');
  for (const socket of lab.service.open) socket.terminate();
  await until(() => lab.service.open.size === 0, 'all sockets are gone');
  const sockets = await Promise.all(Array.from({ length: 20 }, () => lab.connect('/echo/x')));
  assert.equal(outcome(await lab.handshake('/echo/x', good)), '429 rate_limited');
  assert.equal(outcome(await lab.handshake('/echo/x', { ...good, cookie: lab.bob })), '101');
  assert.equal(outcome(await lab.handshake('/open/x', good)), '101');
  sockets.pop()?.terminate();
  await until(async () => (await lab.handshake('/echo/x', good)).status === 101, 'there is room again');
  for (const socket of sockets) socket.terminate();
});
