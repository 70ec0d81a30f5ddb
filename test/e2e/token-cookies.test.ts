import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  codeOf,
  type ProxyWorld,
  startProxyWorld,
  startService,
  type TestAnswer,
  type TestService,
} from '../proxy/world.ts';
import { ask, CookieBox, readAccessToken, setCookies, signInWith } from '../support/compat.ts';
import { asTraefik } from '../support/gateway.ts';

const TOKEN_LIFE_S = 120;
const NAMES = ['access_token', 'refresh_token', 'bff_session'];

let service: TestService;
let world: ProxyWorld;

const routes = [
  { id: 'api', paths: ['/api/*'], target_service: 'api' },
  { id: 'open', paths: ['/open/*'], target_service: 'api', auth: 'none', cache_control: 'upstream' },
  { id: 'plain', paths: ['/plain/*'], target_service: 'plain', cache_control: 'upstream' },
];

function startWorld(settings: object, accessTokenTtlS = TOKEN_LIFE_S): Promise<ProxyWorld> {
  const services = { api: { urls: [service.url], token: { source: 'session' } }, plain: { urls: [service.url] } };
  return startProxyWorld({ services, routes, settings, accessTokenTtlS });
}

before(async () => {
  service = await startService((request, response) => {
    if (request.url?.endsWith('/tries')) {
      response.setHeader('set-cookie', [
        'access_token=evil',
        'refresh_token=evil; Path=/auth',
        '__Host-ACCESS.token=evil',
        'mine=1',
      ]);
    }
    response.setHeader('cache-control', 'max-age=60').end('ok');
  });
  world = await startWorld({
    token_cookies: { enabled: true, refresh_token: { enabled: true } },
    trusted_proxies: ['127.0.0.1/32'],
  });
});

after(async () => {
  await world.close();
  await service.close();
});

/** What the service got under one name. */
const received = (name: string): string[] =>
  (service.last().headers.cookie ?? '').split('; ').filter((pair) => pair.startsWith(`${name}=`));
const own = (): Record<string, string> => ({ origin: world.origin, 'x-csrf': '1' });
const forwarded = (uri: string): Record<string, string> => asTraefik(world.origin, uri);
const named = (answer: TestAnswer): string[] => setCookies(answer).map((line) => line.slice(0, line.indexOf('=')));
const refresh = (box: CookieBox) => ask(world.port, box, '/auth/refresh', { method: 'POST', headers: own() });
const bodyOf = ({ body }: TestAnswer) => JSON.parse(body.toString('utf8')) as Record<string, unknown>;

async function signedIn(): Promise<{ box: CookieBox; issuer: string }> {
  const box = new CookieBox();
  const { issuer } = await signInWith(world.port, box, 'alice');
  return { box, issuer };
}

describe('tokens in cookies', () => {
  test('a back end that checks the JWT of the Cookie header itself is satisfied, behind the proxy and beside it', async () => {
    const box = new CookieBox();
    const { answer, issuer } = await signInWith(world.port, box, 'alice');
    const lines = setCookies(answer).filter((line) => /^(?:access|refresh)_token=./.test(line));
    assert.deepEqual(
      lines.map((line) => line.replace(/=[^;]+/, '=…')),
      ['access_token=…; Path=/; HttpOnly; SameSite=Lax', 'refresh_token=…; Path=/auth; HttpOnly; SameSite=Lax'],
    );
    assert.equal((await readAccessToken(box.get('access_token') ?? '', issuer)).sub !== undefined, true);
    assert.equal((await ask(world.port, box, '/api/x')).status, 200);
    assert.deepEqual(received('access_token'), [`access_token=${box.get('access_token')}`]);
  });

  test('the service gets the token of the session, not what the browser says it is, and no other of these cookies', async () => {
    const { box } = await signedIn();
    const token = box.get('access_token');
    const forged = `access_token=forged; ACCESS_TOKEN=forged; ${box.header('/auth')}; theme=dark; __Host-access_token=x`;
    const headers = { cookie: forged.replace(`; access_token=${token}`, '') };
    const answer = await ask(world.port, new CookieBox(), '/api/x', { headers });
    assert.equal(answer.status, 200);
    assert.equal(service.last().headers.cookie, `theme=dark; access_token=${token}`);
    assert.deepEqual(named(answer), ['access_token', 'refresh_token'], 'the browser is put right');
    await ask(world.port, box, '/plain/x');
    assert.equal(service.last().headers.cookie, undefined, 'a service without a token');
    await ask(world.port, box, '/open/x');
    assert.equal(service.last().headers.cookie, undefined, 'a route without a session');
  });

  test('no service can set them', async () => {
    const { box } = await signedIn();
    const answer = await ask(world.port, box, '/api/tries');
    assert.deepEqual(setCookies(answer), ['mine=1']);
  });

  test('a renewed token goes out once with a proxied answer, which nobody may keep; never with verify', async () => {
    const { box, issuer } = await signedIn();
    const before = box.get('access_token') ?? '';
    const quiet = await ask(world.port, box, '/plain/x');
    assert.deepEqual([setCookies(quiet), quiet.headers['cache-control']], [[], 'max-age=60']);
    world.advanceMs(TOKEN_LIFE_S * 1000);
    const verified = await ask(world.port, box, '/auth/verify', { headers: forwarded('/plain/x') });
    assert.deepEqual([verified.status, setCookies(verified)], [200, []]);
    assert.notEqual(verified.headers.authorization, `Bearer ${before}`);
    const answer = await ask(world.port, box, '/plain/x');
    assert.deepEqual([named(answer), answer.headers['cache-control']], [['access_token', 'refresh_token'], 'no-store']);
    const after = box.get('access_token') ?? '';
    assert.notEqual(after, before);
    await readAccessToken(after, issuer);
    assert.deepEqual(setCookies(await ask(world.port, box, '/plain/x')), []);
  });

  test('/auth/refresh and the session check send both; a session check of nobody sends none', async () => {
    const { box } = await signedIn();
    for (const answer of [await refresh(box), await ask(world.port, box, '/api/auth/session')]) {
      assert.equal(answer.status, 200);
      assert.deepEqual(named(answer), ['access_token', 'refresh_token']);
      assert.equal(answer.body.includes(box.get('access_token') ?? 'x'), false, 'the answer holds no token');
    }
    assert.deepEqual(setCookies(await ask(world.port, new CookieBox(), '/api/auth/session')), []);
  });

  test('the refresh cookie alone makes a new session, once', async () => {
    const { box } = await signedIn();
    const before = bodyOf(await ask(world.port, box, '/api/auth/session'));
    const session = box.get('bff_session');
    box.delete('bff_session');
    box.delete('access_token');
    const stolen = box.copy();
    assert.equal((await ask(world.port, box, '/api/x')).status, 401);
    const answer = await refresh(box);
    assert.deepEqual([answer.status, bodyOf(answer)['refreshed']], [200, true]);
    assert.deepEqual(named(answer).sort(), [...NAMES].sort());
    assert.notEqual(box.get('bff_session'), session);
    const after = bodyOf(await ask(world.port, box, '/api/auth/session'));
    assert.deepEqual(after['user'], before['user']);
    assert.ok(Number(after['absolute_expires_in']) <= Number(before['absolute_expires_in']), 'the limit stays');
    assert.equal((await ask(world.port, box, '/api/x')).status, 200);
    const again = await refresh(stolen);
    assert.deepEqual([again.status, codeOf(again)], [401, 'authentication_required']);
    assert.equal((await ask(world.port, box, '/api/x')).status, 200, 'the other one goes on');
  });

  test('a refresh cookie is worth nothing without the CSRF proof, on another site, damaged, or past the limits', async () => {
    const { box } = await signedIn();
    box.delete('bff_session');
    const bare = await ask(world.port, box.copy(), '/auth/refresh', {
      method: 'POST',
      headers: { origin: world.origin },
    });
    assert.deepEqual([bare.status, codeOf(bare)], [403, 'csrf_failed']);
    const value = box.get('refresh_token') ?? '';
    const host = `localhost:${world.port}`;
    const other = { host, origin: `http://${host}`, 'x-csrf': '1', cookie: `refresh_token=${value}` };
    const elsewhere = await ask(world.port, new CookieBox(), '/auth/refresh', { method: 'POST', headers: other });
    assert.equal(elsewhere.status, 401);
    for (const damaged of [`${value.slice(0, -4)}AAAA`, value.slice(0, 40), 'x', `${value}; refresh_token=y`]) {
      const headers = { ...own(), cookie: `refresh_token=${damaged}` };
      assert.equal((await ask(world.port, new CookieBox(), '/auth/refresh', { method: 'POST', headers })).status, 401);
    }
    world.advanceMs(31 * 60_000);
    assert.equal((await refresh(box)).status, 401, 'the idle limit');
  });

  test('a sign-out removes every variant, and nothing revives the session', async () => {
    const { box } = await signedIn();
    const kept = box.copy();
    kept.delete('bff_session');
    const answer = await ask(world.port, box, '/auth/logout', { method: 'POST', headers: own() });
    assert.equal(answer.status, 200);
    const removed = setCookies(answer).filter((line) => line.includes('Max-Age=0'));
    for (const name of NAMES)
      assert.ok(
        removed.some((line) => line.startsWith(`${name}=;`)),
        name,
      );
    assert.ok(removed.some((line) => /^refresh_token=;.*Path=\/auth;/.test(line)));
    assert.equal((await refresh(kept)).status, 401);
  });

  test('off, they do not exist, and an application may use their names', async () => {
    const off = await startWorld({});
    try {
      const box = new CookieBox();
      const { answer } = await signInWith(off.port, box, 'alice');
      assert.deepEqual(
        named(answer).filter((name) => name.endsWith('_token')),
        [],
      );
      const cookie = `${box.header('/api/x')}; access_token=of-the-app`;
      await ask(off.port, new CookieBox(), '/api/x', { headers: { cookie } });
      assert.equal(service.last().headers.cookie, 'access_token=of-the-app');
      const headers = { origin: off.origin, 'x-csrf': '1', cookie: 'refresh_token=x' };
      const refused = await ask(off.port, new CookieBox(), '/auth/refresh', { method: 'POST', headers });
      assert.deepEqual([refused.status, setCookies(refused)], [401, []]);
    } finally {
      await off.close();
    }
  });
});
