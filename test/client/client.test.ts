// The helper in node, against a real HTTP server; what needs a browser is in test/e2e/demo-live.test.ts.
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type RunningServer, startHttpServer } from '../../src/cli/demo/http-server.ts';

type Helper = typeof import('../../client/sallyport-client.js');
type Client = ReturnType<Helper['createClient']>;
type Seen = { readonly method: string; readonly url: string; readonly csrf: string; readonly body: string };

let helper: Helper;
let server: RunningServer;
let seen: Seen[];
let assigned: string[];
let answer: (request: Seen, response: ServerResponse) => void;

const json = (response: ServerResponse, status: number, body: object, headers: object = {}): void =>
  void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
const problem = (code: string): object => ({ title: 'No', status: 401, code, detail: 'Because.', request_id: 'r-1' });
const SIGNED_OUT = { authenticated: false, login_url: '/auth/login' };

before(async () => {
  server = await startHttpServer({
    port: 0,
    async handler(request: IncomingMessage, response: ServerResponse) {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      const { method = '', url = '' } = request;
      const entry = { method, url, csrf: String(request.headers['x-csrf'] ?? ''), body };
      seen.push(entry);
      answer(entry, response);
    },
  });
  const href = `http://127.0.0.1:${server.port}/page?tab=2#part`;
  Object.assign(globalThis, { location: { href, assign: (url: string) => void assigned.push(url) } });
  helper = await import('../../client/sallyport-client.js');
});

after(async () => {
  Reflect.deleteProperty(globalThis, 'location');
  await server.close();
});

beforeEach(() => {
  seen = [];
  assigned = [];
  answer = (_, response) => json(response, 200, { ok: true });
});

function create(options: Parameters<Helper['createClient']>[0] = {}): Client {
  return helper.createClient(options);
}

function failure(run: Promise<unknown>): Promise<InstanceType<Helper['SallyportProblem']>> {
  return run.then(
    () => assert.fail('nothing was thrown'),
    (error: unknown) => error as InstanceType<Helper['SallyportProblem']>,
  );
}

describe('requests of the helper', () => {
  test('go below base, and unsafe ones carry the proof', async () => {
    const client = create();
    const { status, body } = await client.request('/items?x=1');
    assert.deepEqual([status, body], [200, { ok: true }]);
    await client.request('items', { method: 'post', json: { a: 1 } });
    await client.request('/items', { method: 'DELETE' });
    assert.deepEqual(seen, [
      { method: 'GET', url: '/api/items?x=1', csrf: '', body: '' },
      { method: 'POST', url: '/api/items', csrf: '1', body: '{"a":1}' },
      { method: 'DELETE', url: '/api/items', csrf: '1', body: '' },
    ]);
  });

  test('never leave base, whatever a path says', async () => {
    const client = create();
    for (const path of ['../auth/logout', 'https://evil.test/', '..\\auth', '/%2e%2e/auth']) {
      await assert.rejects(client.request(path), TypeError, path);
    }
    await client.request('//evil.test/x');
    assert.deepEqual(
      seen.map(({ url }) => url),
      ['/api/evil.test/x'],
    );
  });

  test('throw what the server says, with its code and when to come back', async () => {
    answer = (_, response) => json(response, 503, problem('store_unavailable'), { 'retry-after': '2' });
    const error = await failure(create().request('/x'));
    assert.deepEqual(
      [error.status, error.code, error.message, error.detail, error.requestId, error.retryAfter],
      [503, 'store_unavailable', 'No', 'Because.', 'r-1', 2],
    );
    answer = (_, response) => void response.writeHead(500).end('<h1>oops</h1>');
    assert.equal((await failure(create().request('/x'))).code, 'http_error');
    assert.equal((await failure(create({ base: 'http://127.0.0.1:1/api' }).request('/x'))).code, 'network_error');
    assert.deepEqual(assigned, []);
  });

  test('read JSON, text and nothing', async () => {
    answer = ({ url }, response) => void (url === '/api/t' ? response.end('text') : response.writeHead(204).end());
    assert.equal((await create().request('/t')).body, 'text');
    assert.equal((await create().request('/n')).body, undefined);
  });
});

describe('the helper goes to the sign-in', () => {
  const session = (state: object) => {
    answer = ({ url }, response) => {
      if (url.startsWith('/api/auth/session')) json(response, 200, state);
      else json(response, 401, problem('authentication_required'));
    };
  };
  const origin = (): string => `http://127.0.0.1:${server.port}`;

  test('for a missing session alone, once, and comes back to the page', async () => {
    session(SIGNED_OUT);
    const client = create();
    await Promise.all([failure(client.request('/a')), failure(client.request('/b'))]);
    assert.deepEqual(assigned, [`${origin()}/auth/login?return_to=%2Fpage%3Ftab%3D2`]);
    assert.ok(seen.some(({ url }) => url === '/api/auth/session?slide=false'));
  });

  test('not while the session lives: then a service said 401 for reasons of its own', async () => {
    session({ authenticated: true, login_url: '/auth/login' });
    assert.equal((await failure(create().request('/a'))).status, 401);
    assert.deepEqual(assigned, []);
  });

  test('never for no_token_available, nor for other refusals', async () => {
    for (const code of ['no_token_available', 'invalid_token', 'access_denied', 'insufficient_user_authentication']) {
      answer = (_, response) => json(response, 401, problem(code));
      assert.equal((await failure(create().request('/a'))).code, code);
    }
    assert.deepEqual(assigned, []);
    assert.ok(
      seen.every(({ url }) => url === '/api/a'),
      'not even the session is looked at',
    );
  });

  test('by a function of the application, where it has one; and never to an address that is no page', async () => {
    session({ ...SIGNED_OUT, login_url: 'https://login.example.test/auth/login' });
    const asked: string[] = [];
    await failure(create({ onSignIn: (url) => void asked.push(url) }).request('/a'));
    assert.deepEqual(asked, [
      `https://login.example.test/auth/login?return_to=${encodeURIComponent(`${origin()}/page?tab=2`)}`,
    ]);
    session({ ...SIGNED_OUT, login_url: 'javascript:alert(1)' });
    await failure(create().request('/a'));
    assert.deepEqual(assigned, []);
  });
});

describe('the proof of mode token', () => {
  test('comes with the session check, and an old one is renewed and the request sent again, once', async () => {
    let token = 'k1.first';
    answer = ({ url, csrf }, response) => {
      if (url.startsWith('/api/auth/session')) json(response, 200, { authenticated: true, csrf_token: token });
      else if (csrf === token) json(response, 200, { done: true });
      else json(response, 403, problem('csrf_failed'));
    };
    const client = create();
    await client.session();
    assert.deepEqual((await client.request('/x', { method: 'POST', json: 1 })).body, { done: true });
    token = 'k1.second';
    assert.deepEqual((await client.request('/x', { method: 'POST', json: 2 })).body, { done: true });
    const sent = seen.filter(({ method }) => method === 'POST').map(({ csrf, body }) => `${csrf} ${body}`);
    assert.deepEqual(sent, ['k1.first 1', 'k1.first 2', 'k1.second 2']);
    const stubborn = create({ csrfValue: 'x' });
    answer = ({ url }, response) => {
      if (url.startsWith('/api/auth/session')) json(response, 200, { authenticated: true });
      else json(response, 403, problem('csrf_failed'));
    };
    seen = [];
    assert.equal((await failure(stubborn.request('/x', { method: 'POST' }))).code, 'csrf_failed');
    assert.equal(seen.filter(({ method }) => method === 'POST').length, 1, 'the same proof again would be pointless');
  });
});

describe('event streams of the helper', () => {
  const read = async (...chunks: readonly string[]): Promise<string[]> => {
    answer = async (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const chunk of chunks) {
        response.write(chunk);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      response.end();
    };
    const events: string[] = [];
    await create().events('/e', { onEvent: ({ type, data, id }) => void events.push(`${type}|${data}|${id}`) });
    return events;
  };

  test('are read in any line ends and chunks; comments and what is cut off are no events', async () => {
    assert.deepEqual(await read('data: a\n\n', 'event: t\r\nid: 7\r\ndata: b\r\ndata:c\r\n\r\n', ': hi\n\ndata: cut'), [
      'message|a|',
      't|b\nc|7',
    ]);
    assert.deepEqual(await read('da', 'ta: x\r', '\n\r', '\n'), ['message|x|']);
    assert.deepEqual(await read('data: é€'.slice(0, 7), '€\n\n'), ['message|é€|']);
  });

  test('end when they are told to, and say why they could not begin', async () => {
    const controller = new AbortController();
    answer = (_, response) => void response.writeHead(200).write('data: a\n\n');
    await create().events('/e', { signal: controller.signal, onEvent: () => controller.abort() });
    answer = (_, response) => json(response, 403, problem('access_denied'));
    assert.equal((await failure(create().events('/e', { onEvent: () => {} }))).code, 'access_denied');
  });
});

describe('sockets and the sign-out of the helper', () => {
  test('a socket’s address follows that of the page', () => {
    assert.equal(create().socketUrl('/live?x=1'), `ws://127.0.0.1:${server.port}/api/live?x=1`);
    assert.equal(create({ base: 'https://app.example.test/api' }).socketUrl('live'), 'wss://app.example.test/api/live');
  });

  test('the sign-out ends streams, clears its own keys and goes to the server', async () => {
    const storage = () => {
      const kept = new Map([
        ['draft', '1'],
        ['theme', 'dark'],
      ]);
      return { kept, removeItem: (key: string) => void kept.delete(key) };
    };
    const [local, session] = [storage(), storage()];
    Object.assign(globalThis, { sessionStorage: session });
    Object.defineProperty(globalThis, 'localStorage', { value: local, configurable: true, writable: true });
    const client = create({ storageKeys: ['draft'] });
    const open = Promise.withResolvers<void>();
    answer = (_, response) => void response.writeHead(200).write('data: a\n\n');
    const stream = client.events('/e', { onEvent: () => open.resolve() });
    await open.promise;
    client.signOut({ everywhere: true });
    await stream;
    assert.deepEqual(assigned, [`http://127.0.0.1:${server.port}/auth/logout?everywhere=true`]);
    assert.deepEqual([[...local.kept.keys()], [...session.kept.keys()]], [['theme'], ['theme']]);
    client.signIn();
    assert.equal(assigned.length, 1, 'on the way out nothing leads elsewhere');
  });
});
