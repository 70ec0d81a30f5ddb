import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { startHttpServer } from '../../src/cli/demo/http-server.ts';
import { type DemoProvider, startDemoProvider } from '../../src/cli/demo/provider.ts';
import {
  type CookieJar,
  createCookieJar,
  createPkce,
  createTestClient,
  fetchWithJar,
  signInAtProvider,
} from '../support/provider.ts';

type Tokens = { access_token: string; id_token: string; refresh_token: string; scope: string; error?: string };

const client = createTestClient();

function authorizationUrl(provider: DemoProvider, challenge: string | undefined, extra: Record<string, string> = {}) {
  const url = new URL(`${provider.issuer}/auth`);
  const parameters = {
    client_id: client.client_id,
    redirect_uri: client.redirect_uris[0] ?? '',
    response_type: 'code',
    scope: 'openid profile email offline_access api.read',
    state: 'state-1',
    nonce: 'nonce-1',
    ...(challenge === undefined ? {} : { code_challenge: challenge, code_challenge_method: 'S256' }),
    ...extra,
  };
  url.search = new URLSearchParams(parameters).toString();
  return url;
}

async function requestTokens(provider: DemoProvider, parameters: Record<string, string>): Promise<Response> {
  const credentials = Buffer.from(`${client.client_id}:${client.client_secret}`).toString('base64');
  return fetch(`${provider.issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${credentials}` },
    body: new URLSearchParams(parameters),
  });
}

async function signIn(provider: DemoProvider, jar: CookieJar, username = 'alice'): Promise<Tokens> {
  const { verifier, challenge } = createPkce();
  const back = await signInAtProvider(jar, authorizationUrl(provider, challenge), username, username);
  const response = await requestTokens(provider, {
    grant_type: 'authorization_code',
    code: back.searchParams.get('code') ?? '',
    redirect_uri: client.redirect_uris[0] ?? '',
    code_verifier: verifier,
  });
  assert.equal(response.status, 200);
  return (await response.json()) as Tokens;
}

async function fetchKeys(provider: DemoProvider): Promise<JSONWebKeySet> {
  return (await (await fetch(`${provider.issuer}/jwks`)).json()) as JSONWebKeySet;
}

describe('demo provider', () => {
  let provider: DemoProvider;
  before(async () => {
    provider = await startDemoProvider({ clients: [client], showHints: true });
  });
  after(() => provider.close());

  test('signs alice in through its pages and answers with state and iss', async () => {
    const back = await signInAtProvider(
      createCookieJar(),
      authorizationUrl(provider, createPkce().challenge),
      'alice',
      'alice',
    );
    assert.equal(back.origin + back.pathname, client.redirect_uris[0]);
    assert.equal(back.searchParams.get('state'), 'state-1');
    assert.equal(back.searchParams.get('iss'), provider.issuer);
    assert.ok((back.searchParams.get('code') ?? '').length > 20);
  });

  test('puts the identity into the ID token and issues RFC 9068 access tokens for the API', async () => {
    const tokens = await signIn(provider, createCookieJar(), 'bob');
    const keys = createLocalJWKSet(await fetchKeys(provider));
    const { payload: id } = await jwtVerify(tokens.id_token, keys, {
      issuer: provider.issuer,
      audience: client.client_id,
    });
    assert.deepEqual(
      [id['preferred_username'], id['email'], id['email_verified'], id['name'], id['roles'], id['groups'], id['nonce']],
      ['bob', 'bob@demo.example', true, 'Bob Example', ['admin'], ['staff', 'ops'], 'nonce-1'],
    );
    const { payload: access } = await jwtVerify(tokens.access_token, keys, {
      issuer: provider.issuer,
      audience: provider.audience ?? '',
      typ: 'at+jwt',
    });
    assert.equal(access['scope'], 'openid profile email api.read');
    assert.deepEqual(access['roles'], ['admin']);
  });

  test('refuses an authorization request without PKCE', async () => {
    const back = await signInAtProvider(createCookieJar(), authorizationUrl(provider, undefined), 'alice', 'alice');
    assert.equal(back.searchParams.get('error'), 'invalid_request');
    assert.match(back.searchParams.get('error_description') ?? '', /PKCE/);
  });

  test('a wrong password and an unknown user get the same page', async () => {
    const texts = [];
    for (const username of ['alice', 'nobody']) {
      const jar = createCookieJar();
      const start = await fetchWithJar(jar, authorizationUrl(provider, createPkce().challenge));
      const page = new URL(start.headers.get('location') ?? '', provider.issuer);
      await fetchWithJar(jar, page);
      const body = new URLSearchParams({ username, password: 'wrong' });
      const answer = await fetchWithJar(jar, `${page.href}/login`, { method: 'POST', body });
      assert.equal(answer.status, 401);
      texts.push((await answer.text()).replaceAll(page.pathname, '').replace(`value="${username}"`, ''));
    }
    assert.match(texts[0] ?? '', /User name and password do not match/);
    assert.equal(texts[0], texts[1]);
  });

  test('the user name typed before is shown as text, not as markup', async () => {
    const jar = createCookieJar();
    const start = await fetchWithJar(jar, authorizationUrl(provider, createPkce().challenge));
    const page = new URL(start.headers.get('location') ?? '', provider.issuer);
    await fetchWithJar(jar, page);
    const body = new URLSearchParams({ username: '"><script>x</script>', password: 'x' });
    const html = await (await fetchWithJar(jar, `${page.href}/login`, { method: 'POST', body })).text();
    assert.ok(html.includes('&quot;&gt;&lt;script&gt;'));
    assert.ok(!html.includes('<script'));
  });

  test('declining sends access_denied to the client', async () => {
    const jar = createCookieJar();
    const start = await fetchWithJar(jar, authorizationUrl(provider, createPkce().challenge));
    const page = new URL(start.headers.get('location') ?? '', provider.issuer);
    const abort = await fetchWithJar(jar, `${page.href}/abort`, { method: 'POST' });
    const back = await fetchWithJar(jar, abort.headers.get('location') ?? '');
    assert.equal(new URL(back.headers.get('location') ?? '').searchParams.get('error'), 'access_denied');
  });

  test('a sign-in page of somebody else says so and gives no form', async () => {
    const start = await fetchWithJar(createCookieJar(), authorizationUrl(provider, createPkce().challenge));
    const page = new URL(start.headers.get('location') ?? '', provider.issuer);
    const answer = await fetchWithJar(createCookieJar(), page);
    assert.equal(answer.status, 400);
    assert.ok(!(await answer.text()).includes('<form'));
  });

  test('a refresh token works once, and its second use ends the whole grant', async () => {
    const first = await signIn(provider, createCookieJar());
    const answer = await requestTokens(provider, { grant_type: 'refresh_token', refresh_token: first.refresh_token });
    const second = (await answer.json()) as Tokens;
    assert.notEqual(second.refresh_token, first.refresh_token);
    for (const refresh_token of [first.refresh_token, second.refresh_token]) {
      const refused = await requestTokens(provider, { grant_type: 'refresh_token', refresh_token });
      assert.equal(((await refused.json()) as Tokens).error, 'invalid_grant');
    }
  });

  test('signing out asks first, then returns to the registered address and forgets the user', async () => {
    const jar = createCookieJar();
    const tokens = await signIn(provider, jar);
    const url = new URL(`${provider.issuer}/session/end`);
    url.search = new URLSearchParams({
      id_token_hint: tokens.id_token,
      post_logout_redirect_uri: 'http://127.0.0.1:1/bye',
      state: 'bye-1',
    }).toString();
    const html = await (await fetchWithJar(jar, url)).text();
    const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(html) ?? [];
    const [, action = ''] = /action="([^"]+)"/.exec(html) ?? [];
    const body = new URLSearchParams({ xsrf, logout: 'yes' });
    const done = await fetchWithJar(jar, action, { method: 'POST', body });
    assert.equal(done.headers.get('location'), 'http://127.0.0.1:1/bye?state=bye-1');
    const again = await fetchWithJar(jar, authorizationUrl(provider, createPkce().challenge));
    assert.match(again.headers.get('location') ?? '', /^\/interaction\//);
  });

  test('its pages allow no script and no frame', async () => {
    const jar = createCookieJar();
    const start = await fetchWithJar(jar, authorizationUrl(provider, createPkce().challenge));
    const page = await fetchWithJar(jar, new URL(start.headers.get('location') ?? '', provider.issuer));
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.ok(policy.includes("default-src 'none'") && policy.includes("frame-ancestors 'none'"));
    assert.ok(!policy.includes('script-src'));
  });
});

describe('demo provider for tests', () => {
  test('key rotation signs with new keys, keeps sessions, and drops old keys only when told', async () => {
    const provider = await startDemoProvider({ clients: [client] });
    try {
      const jar = createCookieJar();
      const before = await signIn(provider, jar);
      await provider.rotateKeys();
      const back = await signInAtProvider(jar, authorizationUrl(provider, createPkce().challenge), '', '');
      assert.ok(back.searchParams.has('code'), 'the provider still knows the user');
      const answer = await requestTokens(provider, {
        grant_type: 'refresh_token',
        refresh_token: before.refresh_token,
      });
      const after = (await answer.json()) as Tokens;
      const oldKid = decodeProtectedHeader(before.id_token).kid;
      assert.notEqual(decodeProtectedHeader(after.id_token).kid, oldKid);
      assert.ok((await fetchKeys(provider)).keys.some((key) => key.kid === oldKid));
      await provider.rotateKeys({ keepOld: false });
      assert.ok(!(await fetchKeys(provider)).keys.some((key) => key.kid === oldKid));
    } finally {
      await provider.close();
    }
  });

  test('token hooks can answer instead of the provider and change what it answers', async () => {
    let replace = false;
    const grants: (string | undefined)[] = [];
    const provider = await startDemoProvider({
      clients: [client],
      onTokenRequest: () =>
        replace ? { status: 503, headers: { 'retry-after': '7' }, body: '{"error":"x"}' } : undefined,
      onTokenResponse: (outcome) => {
        grants.push(outcome.grantType);
        outcome.body['token_type'] = 'changed';
      },
    });
    try {
      const tokens = await signIn(provider, createCookieJar());
      assert.equal((tokens as unknown as { token_type: string }).token_type, 'changed');
      assert.deepEqual(grants, ['authorization_code']);
      replace = true;
      const refused = await requestTokens(provider, { grant_type: 'refresh_token', refresh_token: 'any' });
      assert.deepEqual(
        [refused.status, refused.headers.get('retry-after'), await refused.text()],
        [503, '7', '{"error":"x"}'],
      );
    } finally {
      await provider.close();
    }
  });

  test('without an audience access tokens are opaque and userinfo answers them', async () => {
    const provider = await startDemoProvider({ clients: [client], audience: null, ttl: { accessTokenSeconds: 77 } });
    try {
      const tokens = await signIn(provider, createCookieJar());
      assert.ok(!tokens.access_token.includes('.'));
      assert.equal((tokens as unknown as { expires_in: number }).expires_in, 77);
      const answer = await fetch(`${provider.issuer}/me`, {
        headers: { authorization: `Bearer ${tokens.access_token}` },
      });
      const claims = (await answer.json()) as Record<string, unknown>;
      assert.deepEqual([claims['sub'], claims['preferred_username']], ['u-1001', 'alice']);
    } finally {
      await provider.close();
    }
  });

  test('signing out tells the registered client by back-channel, with the sid of the ID token', async () => {
    const received: string[] = [];
    const listener = await startHttpServer({
      port: 0,
      handler: async (request, response) => {
        request.setEncoding('utf8');
        received.push((await request.toArray()).join(''));
        response.end();
      },
    });
    const told = {
      ...client,
      backchannel_logout_uri: `http://127.0.0.1:${listener.port}/told`,
      backchannel_logout_session_required: true,
    };
    const provider = await startDemoProvider({ clients: [told] });
    try {
      const jar = createCookieJar();
      const tokens = await signIn(provider, jar);
      const html = await (
        await fetchWithJar(jar, `${provider.issuer}/session/end?client_id=${client.client_id}`)
      ).text();
      const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(html) ?? [];
      const body = new URLSearchParams({ xsrf, logout: 'yes' });
      await fetchWithJar(jar, `${provider.issuer}/session/end/confirm`, { method: 'POST', body });
      const logoutToken = new URLSearchParams(received[0]).get('logout_token') ?? '';
      const keys = createLocalJWKSet(await fetchKeys(provider));
      const { payload } = await jwtVerify(logoutToken, keys, { issuer: provider.issuer, audience: client.client_id });
      const { payload: id } = await jwtVerify(tokens.id_token, keys);
      assert.equal(payload['sid'], id['sid']);
      assert.equal(typeof payload['sid'], 'string');
    } finally {
      await Promise.all([provider.close(), listener.close()]);
    }
  });
});
