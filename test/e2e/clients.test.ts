import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type RawResponse, requestBytes } from '../../scripts/attacks/raw-client.ts';
import { codeOfPage } from '../faults/provider-lab.ts';
import {
  callbackTarget,
  createBrowser,
  type Header,
  headerOf,
  sendBytes,
  type TestBrowser,
} from '../support/raw-client.ts';
import { type ScriptedProvider, startScriptedProvider } from '../support/scripted-provider.ts';
import { PUBLIC_URL, startTestServer, type TestServer } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const HOST: readonly Header[] = [
  ['host', new URL(PUBLIC_URL).host],
  ['accept', 'text/html'],
];
const OWN_POST: readonly Header[] = [...HOST, ['origin', PUBLIC_URL]];
const SETTLED: readonly number[] = [200, 302, 400, 403];

let provider: ScriptedProvider;
let server: TestServer;
before(async () => {
  provider = await startScriptedProvider();
  server = await startTestServer({ idps: provider.idps(), peers: [provider.front] });
  await server.whenReady();
});
after(async () => {
  await server?.close();
  await provider.close();
});

/** A browser that is signed in. */
async function signIn(): Promise<TestBrowser> {
  const browser = createBrowser(server);
  assert.equal((await browser.signIn(provider)).status, 302);
  return browser;
}

/** Send to the public listener. */
function send(bytes: Buffer | readonly Buffer[], options: Parameters<typeof sendBytes>[2] = {}) {
  return sendBytes(server.ports.public, bytes, options);
}

function statuses(responses: readonly RawResponse[]): number[] {
  return responses.map(({ status }) => status);
}

describe('methods', () => {
  const methods = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'CONNECT', 'get', 'PROPFIND'];
  const endpoints: Readonly<Record<string, readonly string[]>> = {
    '/auth/login': ['GET'],
    '/auth/callback': ['GET'],
    '/auth/logout': ['GET', 'POST'],
    '/api/auth/logout': ['GET', 'POST'],
    '/api/auth/session': ['GET'],
    '/auth/health': ['GET', 'HEAD'],
    '/readyz': ['GET', 'HEAD'],
  };
  for (const [path, allowed] of Object.entries(endpoints)) {
    test(`${path} answers ${allowed.join(' and ')}; every other method gets 405 and Allow`, async () => {
      for (const method of methods) {
        const bodyless = method === 'GET' || method === 'HEAD';
        const headers = bodyless ? HOST : [...HOST, ['content-length', '3'] as const];
        const bytes = requestBytes(method, path, headers, { body: bodyless ? '' : 'a=b' });
        const [response] = (await send(bytes, { method })).responses;
        assert.ok(response, `${method} is answered`);
        if (allowed.includes(method)) assert.ok(SETTLED.includes(response.status), `${method}: ${response.status}`);
        else {
          assert.equal(response.status, 405, method);
          assert.match(headerOf(response, 'allow') ?? '', /^GET\b/, method);
        }
        if (method === 'HEAD') assert.equal(response.body, '');
      }
    });
  }
});

describe('odd bodies of a sign-out', () => {
  const form = 'application/x-www-form-urlencoded';
  const bodies: readonly (readonly [type: string, body: string, status: number])[] = [
    ['application/json', '{}', 200],
    ['application/json', '{"csrf_token":', 200],
    ['multipart/form-data; boundary=x', '--x\r\n', 200],
    ['text/plain', '\0\x01', 200],
    ['', 'a=b', 200],
    [form, '', 200],
    [form, 'csrf_token=', 200],
    [form, 'csrf_token=a&csrf_token=b', 400],
    [form, 'csrf_token=%zz', 400],
    [form, '%ff%fe=%00', 400],
    [form, 'a=b&'.repeat(101), 400],
    [form, 'a'.repeat(16_384), 200],
    [form, 'a'.repeat(16_385), 413],
  ];
  for (const [type, body, status] of bodies) {
    const what = `${type || 'no type'} ${JSON.stringify(body.slice(0, 24))} of ${body.length} bytes`;
    test(`${what} is answered ${status}`, async () => {
      const typed: readonly Header[] = type === '' ? [] : [['content-type', type]];
      const length: Header = ['content-length', String(Buffer.byteLength(body))];
      const bytes = requestBytes('POST', '/auth/logout', [...OWN_POST, ...typed, length], { body });
      assert.deepEqual(statuses((await send(bytes)).responses), [status]);
    });
  }

  test('chunks are put together and bounded like any other body', async () => {
    const chunk = (size: number): string => `${size.toString(16)}\r\n${'a'.repeat(size)}\r\n`;
    const headers: readonly Header[] = [...OWN_POST, ['transfer-encoding', 'chunked']];
    for (const [sizes, status] of [
      [[3, 3], 200],
      [[16_384], 200],
      [[16_384, 1], 413],
    ] as const) {
      const body = `${sizes.map(chunk).join('')}0\r\n\r\n`;
      const { responses } = await send(requestBytes('POST', '/auth/logout', headers, { body }));
      assert.deepEqual(statuses(responses), [status], `chunks of ${sizes}`);
    }
  });

  test('a body that comes later, after Expect: 100-continue, is asked for and read', async () => {
    const headers: readonly Header[] = [...OWN_POST, ['content-length', '3'], ['expect', '100-continue']];
    const { bytes, responses } = await send([requestBytes('POST', '/auth/logout', headers), Buffer.from('a=b')]);
    assert.ok(bytes.toString('latin1').startsWith('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n'));
    assert.deepEqual(statuses(responses), [200]);
  });

  test('a request that trickles in is answered, and others are not kept waiting', async () => {
    const bytes = requestBytes('POST', '/auth/logout', [...OWN_POST, ['content-length', '3']], { body: 'a=b' });
    const pieces = Array.from({ length: Math.ceil(bytes.length / 4) }, (_, index) =>
      bytes.subarray(index * 4, index * 4 + 4),
    );
    const slow = send(pieces, { deadlineMs: 20_000 });
    let others = 0;
    for (let isDone = false; !isDone; ) {
      const quick = send(requestBytes('GET', '/health', HOST)).then(({ responses }) => statuses(responses));
      assert.deepEqual(await quick, [200]);
      others += 1;
      isDone = await Promise.race([
        slow.then(() => true),
        new Promise<false>((resolve) => setTimeout(resolve, 20, false)),
      ]);
    }
    assert.deepEqual(statuses((await slow).responses), [200]);
    assert.ok(others > 5);
  });

  test('a body that never comes holds nothing once the client has left', async () => {
    const headers: readonly Header[] = [...OWN_POST, ['content-length', '9000']];
    const { responses } = await send(requestBytes('POST', '/auth/logout', headers, { body: 'a' }), { deadlineMs: 200 });
    assert.deepEqual(responses, []);
    // server.close() checks that no request is left open.
    assert.deepEqual(statuses((await send(requestBytes('GET', '/health', HOST))).responses), [200]);
  });
});

describe('cookies in great number or size', () => {
  const headers: Readonly<Record<string, readonly [string, boolean]>> = {
    '100 cookies': [Array.from({ length: 100 }, (_, index) => `c${index}=v`).join('; '), true],
    '5,000 empty pairs': [';'.repeat(5_000), true],
    '15 KB': [`a=${'x'.repeat(15_000)}`, true],
    '17 KB, which is not looked at': [`a=${'x'.repeat(17_000)}`, false],
    '31 KB, which is not looked at': [`a=${'x'.repeat(31_000)}`, false],
  };
  for (const [name, [others, isRead]] of Object.entries(headers)) {
    test(`${name}: the session ${isRead ? 'is found behind them' : 'is not found, and nothing fails'}`, async () => {
      const browser = await signIn();
      const cookie: Header = ['cookie', `${others}; bff_session=${browser.cookies.get('bff_session')}`];
      const fresh = createBrowser(server);
      const session = await fresh.ask('/api/auth/session', { as: 'fetch', headers: [cookie] });
      assert.deepEqual([session.status, JSON.parse(session.body).authenticated], [200, isRead]);
      assert.equal((await fresh.verify({ as: 'fetch', headers: [cookie] })).status, isRead ? 200 : 401);
      assert.equal((await fresh.ask('/auth/login', { headers: [cookie] })).status, 302);
      assert.equal(
        (await fresh.ask('/auth/callback?code=c&state=s', { headers: [cookie] })).status,
        isRead ? 302 : 400,
      );
    });
  }

  test('more than 32 KiB of headers end with 431', async () => {
    const { responses } = await send(requestBytes('GET', '/health', [...HOST, ['cookie', 'x'.repeat(33_000)]]));
    assert.deepEqual(statuses(responses), [431]);
  });
});

describe('several requests in one write', () => {
  const get = (path: string): Buffer => requestBytes('GET', path, HOST);

  test('are answered in order, bodies left unread included', async () => {
    const unread = requestBytes('POST', '/auth/login', [...HOST, ['content-length', '3']], { body: 'abc' });
    const bytes = Buffer.concat([get('/health'), unread, get('/api/auth/session'), get('/nothing'), get('/health')]);
    assert.deepEqual(statuses((await send(bytes, { all: true })).responses), [200, 405, 200, 404, 200]);
  });

  test('behind an answer that is not ready yet, the connection ends and no request stays open', async () => {
    const browser = createBrowser(server);
    const { state, nonce } = await browser.beginLogin();
    const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const target = callbackTarget(provider, state, provider.codeFor({ nonce }));
    const slow = requestBytes('GET', target, [...HOST, ['cookie', cookie]]);
    const { responses } = await send(Buffer.concat([slow, get('/health')]), { all: true });
    assert.ok(responses.length < 2, 'never out of order');
  });
});

describe('a sign-in twice at the same moment', () => {
  test('one answer of the provider that arrives five times is redeemed once', async () => {
    const browser = createBrowser(server);
    const { state, nonce } = await browser.beginLogin();
    const before = provider.front.requests('/token').length;
    const target = callbackTarget(provider, state, provider.codeFor({ nonce }));
    const cookies = [...browser.cookies];
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => {
        const copy = createBrowser(server);
        for (const [name, value] of cookies) copy.cookies.set(name, value);
        return copy.ask(target);
      }),
    );
    assert.deepEqual(statuses(answers).sort(), [302, 400, 400, 400, 400]);
    for (const answer of answers) if (answer.status === 400) assert.equal(codeOfPage(answer), 'transaction_missing');
    assert.equal(provider.front.requests('/token').length, before + 1);
  });

  test('two tabs finish in either order, and one session is left', async () => {
    const browser = createBrowser(server);
    const first = await browser.beginLogin('return_to=/first');
    const second = await browser.beginLogin('return_to=/second');
    const finish = ({ state, nonce }: typeof first) =>
      browser.ask(callbackTarget(provider, state, provider.codeFor({ nonce })));
    const secondAnswer = await finish(second);
    const early = browser.cookies.get('bff_session') ?? '';
    const firstAnswer = await finish(first);
    assert.deepEqual(
      [secondAnswer, firstAnswer].map((answer) => headerOf(answer, 'location')),
      ['/second', '/first'],
    );
    assert.equal((await browser.verify({ as: 'fetch' })).status, 200);
    browser.cookies.set('bff_session', early);
    assert.equal((await browser.verify({ as: 'fetch' })).status, 401, 'the session that was replaced has ended');
  });

  test('the answer opened again while signed in goes to the target, without a token call', async () => {
    const browser = createBrowser(server);
    const { state, nonce } = await browser.beginLogin('return_to=/target');
    const cookies = [...browser.cookies];
    const target = callbackTarget(provider, state, provider.codeFor({ nonce }));
    await browser.ask(target);
    const calls = provider.front.requests('/token').length;
    for (const [name, value] of cookies) browser.cookies.set(name, value);
    const again = await browser.ask(target);
    assert.deepEqual([again.status, headerOf(again, 'location')], [302, '/target']);
    assert.equal(provider.front.requests('/token').length, calls);
    assert.equal((await browser.verify({ as: 'fetch' })).status, 200);
  });
});

describe('after a sign-out', () => {
  test('the old cookie, the old answer of the provider and the back button open nothing', async () => {
    const browser = createBrowser(server);
    const { state, nonce } = await browser.beginLogin();
    const during = [...browser.cookies];
    const target = callbackTarget(provider, state, provider.codeFor({ nonce }));
    await browser.ask(target);
    const signedIn = [...browser.cookies];
    const page = await browser.ask('/api/auth/session', { as: 'fetch' });
    assert.equal(headerOf(page, 'cache-control'), 'no-store', 'the back button shows nothing from the cache');
    assert.equal((await browser.ask('/auth/logout')).status, 200);
    for (const cookies of [during, signedIn, [...during, ...signedIn]]) {
      const thief = createBrowser(server);
      for (const [name, value] of cookies) thief.cookies.set(name, value);
      assert.equal((await thief.verify({ as: 'fetch' })).status, 401);
      const answer = await thief.ask(target);
      assert.deepEqual([answer.status, codeOfPage(answer)], [400, 'transaction_missing']);
      assert.equal((await thief.verify({ as: 'fetch' })).status, 401);
    }
  });

  test('a sign-in that began before "sign out everywhere" ends without a session, and its tokens are revoked', async () => {
    const late = createBrowser(server);
    const { state, nonce } = await late.beginLogin();
    const browser = await signIn();
    const elsewhere = await signIn();
    assert.equal((await browser.ask('/auth/logout?everywhere=true')).status, 200);
    assert.equal((await elsewhere.verify({ as: 'fetch' })).status, 401, 'every session of the user has ended');
    const patch = { access_token: 'at-of-the-late-one', refresh_token: 'rt-of-the-late-one' };
    const response = await late.ask(callbackTarget(provider, state, provider.codeFor({ nonce, patch })));
    const revoked = () => provider.front.requests('/revoke').map(({ body }) => new URLSearchParams(body).get('token'));
    await until(() => Object.values(patch).every((token) => revoked().includes(token)), 'both tokens are revoked');
    assert.deepEqual([response.status, codeOfPage(response)], [400, 'callback_invalid']);
    assert.match(response.body, /You were signed out while this sign-in was under way/);
    assert.equal(late.cookies.has('bff_session'), false);
    assert.equal((await late.signIn(provider)).status, 302, 'a new sign-in works');
  });
});
