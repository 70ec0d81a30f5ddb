import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import {
  call,
  codeOf,
  type ProxyWorld,
  startProxyWorld,
  startService,
  type TestAnswer,
  type TestService,
} from './world.ts';

const LISTED = 'https://listed.example.test';
/** Two at once, and no window ends during the test. */
const TWO = { average: 1, period: '1h', burst: 2 };

let world: ProxyWorld;
let service: TestService;
let alice: string;
let bob: string;

before(async () => {
  service = await startService((incoming, response) => void incoming.resume().on('end', () => response.end('served')));
  const route = (id: string, key: string, rest: object = {}): object => {
    return { id, target_service: 'api', paths: [`/${id}/*`], rate_limit: { ...TWO, key }, ...rest };
  };
  world = await startProxyWorld({
    services: { api: { urls: [service.url], token: { source: 'none' } } },
    routes: [
      route('address', 'client_ip', { auth: 'none' }),
      route('closed', 'client_ip'),
      route('session', 'session', { public: [{ method: 'GET', path: '/session/open' }] }),
      route('user', 'user'),
      route('cors', 'client_ip', { auth: 'none' }),
      route('socket', 'client_ip', { auth: 'none', paths: ['/socket'], websocket: {} }),
      { id: 'free', target_service: 'api', paths: ['/free/*'], auth: 'none' },
    ],
    settings: { trusted_proxies: ['127.0.0.1/32'], login: { rate_limit: { ...TWO, burst: 40, key: 'client_ip' } } },
  });
  [alice, bob] = [await world.signIn('alice'), await world.signIn('bob')];
});

after(async () => {
  await world.close();
  await service.close();
});

async function outcomes(asks: readonly (() => Promise<TestAnswer>)[]): Promise<string[]> {
  const results: string[] = [];
  for (const ask of asks) {
    const answer = await ask();
    results.push(answer.status < 400 ? String(answer.status) : `${answer.status} ${codeOf(answer)}`);
  }
  return results;
}

function get(path: string, headers: Record<string, string> = {}): () => Promise<TestAnswer> {
  return () => call({ port: world.port, path, headers });
}

const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address });
const REFUSED = '429 rate_limited';

describe('a rate limit of a route', () => {
  test('counts addresses: one that asks too often is refused before the service sees it, others are not', async () => {
    const reached = service.seen.length;
    const one = get('/address/a', from('192.0.2.1'));
    assert.deepEqual(await outcomes([one, one, one, get('/address/b', from('192.0.2.1'))]), [
      '200',
      '200',
      REFUSED,
      REFUSED,
    ]);
    assert.deepEqual(await outcomes([get('/address/a', from('192.0.2.2')), get('/free/a', from('192.0.2.1'))]), [
      '200',
      '200',
    ]);
    assert.equal(service.seen.length - reached, 4);
  });

  test('counts the /64 of an IPv6 client, whatever address it takes there', async () => {
    const asks = ['2001:db8:1:2::1', '2001:db8:1:2:ffff::2', '2001:db8:1:2::3', '2001:db8:1:3::1', '::ffff:192.0.2.9'];
    assert.deepEqual(await outcomes(asks.map((address) => get('/address/a', from(address)))), [
      '200',
      '200',
      REFUSED,
      '200',
      '200',
    ]);
  });

  test('is not escaped by what a client writes into X-Forwarded-For itself', async () => {
    const asks = [1, 2, 3].map((n) => get('/address/a', from(`10.9.9.${n}, 198.51.100.7`)));
    assert.deepEqual(await outcomes(asks), ['200', '200', REFUSED]);
  });

  test('counts strangers, too, before it looks for a session', async () => {
    const ask = get('/closed/a', from('192.0.2.50'));
    assert.deepEqual(await outcomes([ask, ask, ask]), [
      '401 authentication_required',
      '401 authentication_required',
      REFUSED,
    ]);
  });

  test('counts sessions: one user’s does not use up another’s, nor that of a second session', async () => {
    const [a, b] = [get('/session/a', { cookie: alice }), get('/session/a', { cookie: bob })];
    const again = get('/session/a', { cookie: await world.signIn('alice') });
    assert.deepEqual(await outcomes([a, a, a, b, again]), ['200', '200', REFUSED, '200', '200']);
  });

  test('counts strangers of a public address below a session route by their address', async () => {
    const [one, other] = [get('/session/open', from('192.0.2.60')), get('/session/open', from('192.0.2.61'))];
    assert.deepEqual(await outcomes([one, one, one, other]), ['200', '200', REFUSED, '200']);
  });

  test('counts users over all their sessions', async () => {
    const again = get('/user/a', { cookie: await world.signIn('alice') });
    const asks = [get('/user/a', { cookie: alice }), again, again, get('/user/a', { cookie: bob })];
    assert.deepEqual(await outcomes(asks), ['200', '200', REFUSED, '200']);
  });

  test('says when to come back, and a script of an allowed origin can read it', async () => {
    const ask = get('/cors/a', { origin: LISTED });
    await ask();
    await ask();
    const answer = await ask();
    assert.equal(answer.status, 429);
    assert.match(String(answer.headers['retry-after']), /^[1-9]\d{0,3}$/);
    assert.equal(
      (JSON.parse(answer.body.toString()) as { retry_after: number }).retry_after,
      Number(answer.headers['retry-after']),
    );
    assert.equal(answer.headers['access-control-allow-origin'], LISTED);
    assert.equal(answer.headers['access-control-allow-credentials'], 'true');
    assert.equal(answer.headers['cache-control'], 'no-store');
  });

  test('answers an upload that is over the limit without reading it to its end', async () => {
    const ask = () =>
      call({
        port: world.port,
        path: '/address/up',
        method: 'POST',
        headers: from('192.0.2.70'),
        body: Buffer.alloc(200_000),
      });
    assert.deepEqual(await outcomes([ask, ask, ask]), ['200', '200', REFUSED]);
  });

  test('counts WebSocket handshakes', async () => {
    const dial = (): Promise<number> => {
      const socket = new WebSocket(`ws://127.0.0.1:${world.port}/socket`, { origin: world.origin });
      return new Promise((resolve) => {
        socket.on('unexpected-response', (_, response) => resolve(response.resume().statusCode ?? 0));
        socket.on('error', () => undefined);
      });
    };
    // The service is none for WebSockets: what passes fails there.
    assert.deepEqual([await dial(), await dial(), await dial()], [502, 502, 429]);
  });
});

describe('login.rate_limit', () => {
  test('refuses an address that begins too many logins, with a page for people, and nobody else', async () => {
    const login = get('/auth/login', { ...from('203.0.113.5'), accept: 'text/html' });
    for (let n = 0; n < 40; n += 1) assert.equal((await login()).status, 302);
    const refused = await login();
    assert.deepEqual([refused.status, refused.headers['content-type']], [429, 'text/html; charset=utf-8']);
    assert.match(refused.body.toString(), /Code rate_limited/);
    assert.equal(refused.headers['set-cookie'], undefined);
    assert.equal((await get('/auth/login', from('203.0.113.6'))()).status, 302);
  });
});
