import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { goodHandshake } from '../proxy/websocket-world.ts';
import { call, type ProxyWorld, startProxyWorld, startService, type TestService } from '../proxy/world.ts';
import { ask, CookieBox, signInWith } from '../support/compat.ts';
import { asTraefik } from '../support/gateway.ts';

type Headers = Record<string, string>;

const pem = (name: string): string => readFileSync(join(import.meta.dirname, '../fixtures/tls', name), 'utf8');
const OWN_PEM = pem('cert.pem');
const base64 = (text: string): string => new X509Certificate(text).raw.toString('base64');
const OWN = base64(OWN_PEM);
const OTHER = base64(pem('other-cert.pem'));
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const CHROME = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36';

let service: TestService;

before(async () => {
  service = await startService((_request, response) => response.end('ok'));
});

after(() => service.close());

async function withWorld(binding: object, run: (world: ProxyWorld) => Promise<void>, more: object = {}): Promise<void> {
  const world = await startProxyWorld({
    services: { api: { urls: [service.url], token: { source: 'session' } } },
    routes: [
      { id: 'api', paths: ['/api/*'], target_service: 'api' },
      { id: 'socket', paths: ['/socket'], target_service: 'api', websocket: {} },
    ],
    settings: { session: { binding }, trusted_proxies: ['127.0.0.1/32'], ...more },
  });
  try {
    await run(world);
  } finally {
    await world.close();
  }
}

/** Sign in as one browser, come back as another; `kept` tells whether the session counts, and is still there. */
async function comeBack(world: ProxyWorld, first: Headers, second: Headers): Promise<string> {
  const box = new CookieBox();
  await signInWith(world.port, box, 'alice', first);
  const statuses = [];
  for (const headers of [first, second, first]) {
    statuses.push((await ask(world.port, box, '/api/x', { headers })).status);
  }
  return statuses.join(' ');
}

const KEPT = '200 200 200';
const ENDED = '200 401 401';
const from = (address: string): Headers => ({ 'x-forwarded-for': address });

describe('a session that is tied to', () => {
  test('an address prefix counts within it, and ends elsewhere', () =>
    withWorld({ ip: { v4: 24, v6: 56 } }, async (world) => {
      const cases: readonly (readonly [string, string, string])[] = [
        ['192.0.2.7', '192.0.2.200', KEPT],
        ['192.0.2.7', '192.0.3.7', ENDED],
        ['192.0.2.7', '::ffff:192.0.2.9', KEPT],
        ['2001:db8:1:1::1', '2001:db8:1:ff::9', KEPT],
        ['2001:db8:1:1::1', '2001:db8:1:100::1', ENDED],
        ['192.0.2.7', '2001:db8::1', ENDED],
        // Somebody behind the same gateway cannot say where they are.
        ['192.0.2.7', '192.0.2.7, 203.0.113.5', ENDED],
      ];
      for (const [first, second, outcome] of cases) {
        assert.equal(await comeBack(world, from(first), from(second)), outcome, `${first} then ${second}`);
      }
      const ended = world.log.filter(({ event }) => event === 'session_binding_mismatch');
      assert.equal(ended.length, 4);
      assert.deepEqual([ended[0]?.['reason'], ended[0]?.['client_ip']], ['binding_address', '192.0.3.7']);
    }));

  test('a browser family outlives updates, and ends in another browser', () =>
    withWorld({ user_agent: 'family' }, async (world) => {
      const as = (agent: string): Headers => (agent === '' ? {} : { 'user-agent': agent });
      const newer = CHROME.replace('150', '151');
      assert.equal(await comeBack(world, as(CHROME), as(newer)), KEPT);
      assert.equal(await comeBack(world, as(CHROME), as(FIREFOX)), ENDED);
      assert.equal(await comeBack(world, as(CHROME), as(`${CHROME} Edg/150.0`)), ENDED);
      assert.equal(await comeBack(world, as(CHROME), as('curl/8.5.0')), ENDED);
      assert.equal(await comeBack(world, as(CHROME), as('')), ENDED);
    }));

  test('a client certificate knows it in each form that gateways send, and ends with another or none', () =>
    withWorld({ client_certificate: 'thumbprint' }, async (world) => {
      const traefik = { 'x-forwarded-tls-client-cert': encodeURIComponent(OWN) };
      const forms: Headers[] = [
        { 'x-forwarded-tls-client-cert': `${encodeURIComponent(OWN)},${encodeURIComponent(OTHER)}` },
        { 'x-forwarded-tls-client-cert': OWN },
        { 'x-forwarded-tls-client-cert': encodeURIComponent(OWN_PEM) },
        { 'client-cert': `:${OWN}:` },
        { ...traefik, 'client-cert': `:${OWN}:` },
      ];
      for (const form of forms)
        assert.equal(await comeBack(world, traefik, form), KEPT, JSON.stringify(form).slice(0, 60));
      const others: Headers[] = [
        {},
        { 'x-forwarded-tls-client-cert': '' },
        { 'x-forwarded-tls-client-cert': encodeURIComponent(OTHER) },
        { 'x-forwarded-tls-client-cert': `${encodeURIComponent(OTHER)},${encodeURIComponent(OWN)}` },
        { 'x-forwarded-tls-client-cert': 'not%20a%20certificate' },
        { 'x-forwarded-tls-client-cert': '%zz' },
        { ...traefik, 'client-cert': `:${OTHER}:` },
      ];
      for (const other of others)
        assert.equal(await comeBack(world, traefik, other), ENDED, JSON.stringify(other).slice(0, 60));
      assert.equal(await comeBack(world, {}, {}), KEPT, 'who has none signs in without');
      assert.equal(await comeBack(world, {}, traefik), ENDED);
      const thumbprint = createHash('sha256').update(Buffer.from(OWN, 'base64')).digest('base64url');
      assert.ok(!JSON.stringify(world.log).includes(thumbprint), 'the log does not hold it');
    }));

  test('a certificate does not listen to whoever is no gateway', () =>
    withWorld(
      { client_certificate: 'thumbprint' },
      async (world) => {
        const claimed = { 'x-forwarded-tls-client-cert': encodeURIComponent(OWN) };
        assert.equal(await comeBack(world, {}, claimed), KEPT, 'the header says nothing');
      },
      { trusted_proxies: ['10.9.8.7/32'] },
    ));
});

test('every address that knows sessions ends one that comes from elsewhere', () =>
  withWorld({ ip: { v4: 32, v6: 128 } }, async (world) => {
    const own = { origin: world.origin, 'x-csrf': '1' };
    const verify = asTraefik(world.origin, '/page');
    const asks: Record<string, (box: CookieBox, headers: Headers) => Promise<{ status: number; body: Buffer }>> = {
      verify: (box, headers) => ask(world.port, box, '/auth/verify', { headers: { ...verify, ...headers } }),
      proxy: (box, headers) => ask(world.port, box, '/api/x', { headers }),
      session: (box, headers) => ask(world.port, box, '/api/auth/session', { headers }),
      refresh: (box, headers) =>
        ask(world.port, box, '/auth/refresh', { method: 'POST', headers: { ...own, ...headers } }),
      sessions: (box, headers) => ask(world.port, box, '/auth/sessions', { headers }),
      logout: (box, headers) =>
        ask(world.port, box.copy(), '/auth/logout', { method: 'POST', headers: { ...own, ...headers } }),
      handshake: (box, headers) =>
        call({
          port: world.port,
          path: '/socket',
          headers: { ...goodHandshake(world.origin, box.header('/')), ...headers },
        }),
    };
    for (const [name, from2] of Object.entries(asks)) {
      const box = new CookieBox();
      await signInWith(world.port, box, 'alice', from('192.0.2.1'));
      assert.equal((await ask(world.port, box, '/api/x', { headers: from('192.0.2.1') })).status, 200);
      const { status, body } = await from2(box, from('192.0.2.2'));
      if (name === 'session') assert.equal(JSON.parse(body.toString()).authenticated, false);
      else if (name !== 'logout')
        assert.deepEqual([name, status, JSON.parse(body.toString()).code], [name, 401, 'authentication_required']);
      assert.equal((await ask(world.port, box, '/api/x', { headers: from('192.0.2.1') })).status, 401, name);
    }
    const reasons = world.log.filter(({ event }) => event === 'session_binding_mismatch');
    assert.equal(reasons.length, Object.keys(asks).length);
  }));
