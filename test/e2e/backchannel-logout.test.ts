// Back-channel logout: what the provider sends by itself, and what nobody but the provider may send.
import assert from 'node:assert/strict';
import { createSecretKey, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type JWTHeaderParameters, SignJWT } from 'jose';
import { type ProviderLab, startProviderLab } from '../faults/provider-lab.ts';
import { answerJson, hang } from '../support/misbehaving-service.ts';
import { createCookieJar } from '../support/provider.ts';
import { callbackTarget, createBrowser, headerOf, type TestBrowser } from '../support/raw-client.ts';
import { createSigningKey, publishKeys, type SigningKey, signIdToken } from '../support/scripted-provider.ts';
import { type SignInWorld, startSignInWorld } from '../support/signed-in.ts';
import { createMovableClock } from '../support/test-server.ts';

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

describe('back-channel logout by a real provider', () => {
  let world: SignInWorld;
  before(async () => {
    world = await startSignInWorld();
  });
  after(() => world.close());

  test('ends the sessions of the provider session that ended, and no others', async () => {
    const [provider, elsewhere] = [createCookieJar(), createCookieJar()];
    const first = await world.signIn('alice', '/', provider);
    const second = await world.signIn('alice', '/', provider);
    const spared = await world.signIn('alice', '/', elsewhere);
    const bob = await world.signIn('bob');
    for (const jar of [first, second, spared, bob]) assert.equal((await world.verify(jar)).status, 200);
    await world.signOutAtProvider(provider);
    assert.equal((await world.verify(first)).status, 401);
    assert.equal((await world.verify(second)).status, 401);
    assert.equal((await world.verify(spared)).status, 200);
    assert.equal((await world.verify(bob)).status, 200);
    const event = world.server.log.find((line) => line['event'] === 'logout_backchannel');
    assert.deepEqual(
      [event?.['audit'], event?.['idp'], event?.['reason'], event?.['count'], event?.['subject']],
      [true, 'main', 'sid', 2, 'u-1001'],
    );
    assert.equal(await world.server.metric('sallyport_logouts_total'), 1);
  });

  test('works with keys that the provider began to use a moment ago', async () => {
    const provider = createCookieJar();
    const jar = await world.signIn('alice', '/', provider);
    await world.provider.rotateKeys();
    await world.signOutAtProvider(provider);
    assert.equal((await world.verify(jar)).status, 401);
  });
});

type Hostile = {
  readonly name: string;
  readonly reason: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Partial<JWTHeaderParameters>;
  readonly key?: 'stranger' | 'secret' | 'unpublished';
};

describe('a logout token', () => {
  const clock = createMovableClock();
  let lab: ProviderLab;
  let unpublished: SigningKey;
  before(async () => {
    unpublished = await createSigningKey('ES256', 'nobody-knows');
    const routes = { version: 1, routes: [{ id: 'all', paths: ['/*'], auth: 'session' }] };
    lab = await startProviderLab({ clock, routes, expectedErrors: ['idp_unavailable'] });
  });
  after(() => lab.close());

  async function signIn(sid: string | undefined, sub = 'u-alice'): Promise<TestBrowser> {
    const claims = { sub, ...(sid === undefined ? {} : { sid }) };
    const { browser, response } = await lab.attempt({
      patch: async ({ provider, keys, nonce }) => ({ id_token: await signIdToken(provider, keys.ec, nonce, claims) }),
    });
    assert.equal(response.status, 302, response.body);
    return browser;
  }

  async function isSignedIn(browser: TestBrowser): Promise<boolean> {
    return (await browser.verify({ as: 'fetch' })).status === 200;
  }

  function token(
    claims: Readonly<Record<string, unknown>> = {},
    header: Partial<JWTHeaderParameters> = {},
    key: Pick<SigningKey, 'alg' | 'kid'> & { readonly privateKey: unknown } = lab.keys.ec,
  ): Promise<string> {
    const now = Math.floor(clock.now() / 1000);
    const all = {
      iss: lab.provider.issuer,
      aud: 'bff-client',
      iat: now,
      exp: now + 120,
      jti: randomUUID(),
      events: { [EVENT]: {} },
      ...claims,
    };
    const kept = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    const signed = new SignJWT(kept).setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'logout+jwt', ...header });
    return signed.sign(key.privateKey as SigningKey['privateKey']);
  }

  function post(body: string, headers: Readonly<Record<string, string>> = {}, method = 'POST'): Promise<Response> {
    return fetch(`http://127.0.0.1:${lab.server.ports.public}/auth/backchannel-logout`, {
      method,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      ...(method === 'GET' ? {} : { body }),
    });
  }

  async function send(text: string, headers: Readonly<Record<string, string>> = {}): Promise<number> {
    const response = await post(new URLSearchParams({ logout_token: text }).toString(), headers);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.equal(response.headers.get('set-cookie'), null);
    return response.status;
  }

  test('with a sid ends that session alone; the answer is an empty 200 that nobody may store', async () => {
    const [one, other] = [await signIn('sid-1'), await signIn('sid-2')];
    const response = await post(`logout_token=${await token({ sid: 'sid-1', sub: 'u-alice' })}&more=ignored`);
    assert.equal(response.status, 200);
    assert.equal(await response.text(), '');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.deepEqual([await isSignedIn(one), await isSignedIn(other)], [false, true]);
  });

  test('with a sub alone ends every session of that user', async () => {
    const [one, two, bob] = [await signIn('a', 'u-7'), await signIn(undefined, 'u-7'), await signIn('b', 'u-8')];
    assert.equal(await send(await token({ sub: 'u-7' })), 200);
    assert.deepEqual([await isSignedIn(one), await isSignedIn(two), await isSignedIn(bob)], [false, false, true]);
  });

  test('of an unknown sid is answered with 200 and ends nothing, whatever its sub says', async () => {
    const browser = await signIn('known', 'u-9');
    assert.equal(await send(await token({ sid: 'unknown', sub: 'u-9' })), 200);
    assert.equal(await isSignedIn(browser), true);
  });

  test('is heeded whatever cookies, origin and host come with it', async () => {
    const browser = await signIn('sid-cookies');
    const headers = { origin: 'https://evil.test', cookie: 'bff_session=x', host: 'sallyport.internal:8080' };
    assert.equal(await send(await token({ sid: 'sid-cookies' }), headers), 200);
    assert.equal(await isSignedIn(browser), false);
  });

  test('counts once: a replay ends nothing, of many at once one is accepted', async () => {
    const text = await token({ sub: 'u-replay' });
    assert.equal(await send(text), 200);
    const browser = await signIn(undefined, 'u-replay');
    assert.equal(await send(text), 400);
    assert.equal(await isSignedIn(browser), true);
    const again = await token({ sub: 'u-nobody' });
    const statuses = await Promise.all(Array.from({ length: 20 }, () => send(again)));
    assert.deepEqual(statuses.toSorted().slice(0, 2), [200, 400]);
  });

  test('ends a login that is under way: what began before it makes no session', async () => {
    for (const who of [{ sid: 'sid-pending' }, { sub: 'u-pending' }]) {
      const browser = createBrowser(lab.server);
      const { state, nonce } = await browser.beginLogin();
      assert.equal(await send(await token(who)), 200);
      const claims = { sub: 'u-pending', sid: 'sid-pending' };
      const code = lab.provider.codeFor({
        nonce,
        patch: { id_token: await signIdToken(lab.provider, lab.keys.ec, nonce, claims) },
      });
      const response = await browser.ask(callbackTarget(lab.provider, state, code));
      assert.equal(response.status, 400);
      assert.equal(headerOf(response, 'location'), undefined);
      assert.match(response.body, /signed out while this sign-in was under way/);
      clock.advance(1_000);
      const later = await signIn('sid-pending', 'u-pending');
      assert.equal(await isSignedIn(later), true, 'a login that began afterwards is none of its business');
    }
  });

  const who = { sid: 'sid-hostile' };
  const hostile: readonly Hostile[] = [
    { name: 'of another issuer', reason: 'issuer', claims: { iss: 'https://evil.test' } },
    { name: 'without an issuer', reason: 'issuer', claims: { iss: undefined } },
    { name: 'for another client', reason: 'audience', claims: { aud: 'other' } },
    { name: 'for a list without us', reason: 'audience', claims: { aud: ['other', 'bff-client2'] } },
    { name: 'without an audience', reason: 'audience', claims: { aud: undefined } },
    { name: 'without the event', reason: 'events', claims: { events: {} } },
    { name: 'whose event is no object', reason: 'events', claims: { events: { [EVENT]: true } } },
    { name: 'whose event is a list', reason: 'events', claims: { events: { [EVENT]: [] } } },
    { name: 'whose events are a list', reason: 'events', claims: { events: [EVENT] } },
    { name: 'without events', reason: 'events', claims: { events: undefined } },
    { name: 'with a nonce', reason: 'nonce', claims: { nonce: 'n' } },
    { name: 'with an empty nonce', reason: 'nonce', claims: { nonce: null } },
    { name: 'that names nobody', reason: 'who', claims: { sid: undefined } },
    { name: 'with a wildcard sid', reason: 'who', claims: { sid: '*' } },
    { name: 'with a sid that is no text', reason: 'who', claims: { sid: ['sid-hostile'] } },
    { name: 'with an empty sid beside a sub', reason: 'who', claims: { sid: '', sub: 'u-hostile' } },
    { name: 'with an empty sub', reason: 'who', claims: { sid: undefined, sub: '' } },
    { name: 'without jti', reason: 'jti', claims: { jti: undefined } },
    { name: 'with a jti that is a number', reason: 'jti', claims: { jti: 1 } },
    { name: 'without exp', reason: 'times', claims: { exp: undefined } },
    { name: 'without iat', reason: 'times', claims: { iat: undefined } },
    { name: 'with an exp in text', reason: 'times', claims: { exp: '9999999999' } },
    { name: 'that lives for years', reason: 'times', claims: { exp: 99_999_999_999 } },
    { name: 'that expired', reason: 'expired', claims: { iat: 1_000, exp: 2_000 } },
    { name: 'from the future', reason: 'future', claims: { iat: Math.floor(Date.now() / 1000) + 3_600 } },
    { name: 'typed as an ID token', reason: 'typ', header: { typ: 'JWT' } },
    { name: 'typed as an access token', reason: 'typ', header: { typ: 'at+jwt' } },
    { name: 'without a type', reason: 'typ', header: { typ: undefined as unknown as string } },
    { name: 'signed with a secret', reason: 'alg', key: 'secret' },
    { name: 'signed by a stranger under a known key id', reason: 'signature', key: 'stranger' },
    { name: 'signed with a key that is not published', reason: 'key', key: 'unpublished' },
  ];
  for (const { name, reason, claims = {}, header = {}, key } of hostile) {
    test(`${name} is refused with 400 and ends nothing`, async () => {
      const browser = await signIn('sid-hostile', 'u-hostile');
      const keys = {
        stranger: { ...lab.keys.stranger, kid: lab.keys.ec.kid },
        secret: { alg: 'HS256', kid: lab.keys.ec.kid, privateKey: createSecretKey(Buffer.alloc(32, 7)) },
        unpublished,
      };
      const text = await token({ ...who, ...claims }, header, key === undefined ? lab.keys.ec : keys[key]);
      const before = lab.server.log.length;
      assert.equal(await send(text), 400);
      assert.equal(await isSignedIn(browser), true);
      const lines = lab.server.log.slice(before).map((line) => String(line['reason']));
      assert.ok(lines.includes(`logout token: ${reason}`), `the log says ${lines.join()}`);
    });
  }

  test('without a signature, cut short or in several copies is refused', async () => {
    const text = await token(who);
    const [head = '', payload = ''] = text.split('.');
    const none = Buffer.from('{"alg":"none","typ":"logout+jwt"}').toString('base64url');
    for (const bad of [`${none}.${payload}.`, `${none}.${payload}.x`, `${head}.${payload}`, text.slice(0, -1), 'x', ''])
      assert.equal(await send(bad), 400, bad.slice(0, 20));
    assert.equal((await post(`logout_token=${text}&logout_token=${text}`)).status, 400);
    assert.equal((await post(`token=${text}`)).status, 400);
  });

  test('comes as a bounded form by POST and in no other way', async () => {
    const text = await token({ sid: 'sid-form' });
    const body = `logout_token=${text}`;
    for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=x', '']) {
      assert.equal((await post(body, { 'content-type': type })).status, 400, type);
    }
    assert.equal((await post(`${body}&x=${'y'.repeat(20_000)}`)).status, 413);
    const got = await post('', {}, 'GET');
    assert.deepEqual([got.status, got.headers.get('allow')], [405, 'POST']);
    assert.equal(
      (await post(body, { 'content-type': 'Application/X-WWW-Form-Urlencoded; charset=UTF-8' })).status,
      200,
    );
  });

  test('by a new key is accepted after one look at the key set; strangers cause no more', async () => {
    const fresh = await createSigningKey('ES256', 'fresh');
    publishKeys(lab.provider, lab.keys.ec, lab.keys.rsa, fresh);
    clock.advance(60_000);
    const browser = await signIn('sid-fresh');
    const reads = (): number => lab.provider.front.requests('/jwks').length;
    const before = reads();
    assert.equal(await send(await token({ sid: 'sid-fresh' }, {}, fresh)), 200);
    assert.equal(await isSignedIn(browser), false);
    for (let index = 0; index < 20; index += 1) {
      assert.equal(await send(await token({ sid: 'x' }, { kid: `unknown-${index}` }, lab.keys.stranger)), 400);
    }
    assert.ok(reads() - before <= 2, `the keys were read ${reads() - before} times`);
  });

  test('is not judged while the keys cannot be had: 503, and accepted when it comes again', async () => {
    const fresh = await createSigningKey('ES256', 'fresher');
    const browser = await signIn('sid-outage');
    const text = await token({ sid: 'sid-outage', exp: Math.floor(clock.now() / 1000) + 600 }, {}, fresh);
    clock.advance(60_000);
    lab.provider.front.on('/jwks', hang());
    const refused = await post(`logout_token=${text}`);
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '5']);
    assert.equal(await isSignedIn(browser), true);
    lab.provider.front.on('/jwks', answerJson({ keys: [lab.keys.ec.jwk, fresh.jwk] }));
    clock.advance(60_000);
    assert.equal(await send(text), 200);
    assert.equal(await isSignedIn(browser), false);
  });
});

describe('back-channel logout that is off', () => {
  for (const [name, options] of [
    ['everywhere', { settings: { logout: { backchannel: false } } }],
    ['for the provider', { idp: { logout: { backchannel: false } } }],
  ] as const) {
    test(`${name}: the address does not exist`, async () => {
      const lab = await startProviderLab(options);
      try {
        const url = `http://127.0.0.1:${lab.server.ports.public}/auth/backchannel-logout`;
        const body = new URLSearchParams({ logout_token: 'x' });
        assert.equal((await fetch(url, { method: 'POST', body })).status, 404);
      } finally {
        await lab.close();
      }
    });
  }
});
