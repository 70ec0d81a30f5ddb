import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  call,
  codeOf,
  type ProxyWorld,
  startProxyWorld,
  startService,
  type TestAnswer,
  type TestService,
} from '../proxy/world.ts';

const LISTED = 'https://listed.example.test';

let world: ProxyWorld;
let service: TestService;
let alice: string;
let bob: string;

before(async () => {
  service = await startService((incoming, response) => void incoming.resume().on('end', () => response.end('served')));
  world = await startProxyWorld({
    services: { api: { urls: [service.url], token: { source: 'session' } } },
    routes: [
      { id: 'api', target_service: 'api', paths: ['/api/x/*'] },
      { id: 'all', target_service: 'api', paths: ['/api/all/*'], csrf: 'all' },
    ],
    settings: {
      csrf: { mode: 'token' },
      cors: { allow_methods: ['GET', 'POST'], allow_headers: 'content-type', max_age: '90s' },
    },
  });
  [alice, bob] = [await world.signIn('alice'), await world.signIn('bob')];
});

after(async () => {
  await world.close();
  await service.close();
});

function send(method: string, path: string, headers: Record<string, string>): Promise<TestAnswer> {
  return call({ port: world.port, path, method, headers: { origin: world.origin, ...headers } });
}

async function check(cookie: string): Promise<{ readonly token: string; readonly lines: readonly string[] }> {
  const answer = await send('GET', '/api/auth/session', { cookie });
  const { csrf_token: token } = JSON.parse(answer.body.toString()) as { csrf_token: string };
  return { token, lines: (answer.headers['set-cookie'] ?? []).filter((line) => line.startsWith('bff_csrf=')) };
}

function outcome(answer: TestAnswer): string {
  return answer.status === 200 ? '200' : `${answer.status} ${codeOf(answer)}`;
}

describe('csrf.mode: token', () => {
  test('tells scripts their token in the session check and in a readable cookie, which is sent once', async () => {
    const { token, lines } = await check(alice);
    assert.match(token, /^k1\.[A-Za-z0-9_-]{43}$/);
    assert.deepEqual(lines, [`bff_csrf=${token}; Path=/; SameSite=Lax`]);
    assert.deepEqual((await check(`${alice}; bff_csrf=${token}`)).lines, []);
    assert.equal((await check(`${alice}; bff_csrf=planted`)).lines.length, 1);
    assert.equal((await check(`${alice}; bff_csrf=${token}; bff_csrf=planted`)).lines.length, 1);
    assert.notEqual((await check(bob)).token, token);
  });

  test('has a new token for each session', async () => {
    const first = (await check(alice)).token;
    const again = await world.signIn('alice');
    assert.notEqual((await check(again)).token, first);
  });

  test('lets unsafe requests pass with the token of their own session alone', async () => {
    const { token } = await check(alice);
    const before = service.seen.length;
    assert.equal(outcome(await send('POST', '/api/x/1', { cookie: alice, 'x-csrf': token })), '200');
    assert.equal(outcome(await send('GET', '/api/all/1', { cookie: alice, 'x-csrf': token })), '200');
    assert.equal(outcome(await send('GET', '/api/x/1', { cookie: alice })), '200');
    assert.equal(service.seen.length - before, 3);
    for (const proof of ['', '1', token.slice(1), `${token}=`, (await check(bob)).token]) {
      const headers = { cookie: `${alice}; bff_csrf=${proof}`, ...(proof === '' ? {} : { 'x-csrf': proof }) };
      assert.equal(outcome(await send('POST', '/api/x/1', headers)), '403 csrf_failed', proof);
      assert.equal(outcome(await send('GET', '/api/all/1', headers)), '403 csrf_failed', proof);
      assert.equal(outcome(await send('POST', '/auth/refresh', headers)), '403 csrf_failed', proof);
    }
    assert.equal(
      outcome(await send('POST', '/api/x/1', { cookie: alice, 'x-csrf': token, origin: 'https://evil.test' })),
      '403 csrf_failed',
    );
    assert.equal(service.seen.length - before, 3);
  });

  test('keeps the token from services, and services from setting it', async () => {
    const { token } = await check(alice);
    await send('POST', '/api/x/1', { cookie: `${alice}; bff_csrf=${token}; theme=dark`, 'x-csrf': token });
    assert.equal(service.last().headers.cookie, 'theme=dark');
  });

  test('expires the cookie at the sign-out', async () => {
    const cookie = await world.signIn('bob');
    const answer = await send('POST', '/auth/logout', { cookie });
    assert.equal(answer.status, 200);
    const lines = (answer.headers['set-cookie'] ?? []).filter((line) => line.startsWith('bff_csrf='));
    assert.deepEqual(lines, ['bff_csrf=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; SameSite=Lax']);
  });

  test('answers preflights by cors: methods, headers with that of the proof, and age', async () => {
    const asked = {
      origin: LISTED,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'x-csrf',
    };
    const { status, headers } = await call({ port: world.port, path: '/api/x/1', method: 'OPTIONS', headers: asked });
    assert.equal(status, 204);
    assert.equal(headers['access-control-allow-methods'], 'GET, POST');
    assert.equal(headers['access-control-allow-headers'], 'content-type, x-csrf');
    assert.equal(headers['access-control-max-age'], '90');
    assert.equal(headers['access-control-allow-origin'], LISTED);
    assert.equal(
      service.seen.some(({ method }) => method === 'OPTIONS'),
      false,
    );
  });
});
