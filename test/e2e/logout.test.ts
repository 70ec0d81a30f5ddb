// Sign-out in its kinds, and with everything away that it talks to: the session here ends in every case but one, a
// store that cannot be reached, where nothing changes at all.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { decodeJwt, SignJWT } from 'jose';
import { type ProviderLab, startProviderLab } from '../faults/provider-lab.ts';
import { answer, answerJson, hang } from '../support/misbehaving-service.ts';
import { skipWithout } from '../support/parts.ts';
import { fetchWithJar } from '../support/provider.ts';
import { cookieChanges, headerOf, type TestBrowser } from '../support/raw-client.ts';
import { startRedis } from '../support/redis.ts';
import { startSignInWorld } from '../support/signed-in.ts';
import { createMovableClock, PUBLIC_URL } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const SCRIPT = { method: 'POST', as: 'fetch', body: '', headers: [['origin', PUBLIC_URL]] } as const;

async function signIn(lab: ProviderLab): Promise<TestBrowser> {
  const { browser, response } = await lab.signIn();
  assert.equal(response.status, 302, response.body);
  return browser;
}

const isSignedIn = async (browser: TestBrowser): Promise<boolean> =>
  (await browser.verify({ as: 'fetch' })).status === 200;

describe('sign-out at the provider', () => {
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab();
  });
  after(() => lab.close());

  test('names the one post-logout address of the configuration, whatever the request asks for', async () => {
    const browser = await signIn(lab);
    const target = '/auth/logout?post_logout_redirect_uri=https://evil.test/&return_to=https://evil.test/&state=mine';
    const { body, status } = await browser.ask(target, SCRIPT);
    assert.equal(status, 200);
    const url = new URL((JSON.parse(body) as { logout_url: string }).logout_url);
    assert.equal(url.origin + url.pathname, `${lab.provider.issuer}/logout`);
    assert.equal(url.searchParams.get('post_logout_redirect_uri'), `${PUBLIC_URL}/auth/login`);
    assert.equal(url.searchParams.get('client_id'), 'bff-client');
    assert.match(url.searchParams.get('state') ?? '', /^[A-Za-z0-9_-]{22}$/);
    assert.equal(decodeJwt(url.searchParams.get('id_token_hint') ?? '').sub, 'u-alice');
    assert.ok(!body.includes('evil.test'));
    assert.equal(await isSignedIn(browser), false);
  });

  test('revokes the refresh token first, without making anybody wait for it', async () => {
    const browser = await signIn(lab);
    lab.provider.front.on('/revoke', hang());
    const asked = lab.provider.front.requests('/revoke').length;
    const response = await browser.ask('/auth/logout', SCRIPT);
    assert.equal(response.status, 200);
    assert.ok(cookieChanges(response).expired.includes('bff_session'));
    await until(() => lab.provider.front.requests('/revoke').length > asked, 'the revocation is asked for');
    assert.match(lab.provider.front.requests('/revoke').at(-1)?.body ?? '', /(?:^|&)token=rt-/);
    lab.provider.front.off('/revoke');
  });

  test('ends the session here while the provider is away, or answers the revocation with an error', async () => {
    for (const broken of [answer(500, {}, ''), answer(400, {}, '{"error":"unsupported_token_type"}')]) {
      const browser = await signIn(lab);
      lab.provider.front.on('/revoke', broken);
      assert.equal((await browser.ask('/auth/logout', SCRIPT)).status, 200);
      assert.equal(await isSignedIn(browser), false);
    }
    lab.provider.front.off('/revoke');
  });

  test('without a session is harmless, and a person gets to the provider all the same', async () => {
    const browser = await signIn(lab);
    await browser.ask('/auth/logout', SCRIPT);
    const again = await browser.ask('/auth/logout', { headers: [['sec-fetch-site', 'none']] });
    assert.equal(again.status, 200);
    assert.match(again.body, /location\.replace/);
  });
});

describe('sign-out here alone', () => {
  for (const [name, local] of [
    ['where the configuration says so', true],
    ['where the provider has no end_session_endpoint', false],
  ] as const) {
    test(`${name} ends on a page with a link, and signs nobody in by itself`, async () => {
      const lab = await startProviderLab(local ? { idp: { logout: { mode: 'local' } } } : {});
      try {
        if (!local) {
          const metadata = await lab.provider.metadata({ end_session_endpoint: undefined });
          lab.provider.front.on('/.well-known/openid-configuration', answerJson(metadata));
          await lab.server.reload((config) => ({
            ...config,
            idps: config.idps.map((idp) => ({ ...idp, metadataRefreshMs: idp.metadataRefreshMs + 1 })),
          }));
        }
        const browser = await signIn(lab);
        const response = await browser.ask('/auth/logout', { headers: [['sec-fetch-site', 'same-origin']] });
        assert.equal(response.status, 200);
        assert.equal(headerOf(response, 'location'), undefined);
        assert.equal(headerOf(response, 'refresh'), undefined);
        assert.doesNotMatch(response.body, /<script|http-equiv="refresh"|location\.replace/);
        assert.match(response.body, /<h1>Signed out<\/h1>/);
        assert.match(response.body, /href="https:\/\/app\.example\.test\/auth\/login">Sign in again<\/a>/);
        assert.equal(await isSignedIn(browser), false);
        const script = await (await signIn(lab)).ask('/api/auth/logout', SCRIPT);
        assert.equal((JSON.parse(script.body) as { logout_url: unknown }).logout_url, null);
      } finally {
        await lab.close();
      }
    });
  }
});

test('the ID token is still the hint after the tokens were renewed', async () => {
  const clock = createMovableClock();
  const world = await startSignInWorld({ clock, provider: { ttl: { accessTokenSeconds: 60 } } });
  try {
    const jar = await world.signIn('alice');
    clock.advance(120_000);
    assert.equal((await world.verify(jar)).status, 200);
    assert.equal(world.issued.length, 2, 'the token was renewed');
    const response = await fetchWithJar(jar, `${world.base}/auth/logout`, {
      method: 'POST',
      headers: { origin: world.base, accept: 'application/json' },
    });
    assert.equal(response.status, 200);
    const { logout_url: url } = (await response.json()) as { logout_url: string };
    const hint = new URL(url).searchParams.get('id_token_hint') ?? '';
    assert.equal(decodeJwt(hint).sub, 'u-1001');
  } finally {
    await world.close();
  }
});

test('while the store is away no sign-out is answered with success, and each can be tried again', {
  skip: skipWithout('redis-server'),
}, async () => {
  const redis = await startRedis();
  const lab = await startProviderLab({
    settings: { store: { kind: 'redis', redis: { url: redis.url } }, logout: { frontchannel: true } },
    expectedErrors: ['store_unavailable'],
  });
  try {
    const browser = await signIn(lab);
    const now = Math.floor(Date.now() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = {
      iss: lab.provider.issuer,
      aud: 'bff-client',
      sub: 'u-alice',
      jti: 'once',
      iat: now,
      exp: now + 300,
      events,
    };
    const { alg, kid, privateKey } = lab.keys.ec;
    const token = await new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'logout+jwt' }).sign(privateKey);
    const form = [['content-type', 'application/x-www-form-urlencoded']] as const;
    const tell = () =>
      browser.ask('/auth/backchannel-logout', {
        method: 'POST',
        as: 'program',
        body: `logout_token=${token}`,
        headers: form,
      });
    const frame = `/auth/frontchannel-logout?${new URLSearchParams({ iss: lab.provider.issuer, sid: 's' })}`;
    await redis.stop();
    for (const refused of [
      await browser.ask('/auth/logout', SCRIPT),
      await browser.ask('/auth/logout?everywhere=true', SCRIPT),
      await browser.ask('/auth/sessions', { as: 'fetch' }),
      await browser.ask(`/auth/sessions/${'A'.repeat(22)}`, {
        method: 'DELETE',
        as: 'fetch',
        headers: [
          ['x-csrf', '1'],
          ['origin', PUBLIC_URL],
        ],
      }),
      await browser.ask(frame),
      await tell(),
    ]) {
      assert.equal(refused.status, 503, refused.body);
      assert.ok(headerOf(refused, 'retry-after') !== undefined);
      assert.deepEqual(cookieChanges(refused), { set: [], expired: [] }, 'an outage is no sign-out');
    }
    await redis.start();
    await until(async () => (await tell()).status === 200, 'the same logout token is accepted now', 10_000);
    assert.equal((await tell()).status, 400, 'and counts once');
    await until(async () => (await browser.ask('/auth/logout', SCRIPT)).status === 200, 'the sign-out works', 10_000);
  } finally {
    await lab.close();
    await redis.remove();
  }
});
