import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { call, codeOf, type ProxyWorld, startProxyWorld, type TestAnswer, type TestService } from '../proxy/world.ts';
import { ask, CookieBox, readAccessToken, setCookies, startCheckingService } from '../support/compat.ts';
import { passwordGrant } from '../support/password-grant.ts';

const WRONG = 'a-password-nobody-may-see';

let service: TestService;
let world: ProxyWorld;

const routes = [{ id: 'api', paths: ['/api/*'], target_service: 'api' }];
const generous = { average: 600, period: '1m', burst: 600 };

function startWorld(settings: object, options: { idToken?: boolean } = {}): Promise<ProxyWorld> {
  const services = { api: { urls: [service.url], token: { source: 'session' } } };
  return startProxyWorld({ services, routes, settings, provider: passwordGrant(options) });
}

before(async () => {
  service = await startCheckingService(() => world.issuer);
  world = await startWorld({
    direct_access_grant: { enabled: true, return_token: false, rate_limit: generous },
    trusted_proxies: ['127.0.0.1/32'],
  });
});

after(async () => {
  await world.close();
  await service.close();
});

const json = (body: unknown): string => (typeof body === 'string' ? body : JSON.stringify(body));
const post = (box: CookieBox, body: unknown, headers: Record<string, string> = {}, port = world.port) => {
  const all = { 'content-type': 'application/json', ...headers };
  return ask(port, box, '/auth/login', { method: 'POST', headers: all, body: json(body) });
};
const bodyOf = ({ body }: TestAnswer) => JSON.parse(body.toString('utf8')) as Record<string, unknown>;

describe('sign-in with user name and password', () => {
  test('gives a session, and no token; the back end checks the token itself', async () => {
    const box = new CookieBox();
    const answer = await post(box, { username: 'alice', password: 'alice' });
    assert.equal(answer.status, 200, answer.body.toString());
    const { authenticated, user, ...rest } = bodyOf(answer);
    assert.deepEqual([authenticated, rest], [true, {}]);
    assert.equal((user as { preferred_username: string }).preferred_username, 'alice');
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.deepEqual(
      setCookies(answer).map((line) => line.slice(0, line.indexOf('='))),
      ['bff_session'],
    );
    const served = await ask(world.port, box, '/api/x');
    assert.deepEqual([served.status, served.body.toString()], [200, 'u-1001']);
  });

  test('takes an e-mail address, from our own origin too, and ends the session before', async () => {
    const box = new CookieBox();
    await post(box, { username: 'alice', password: 'alice' });
    const old = box.copy();
    const answer = await post(box, { email: 'bob@demo.example', password: 'bob' }, { origin: world.origin });
    assert.equal(answer.status, 200);
    assert.equal((await ask(world.port, box, '/api/x')).body.toString(), 'u-1002');
    assert.equal((await ask(world.port, old, '/api/x')).status, 401);
  });

  test('never says which half was wrong', async () => {
    const answers = [
      await post(new CookieBox(), { username: 'alice', password: WRONG }),
      await post(new CookieBox(), { username: 'nobody', password: WRONG }),
    ];
    const told = answers.map((answer) => {
      const { request_id: _id, ...rest } = bodyOf(answer);
      return { status: answer.status, cookies: setCookies(answer), rest };
    });
    assert.deepEqual(told[0], told[1]);
    assert.deepEqual([told[0]?.status, told[0]?.rest['code']], [401, 'authentication_required']);
  });

  test('refuses foreign pages, forms, and bodies that are not exactly what it takes', async () => {
    const good = { username: 'alice', password: 'alice' };
    const foreign = await post(new CookieBox(), good, { origin: 'https://evil.test' });
    assert.deepEqual([foreign.status, codeOf(foreign)], [403, 'csrf_failed']);
    const crossSite = await post(new CookieBox(), good, { 'sec-fetch-site': 'cross-site' });
    assert.equal(crossSite.status, 403);
    const bodies: unknown[] = [
      '',
      'x',
      '[]',
      'null',
      '{}',
      { username: 'alice' },
      { password: 'alice' },
      { username: 'alice', email: 'alice', password: 'alice' },
      { username: ['alice'], password: 'alice' },
      { username: 'alice', password: { $ne: '' } },
      { username: '', password: 'alice' },
      { username: 'alice', password: '' },
      { username: 'alice\0', password: 'alice' },
      { username: 'a'.repeat(400), password: 'alice' },
      { username: 'alice', password: 'a'.repeat(2_000) },
    ];
    for (const body of bodies) {
      const answer = await post(new CookieBox(), body);
      assert.deepEqual([answer.status, codeOf(answer)], [400, 'bad_request'], json(body).slice(0, 60));
    }
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'text/json', 'application/json-seq', '']) {
      assert.equal((await post(new CookieBox(), good, { 'content-type': type })).status, 400, type);
    }
    const query = await call({ port: world.port, path: '/auth/login?username=alice&password=alice', method: 'POST' });
    assert.equal(query.status, 400);
  });

  test('without an ID token the user is whom UserInfo names', async () => {
    const plain = await startWorld({ direct_access_grant: { enabled: true } }, { idToken: false });
    try {
      const answer = await post(new CookieBox(), { username: 'bob', password: 'bob' }, {}, plain.port);
      assert.equal(answer.status, 200, answer.body.toString());
      assert.equal((bodyOf(answer)['user'] as { preferred_username: string }).preferred_username, 'bob');
    } finally {
      await plain.close();
    }
  });

  test('attempts are counted for each user name in every spelling, and for each address', async () => {
    const limited = await startWorld({
      direct_access_grant: { enabled: true, rate_limit: { average: 3, period: '1m', burst: 3 } },
      trusted_proxies: ['127.0.0.1/32'],
    });
    try {
      const attempt = async (username: string, address: string, password = WRONG): Promise<TestAnswer> =>
        post(new CookieBox(), { username, password }, { 'x-forwarded-for': address }, limited.port);
      const spellings = ['alice', ' ALICE ', 'Ａlice'];
      for (const [index, name] of spellings.entries()) {
        assert.equal((await attempt(name, `192.0.2.${index}`)).status, 401);
      }
      const locked = await attempt('alice', '192.0.2.9', 'alice');
      assert.deepEqual([locked.status, codeOf(locked)], [429, 'rate_limited']);
      assert.match(String(locked.headers['retry-after']), /^[1-9]\d?$/);
      assert.equal((await attempt('bob', '192.0.2.9', 'bob')).status, 200, 'others go on');
      for (const name of ['x', 'y', 'z']) await attempt(name, '198.51.100.1');
      assert.equal((await attempt('bob', '198.51.100.1', 'bob')).status, 429, 'one address');
    } finally {
      await limited.close();
    }
  });

  test('a failure is audited, and no password is written anywhere', async () => {
    await post(new CookieBox(), { username: 'alice', password: WRONG });
    const failed = world.log.filter(({ event }) => event === 'login_failed');
    assert.match(String(failed.at(-1)?.['reason']), /^direct_grant: /);
    assert.ok(!JSON.stringify(world.log).includes(WRONG));
  });

  test('with return_token the answer holds the token and its life', async () => {
    const machines = await startWorld({ direct_access_grant: { enabled: true, return_token: true } });
    try {
      const answer = await post(new CookieBox(), { username: 'alice', password: 'alice' }, {}, machines.port);
      const { access_token, expires_in } = bodyOf(answer);
      assert.equal((await readAccessToken(String(access_token), machines.issuer)).sub, 'u-1001');
      assert.ok(Number(expires_in) > 100 && Number(expires_in) <= 120);
    } finally {
      await machines.close();
    }
  });

  test('a provider that does not know the grant, or is away, is no wrong password; login.allow holds', async () => {
    const services = { api: { urls: [service.url] } };
    const on = { direct_access_grant: { enabled: true } };
    const without = await startProxyWorld({ services, routes, settings: on });
    try {
      const answer = await post(new CookieBox(), { username: 'alice', password: 'alice' }, {}, without.port);
      assert.deepEqual([answer.status, codeOf(answer)], [502, 'idp_bad_response']);
    } finally {
      await without.close();
    }
    const picky = await startWorld({ ...on, login: { allow: { roles: ['admin'] } } });
    try {
      const refused = await post(new CookieBox(), { username: 'alice', password: 'alice' }, {}, picky.port);
      assert.deepEqual([refused.status, codeOf(refused), setCookies(refused)], [403, 'login_denied', []]);
    } finally {
      await picky.close();
    }
  });

  test('off, there is no such method', async () => {
    const off = await startWorld({});
    try {
      const answer = await post(new CookieBox(), { username: 'alice', password: 'alice' }, {}, off.port);
      assert.deepEqual([answer.status, answer.headers.allow, setCookies(answer)], [405, 'GET', []]);
    } finally {
      await off.close();
    }
  });
});
