import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import autocannon from 'autocannon';
import { startChildServer } from '../support/child-server.ts';
import { answerJson, startMisbehavingService } from '../support/misbehaving-service.ts';
import { createBrowser } from '../support/raw-client.ts';
import { startScriptedProvider } from '../support/scripted-provider.ts';

const REQUESTS = 50_000;
const WARM_UP = 10_000;
const CONNECTIONS = 64;
/** A leak of 100 bytes a request would be 5 MB. */
const HEAP_GROWTH_MAX_BYTES = 3_000_000;

type Headers = Readonly<Record<string, string>>;
/** Name, status that it must get, method, path, headers, and what the body must contain. */
type Outcome = readonly [name: string, status: number, method: string, path: string, headers: Headers, body?: RegExp];

const OWN: Headers = { 'x-forwarded-host': 'app.example.test' };
const NAVIGATION: Headers = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

/** Everything that the server answers often, good and bad, for a browser that is signed in as `session`. */
function outcomes(session: string): readonly Outcome[] {
  const cookie = `bff_session=${session}`;
  const signedIn: Headers = { ...OWN, cookie };
  const asked: Headers = {
    ...OWN,
    'x-forwarded-method': 'GET',
    'x-forwarded-proto': 'https',
    'x-forwarded-uri': '/dashboard',
  };
  const foreign: Headers = { ...asked, origin: 'https://evil.example.test', 'x-forwarded-method': 'POST', cookie };
  return [
    ['verify allows', 200, 'GET', '/auth/verify', { ...asked, cookie }],
    ['verify allows', 200, 'GET', '/auth/verify?roles=editor', { ...asked, cookie }],
    ['verify without a session', 401, 'GET', '/auth/verify', asked, /"authentication_required"/],
    [
      'verify with an unknown session',
      401,
      'GET',
      '/auth/verify',
      { ...asked, cookie: `bff_session=${'A'.repeat(43)}` },
    ],
    ['verify with a malformed cookie', 401, 'GET', '/auth/verify', { ...asked, cookie: 'bff_session=%00;;=;,"x' }],
    ['verify with two cookies', 401, 'GET', '/auth/verify', { ...asked, cookie: `${cookie}; bff_session=x` }],
    ['verify of a navigation', 302, 'GET', '/auth/verify', { ...asked, ...NAVIGATION }],
    ['verify of a missing role', 403, 'GET', '/auth/verify?roles=admin', { ...asked, cookie }, /"access_denied"/],
    ['verify of a foreign origin', 403, 'GET', '/auth/verify', foreign, /"csrf_failed"/],
    ['verify without its headers', 400, 'GET', '/auth/verify', OWN, /"forwarded_headers_invalid"/],
    ['verify with an unknown option', 400, 'GET', '/auth/verify?colour=red', asked, /"bad_request"/],
    ['verify of an unknown host', 421, 'GET', '/auth/verify', { ...asked, 'x-forwarded-host': 'other.example.test' }],
    ['who is signed in', 200, 'GET', '/api/auth/session', signedIn, /"authenticated":true/],
    ['nobody is signed in', 200, 'GET', '/api/auth/session', OWN, /"authenticated":false/],
    ['a sign-in begins', 302, 'GET', '/auth/login?return_to=/a', { ...OWN, ...NAVIGATION }],
    [
      'a sign-in to elsewhere',
      400,
      'GET',
      '/auth/login?return_to=//evil.example.test',
      { ...OWN, ...NAVIGATION },
      /<h1>/,
    ],
    ['a callback out of nowhere', 400, 'GET', '/auth/callback?code=c&state=s', { ...OWN, ...NAVIGATION }, /<h1>/],
    ['a sign-out from elsewhere', 403, 'POST', '/auth/logout', { ...signedIn, origin: 'https://evil.example.test' }],
    ['an unknown host', 421, 'GET', '/auth/login', { 'x-forwarded-host': 'other.example.test' }],
    ['an unknown address', 404, 'GET', '/auth/nothing', OWN],
    ['an ambiguous address', 400, 'GET', '/api/%2e%2e/x', OWN],
    ['another method', 405, 'DELETE', '/auth/login', OWN],
    ['a proxied call', 200, 'GET', '/api/any', signedIn, /"ok":true/],
    ['a proxied call without a session', 401, 'GET', '/api/any', OWN],
  ];
}

describe('50,000 requests with mixed outcomes', () => {
  test('all get their answer; heap and sockets do not grow; nothing is logged as an error', async () => {
    const provider = await startScriptedProvider();
    const service = await startMisbehavingService(answerJson({ ok: true }));
    const routes = {
      version: 1,
      services: { any: { urls: [service.url], token: { source: 'session' } } },
      routes: [{ id: 'any', paths: ['/api/any'], target_service: 'any' }],
    };
    const server = await startChildServer(provider.idps(), {}, routes);
    try {
      const browser = createBrowser(server);
      assert.equal((await browser.signIn(provider)).status, 302);
      const load = createLoad(outcomes(browser.cookies.get('bff_session') ?? ''));
      await load.run(server.url, WARM_UP);
      const before = await server.measure();
      await load.run(server.url, REQUESTS);
      const after = await server.measure();
      assert.deepEqual(load.wrong(), [], 'every outcome as expected');
      assert.ok(load.leastOften() > (WARM_UP + REQUESTS) / load.kinds / 2, 'every outcome was asked for');
      assert.deepEqual([...before.problems, ...after.problems], []);
      const growth = after.heapUsedBytes - before.heapUsedBytes;
      assert.ok(growth < HEAP_GROWTH_MAX_BYTES, `the heap grew by ${growth} bytes`);
      // Those to the service grow with what happens to be under way at once, to one for each client at most.
      assert.ok(after.sockets <= before.sockets + CONNECTIONS, `sockets: ${before.sockets}, then ${after.sockets}`);
      assert.equal(await server.metric('sallyport_requests_in_flight'), 1, 'only the one that asks');
    } finally {
      await server.close();
      await service.close();
      await provider.close();
    }
  });
});

/** Sends the outcomes in turn and counts what came back. */
function createLoad(all: readonly Outcome[]) {
  const counts = new Map<string, number>();
  const wrong = new Set<string>();
  const requests = all.map(([name, expected, method, path, headers, pattern]): autocannon.LoadRequest => {
    return {
      method,
      path,
      headers,
      onResponse(status, body) {
        counts.set(name, (counts.get(name) ?? 0) + 1);
        if (status !== expected || pattern?.test(body) === false) wrong.add(`${name}: ${status} ${body.slice(0, 200)}`);
      },
    };
  });
  return {
    kinds: all.length,
    wrong: () => [...wrong],
    leastOften: () => Math.min(...new Set(all.map(([name]) => counts.get(name) ?? 0))),
    async run(url: string, amount: number): Promise<void> {
      const {
        errors,
        timeouts,
        resets,
        mismatches,
        requests: sent,
      } = await autocannon({
        url,
        connections: CONNECTIONS,
        amount,
        timeout: 10,
        requests,
      });
      assert.deepEqual({ errors, timeouts, resets, mismatches }, { errors: 0, timeouts: 0, resets: 0, mismatches: 0 });
      assert.equal(sent.total, amount);
    },
  };
}
