import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import {
  call,
  codeOf,
  type ProxyWorld,
  startProxyWorld,
  startService,
  type TestCall,
  type TestService,
} from '../proxy/world.ts';
import { until } from '../support/until.ts';

const none = { source: 'none' };
const timeouts = { connect: '5s', headers: '10s', body_idle: '10s' };
/** Nobody listens on port 1 of loopback. */
const DEAD = 'http://127.0.0.1:1';

/** Answers its name with the body that it received; `/slow` never ends, `/silent` never begins. */
function echo(name: string) {
  return (incoming: IncomingMessage, response: ServerResponse): void => {
    if (incoming.url?.endsWith('/silent')) return;
    if (incoming.url?.endsWith('/slow')) {
      response.write('first');
      return;
    }
    let body = '';
    incoming.on('data', (chunk) => {
      body += chunk;
    });
    incoming.on('end', () => response.end(`${name} ${body}`));
  };
}

describe('a service with several addresses', () => {
  let world: ProxyWorld;
  let one: TestService;
  let two: TestService;
  let resetting: ResettingService;
  let unread: ResettingService;
  before(async () => {
    [one, two] = [await startService(echo('one')), await startService(echo('two'))];
    resetting = await startResetting(true);
    unread = await startResetting(false);
    const reset = `http://127.0.0.1:${resetting.port}`;
    const health = { failures: 2, eject: '30s' };
    const base = { token: none, timeouts };
    world = await startProxyWorld({
      services: {
        both: { ...base, urls: [one.url, two.url] },
        half: { ...base, urls: [DEAD, one.url], health: { failures: 1000, eject: '1h' } },
        patient: { ...base, urls: [DEAD, one.url], health: { failures: 1000, eject: '1h' }, retries: 1 },
        localhost: { ...base, urls: [`http://localhost:${one.port}`] },
        nowhere: { ...base, urls: ['http://does-not-exist.invalid:80'] },
        unread: { ...base, urls: [`http://127.0.0.1:${unread.port}`], retries: 2 },
        broken: { ...base, urls: [reset], health, retries: 5 },
        total: { ...base, urls: [one.url], timeouts: { ...timeouts, total: '400ms' } },
      },
      routes: [
        ...['both', 'half', 'patient', 'localhost', 'nowhere', 'unread', 'broken', 'total'].map((id) => ({
          id,
          paths: [`/${id}/*`],
          target_service: id,
          auth: 'none',
        })),
        { id: 'hasty', paths: ['/hasty/*'], target_service: 'both', auth: 'none', timeouts: { headers: '300ms' } },
      ],
    });
  });
  after(async () => {
    await world.close();
    await Promise.all([one.close(), two.close()]);
    resetting.server.close();
    unread.server.close();
  });

  const ask = async (path: string, how: Partial<TestCall> = {}): Promise<string> => {
    const answer = await call({ port: world.port, path, ...how });
    return answer.status === 200 ? answer.body.toString() : `${answer.status} ${codeOf(answer)}`;
  };
  const many = (count: number, path: string, how: Partial<TestCall> = {}): Promise<string[]> =>
    Promise.all(Array.from({ length: count }, () => ask(path, how)));

  test('is asked at each of them', async () => {
    assert.deepEqual((await many(6, '/both/x')).sort(), ['one ', 'one ', 'one ', 'two ', 'two ', 'two ']);
  });

  test('with one of them dead answers everything that may be tried again', async () => {
    assert.deepEqual(new Set(await many(8, '/patient/x')), new Set(['one ']));
    const put = await many(8, '/patient/x', { method: 'PUT', body: 'a body' });
    assert.deepEqual(new Set(put), new Set(['one a body']));
  });

  test('with one of them dead fails what may not: without retries, and a POST', async () => {
    const some = (answers: string[]): string[] => [...new Set(answers)].sort();
    assert.deepEqual(some(await many(8, '/half/x')), ['502 service_connect_failed', 'one ']);
    const before = one.seen.length;
    const post = await many(8, '/patient/x', { method: 'POST', body: 'once' });
    assert.deepEqual(some(post), ['502 service_connect_failed', 'one once']);
    assert.equal(one.seen.length - before, post.filter((answer) => answer === 'one once').length);
  });

  test('is found by a name of which one family is answered', async () => {
    assert.deepEqual(new Set(await many(8, '/localhost/x', { method: 'POST', body: 'x' })), new Set(['one x']));
  });

  test('that has none is 502, at once', async () => {
    assert.equal(await ask('/nowhere/x'), '502 service_connect_failed');
    const line = world.log.find(({ msg }) => msg === 'the name of a service has no address');
    assert.deepEqual([line?.service, line?.host], ['nowhere', 'does-not-exist.invalid']);
  });

  test('that resets a request under way is not asked again, and gets no body twice', async () => {
    assert.equal(await ask('/broken/x'), '502 service_bad_response');
    assert.equal(await ask('/broken/x', { method: 'PUT', body: 'never replayed' }), '502 service_bad_response');
    assert.equal(resetting.requests, 2);
  });

  test('that resets what it has not read fails as clean as ever, however often it is tried', async () => {
    const answer = await ask('/unread/x', { method: 'PUT', body: 'never read' });
    assert.match(answer, /^502 service_(connect_failed|bad_response)$/);
  });

  test('that keeps failing is spared, and answers again after one request has tried it', async () => {
    const { requests } = resetting;
    const refused = await call({ port: world.port, path: '/broken/x' });
    assert.equal(`${refused.status} ${codeOf(refused)}`, '503 service_unavailable');
    assert.ok(Number(refused.headers['retry-after']) > 0 && Number(refused.headers['retry-after']) <= 30);
    assert.equal(resetting.requests, requests, 'the service was left alone');
    resetting.alive = true;
    world.advanceMs(30_000);
    assert.equal(await ask('/broken/x'), 'well');
    assert.deepEqual(new Set(await many(4, '/broken/x')), new Set(['well']));
  });

  test('is given up on by a deadline of the route: 504', async () => {
    assert.equal(await ask('/hasty/silent'), '504 service_timeout');
    assert.match(await ask('/hasty/x'), /^(one|two) $/);
  });

  test('is given up on when the whole request takes too long: 504, or a cut answer', async () => {
    assert.equal(await ask('/total/silent'), '504 service_timeout');
    await assert.rejects(ask('/total/slow'));
    assert.equal(await ask('/total/x'), 'one ');
    await until(async () => (await world.metric('sallyport_requests_in_flight')) <= 1, 'nothing is left');
  });
});

type ResettingService = { readonly server: Server; readonly port: number; requests: number; alive: boolean };

/** Resets each connection, with its first bytes or at once; from the moment it is `alive` it answers. */
async function startResetting(reads: boolean): Promise<ResettingService> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    if (!reads) socket.resetAndDestroy();
    socket.once('data', () => {
      state.requests += 1;
      if (state.alive) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwell');
      else socket.resetAndDestroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const state = { server, port: (server.address() as AddressInfo).port, requests: 0, alive: false };
  return state;
}
