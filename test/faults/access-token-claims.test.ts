import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answerJson } from '../support/misbehaving-service.ts';
import { headerOf, type TestBrowser } from '../support/raw-client.ts';
import { signIdToken } from '../support/scripted-provider.ts';
import { createMovableClock } from '../support/test-server.ts';
import { type Attempt, assertRefused, type ProviderLab, startProviderLab } from './provider-lab.ts';

type Make = (lab: ProviderLab) => string | Promise<string>;

/** An access token as Keycloak makes it, for us; `different` replaces claims. */
const keycloak =
  (different: Readonly<Record<string, unknown>> = {}, header = {}): Make =>
  ({ provider, keys }) =>
    signIdToken(provider, keys.ec, 'n', { realm_access: { roles: ['from-access'] }, ...different }, header);

/** Sign in with this access token; the ID token has no roles unless they are given. */
function signIn(lab: ProviderLab, make: Make, claims: Readonly<Record<string, unknown>> = {}): Promise<Attempt> {
  return lab.attempt({
    patch: async ({ provider, keys, nonce }) => ({
      access_token: await make(lab),
      refresh_token: 'rt-0-of-the-access-token-test',
      id_token: await signIdToken(provider, keys.ec, nonce, claims),
    }),
  });
}

const rolesOf = async (browser: TestBrowser): Promise<string | undefined> =>
  headerOf(await browser.verify({ as: 'fetch' }), 'x-user-roles');

describe('claims from an access token', () => {
  const clock = createMovableClock();
  let lab: ProviderLab;
  before(async () => {
    const idp = { claims_from: ['id_token', 'access_token'], audiences: { accept: ['bff-client', 'orders'] } };
    lab = await startProviderLab({ idp, clock });
  });
  after(() => lab.close());

  for (const [name, make] of Object.entries({
    'for our client id': keycloak(),
    'for an accepted audience': keycloak({ aud: ['orders'] }),
    'of type at+jwt': keycloak({}, { typ: 'at+jwt' }),
    'without a subject': keycloak({ sub: undefined }),
  })) {
    test(`a JWT ${name} gives the roles that the ID token lacks`, async () => {
      const { browser, response } = await signIn(lab, make);
      assert.equal(response.status, 302);
      assert.equal(await rolesOf(browser), 'from-access');
    });
  }

  test('an earlier source wins', async () => {
    const { browser } = await signIn(lab, keycloak(), { realm_access: { roles: ['from-id'] } });
    assert.equal(await rolesOf(browser), 'from-id');
  });

  test('an opaque one is left out, with one warning', async () => {
    for (let login = 0; login < 2; login += 1) {
      const { browser, response } = await signIn(lab, () => 'at-opaque-of-the-access-token-test');
      assert.equal(response.status, 302);
      assert.equal((await rolesOf(browser)) ?? '', '');
    }
    assert.equal(lab.server.log.filter(({ msg }) => String(msg).includes('the access token is no JWT')).length, 1);
  });

  const refused: Readonly<Record<string, Make>> = {
    'the signature of a stranger under a known kid': ({ provider, keys }) =>
      signIdToken(provider, { ...keys.stranger, kid: 'test-ec' }, 'n'),
    'an algorithm outside id_token_algs': ({ provider, keys }) => signIdToken(provider, keys.rsa, 'n'),
    'another issuer': keycloak({ iss: 'https://evil.example.test' }),
    'no exp': keycloak({ exp: undefined }),
    'an exp that is over': keycloak({ exp: 1 }),
    'the type of a logout token': keycloak({}, { typ: 'logout+jwt' }),
    'another user': keycloak({ sub: 'u-mallory' }),
  };
  for (const [name, make] of Object.entries(refused)) {
    test(`${name} ends as idp_bad_response, without a session`, async () => {
      await assertRefused(lab, await signIn(lab, make), 'idp_bad_response');
    });
  }

  test('a refresh computes them anew', async () => {
    const { browser } = await signIn(lab, keycloak());
    const accessToken = await keycloak({ realm_access: { roles: ['after-refresh'] } })(lab);
    lab.provider.front.on('/token', answerJson({ access_token: accessToken, token_type: 'Bearer', expires_in: 300 }));
    // Right after a sign-in nobody needs another token.
    clock.advance(60_000);
    const headers = [
      ['origin', 'https://app.example.test'],
      ['x-csrf', '1'],
    ] as const;
    const answer = await browser.ask('/auth/refresh', { as: 'fetch', method: 'POST', body: '', headers });
    assert.equal(JSON.parse(answer.body).refreshed, true);
    assert.equal(await rolesOf(browser), 'after-refresh');
    lab.provider.front.off('/token');
  });
});

describe('claims from an access token for others', () => {
  const forOthers = keycloak({ aud: 'account' });

  test('are left out where there is another source, and refuse the sign-in where there is none', async () => {
    for (const sources of [['access_token', 'id_token'], ['access_token']]) {
      const lab = await startProviderLab({ idp: { claims_from: sources } });
      try {
        const attempt = await signIn(lab, forOthers, { roles: ['from-id'] });
        if (sources.length === 1) await assertRefused(lab, attempt, 'idp_bad_response');
        else assert.equal(await rolesOf(attempt.browser), 'from-id');
      } finally {
        await lab.close();
      }
    }
  });
});
