import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { call, codeOf, type ProxyWorld, startProxyWorld, type TestAnswer, type TestService } from '../proxy/world.ts';
import { ask, CookieBox, setCookies, startCheckingService } from '../support/compat.ts';
import { findFreePorts } from '../support/ports.ts';
import { createCookieJar, createPkce, signInAtProvider } from '../support/provider.ts';

const routes = [{ id: 'api', paths: ['/api/*'], target_service: 'api' }];

let service: TestService;
let world: ProxyWorld;
let redirectUri: string;

const startWorld = (settings: object): Promise<ProxyWorld> =>
  startProxyWorld({
    services: { api: { urls: [service.url], token: { source: 'session' } } },
    routes,
    settings,
    provider: {
      configure: (configuration) => ({
        ...configuration,
        clients: (configuration['clients'] as { redirect_uris: string[] }[]).map((client) => ({
          ...client,
          redirect_uris: [...client.redirect_uris, redirectUri],
        })),
      }),
    },
  });

before(async () => {
  redirectUri = `http://127.0.0.1:${await findFreePorts(1)}/spa/callback`;
  service = await startCheckingService(() => world.issuer);
  world = await startWorld({ spa_callback: { enabled: true, allowed_redirect_uris: [redirectUri] } });
});

after(async () => {
  await world.close();
  await service.close();
});

type Body = Record<string, unknown>;

/** What a script does before: its own authorization request, and the user's way through the provider. */
async function receiveCode({ issuer, client } = world): Promise<Body> {
  const { verifier, challenge } = createPkce();
  const [state, nonce] = [randomBytes(16).toString('base64url'), randomBytes(16).toString('base64url')];
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: redirectUri,
    scope: 'openid profile email api.read',
    state,
    nonce,
    code_challenge: challenge,
    code_challenge_method: 'S256',
  });
  const answer = await signInAtProvider(createCookieJar(), `${issuer}/auth?${query}`, 'alice', 'alice');
  assert.equal(answer.searchParams.get('state'), state);
  return { code: answer.searchParams.get('code'), state, code_verifier: verifier, redirect_uri: redirectUri, nonce };
}

function post(body: unknown, headers: Record<string, string> = {}, { port, origin } = world, box = new CookieBox()) {
  const all = { origin, 'content-type': 'application/json', ...headers };
  return ask(port, box, '/auth/callback', { method: 'POST', headers: all, body: JSON.stringify(body) });
}

const outcome = (answer: TestAnswer): string => `${answer.status} ${codeOf(answer)} ${setCookies(answer).length}`;
const without = (body: Body, name: string): Body =>
  Object.fromEntries(Object.entries(body).filter(([key]) => key !== name));

describe('a code that a script received', () => {
  test('becomes a session, and no token; the back end checks the token itself', async () => {
    const { nonce: _nonce, ...body } = await receiveCode();
    const box = new CookieBox();
    const answer = await post(body, {}, world, box);
    assert.equal(answer.status, 200, answer.body.toString());
    const told = JSON.parse(answer.body.toString()) as Body;
    assert.deepEqual(Object.keys(told), ['authenticated', 'user']);
    assert.deepEqual(
      setCookies(answer).map((line) => line.slice(0, line.indexOf('='))),
      ['bff_session'],
    );
    assert.equal((await ask(world.port, box, '/api/x')).body.toString(), 'u-1001');
  });

  test('a listed foreign origin may do it too, and read the answer', async () => {
    const body = await receiveCode();
    const answer = await post(body, { origin: 'https://listed.example.test', 'sec-fetch-site': 'cross-site' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['access-control-allow-origin'], 'https://listed.example.test');
  });

  test('counts once, whoever sends it again', async () => {
    const body = await receiveCode();
    const answers = await Promise.all([post(body), post(body), post({ ...body, state: 'another' })]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 400, 400]);
    assert.equal(outcome(await post(body)), '400 callback_invalid 0');
    const other = await receiveCode();
    assert.equal(outcome(await post({ ...other, state: body['state'] })), '400 callback_invalid 0');
  });

  test('is refused from elsewhere, in another form, or with anything that does not fit', async () => {
    const body = await receiveCode();
    for (const origin of ['', 'null', 'https://evil.test', `${world.origin}.evil.test`]) {
      const answer = await call({
        port: world.port,
        path: '/auth/callback',
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(origin === '' ? {} : { origin }) },
        body: JSON.stringify(body),
      });
      assert.equal(outcome(answer), '403 origin_not_allowed 0', origin);
    }
    assert.equal(outcome(await post(body, { 'content-type': 'text/plain' })), '400 bad_request 0');
    for (const name of ['code', 'state', 'code_verifier', 'redirect_uri']) {
      assert.equal(outcome(await post(without(body, name))), '400 bad_request 0', name);
      assert.equal(outcome(await post({ ...body, [name]: ['x'] })), '400 bad_request 0', name);
    }
    assert.equal(outcome(await post({ ...body, code_verifier: 'short' })), '400 bad_request 0');
    for (const redirect_uri of [
      `${redirectUri}/`,
      `${redirectUri}?x=1`,
      redirectUri.toUpperCase(),
      'https://evil.test/cb',
    ]) {
      assert.equal(outcome(await post({ ...body, redirect_uri })), '400 callback_invalid 0', redirect_uri);
    }
    assert.equal(outcome(await post({ ...body, iss: 'https://other.test' })), '400 callback_invalid 0');
    const answer = await post({ ...body, iss: world.issuer });
    assert.equal(answer.status, 200, 'nothing of that used the code up');
  });

  test('is worth nothing with another verifier or nonce', async () => {
    const stolen = { ...(await receiveCode()), code_verifier: createPkce().verifier };
    assert.equal(outcome(await post(stolen)), '400 callback_invalid 0');
    const mixed = { ...(await receiveCode()), nonce: 'of-another-login' };
    assert.equal(outcome(await post(mixed)), '400 callback_invalid 0');
    assert.ok(!JSON.stringify(world.log).includes(String(stolen.code_verifier)));
  });

  test('off, there is no such method', async () => {
    const off = await startWorld({});
    try {
      const answer = await post(await receiveCode(off), {}, off);
      assert.deepEqual([answer.status, answer.headers.allow, setCookies(answer)], [405, 'GET', []]);
    } finally {
      await off.close();
    }
  });
});
