import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, type JWK } from 'jose';
import { createCookieJar, fetchWithJar } from '../support/provider.ts';
import { type SignInWorld, startSignInWorld } from '../support/signed-in.ts';
import { createMovableClock } from '../support/test-server.ts';

type TokenCall = { readonly form: Readonly<Record<string, unknown>>; readonly proof: string | undefined };

/** Tokens bound to keys, with the server's nonce demanded in every proof. */
const withNonces = (configuration: Record<string, unknown>): Record<string, unknown> => ({
  ...configuration,
  features: {
    ...(configuration['features'] as object),
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true },
  },
});

describe('pushed requests and bound tokens against oidc-provider, which demands both and a nonce', () => {
  const calls: TokenCall[] = [];
  const answers: Record<string, unknown>[] = [];
  const clock = createMovableClock();
  let world: SignInWorld;
  before(async () => {
    world = await startSignInWorld({
      clock,
      client: () => ({ dpop_bound_access_tokens: true, require_pushed_authorization_requests: true }),
      idp: { dpop: 'require', userinfo: true, scopes: ['openid', 'profile', 'email', 'offline_access'] },
      provider: {
        audience: null,
        configure: withNonces,
        onTokenResponse({ form, headers, body }) {
          const proof = headers['dpop'];
          calls.push({ form, proof: typeof proof === 'string' ? proof : undefined });
          answers.push(body);
        },
      },
    });
  });
  after(() => world.close());

  test('the browser carries the name of the request and nothing else', async () => {
    const begun = await fetchWithJar(createCookieJar(), `${world.base}/auth/login?login_hint=somebody`);
    const location = new URL(begun.headers.get('location') ?? '');
    assert.deepEqual([...location.searchParams.keys()].sort(), ['client_id', 'request_uri']);
    assert.match(location.searchParams.get('request_uri') ?? '', /^urn:ietf:params:oauth:request_uri:/);
  });

  test('the code is redeemed with a proof that carries the nonce, for a token bound to its key', async () => {
    const jar = await world.signIn('alice');
    const { proof = '' } = calls.at(-1) ?? {};
    const { typ, alg, jwk } = decodeProtectedHeader(proof);
    assert.deepEqual(
      { typ, alg, members: Object.keys(jwk ?? {}).sort() },
      {
        typ: 'dpop+jwt',
        alg: 'ES256',
        members: ['crv', 'kty', 'x', 'y'],
      },
    );
    const { htm, htu, nonce } = decodeJwt(proof);
    assert.deepEqual({ htm, htu }, { htm: 'POST', htu: `${world.provider.issuer}/token` });
    assert.ok(nonce !== undefined);
    assert.equal(answers.at(-1)?.['token_type'], 'DPoP');
    const answer = await world.verify(jar);
    assert.equal(answer.status, 200);
    // Worth nothing without a proof: never sent as Bearer.
    assert.equal(answer.headers.get('authorization') ?? '', '');
    assert.equal(answer.headers.get('x-user-username'), 'alice', 'UserInfo was read with the bound token');
  });

  test('each session has a key of its own, which its refreshes keep', async () => {
    const jars = [await world.signIn('alice'), await world.signIn('bob')];
    const thumbprints = [];
    // A token that has just come is not renewed again.
    clock.advance(11_000);
    for (const jar of jars) {
      const response = await fetchWithJar(jar, `${world.base}/auth/refresh`, {
        method: 'POST',
        headers: { origin: world.base, 'x-csrf': '1' },
      });
      assert.equal(response.status, 200, await response.text());
    }
    for (const { proof = '' } of calls.slice(-4)) {
      thumbprints.push(await calculateJwkThumbprint(decodeProtectedHeader(proof).jwk as JWK));
    }
    const [first, second, firstRefresh, secondRefresh] = thumbprints;
    assert.notEqual(first, second);
    assert.deepEqual(
      calls.slice(-4).map(({ form }) => form['grant_type']),
      ['authorization_code', 'authorization_code', 'refresh_token', 'refresh_token'],
    );
    assert.deepEqual([firstRefresh, secondRefresh], [first, second]);
  });

  test('neither proof, key nor pushed request reaches the log', () => {
    const text = JSON.stringify(world.server.log);
    for (const { proof = '', form } of calls) {
      assert.ok(!text.includes(proof));
      assert.ok(!text.includes(String(form['code_verifier'] ?? 'none of this one')));
    }
    assert.ok(!text.includes('urn:ietf:params:oauth:request_uri:'));
  });
});
