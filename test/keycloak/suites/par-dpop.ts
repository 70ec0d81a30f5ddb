import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { signInAtKeycloak } from '../../support/keycloak.ts';
import { createCookieJar } from '../../support/provider.ts';
import { type GetKeycloak, type KeycloakWorld, startKeycloakWorld } from '../world.ts';

/** Life of an access token. It passes really: Keycloak takes a proof of the present only. */
const LIFE_S = 2;

/** Requests by the back channel and tokens bound to a key, at a client for which Keycloak demands both. */
export function registerParDpopSuite(getKeycloak: GetKeycloak): void {
  describe('PAR and DPoP at Keycloak', () => {
    let world: KeycloakWorld;
    before(async () => {
      world = await startKeycloakWorld(getKeycloak(), {
        client: {
          attributes: {
            'require.pushed.authorization.requests': 'true',
            'dpop.bound.access.tokens': 'true',
            'access.token.lifespan': String(LIFE_S),
          },
        },
        provider: { par: 'require', dpop: 'require', userinfo: true },
        settings: { refresh: { lead: '0s', jitter: '0s', wait_max: '20s' } },
      });
    });
    after(() => world?.close());

    test('Keycloak: PAR: the browser carries the name of the request alone, and Keycloak refuses any other', async () => {
      const { location } = await world.begin();
      assert.deepEqual([...location.searchParams.keys()].sort(), ['client_id', 'request_uri']);
      const { url } = await signInAtKeycloak(createCookieJar(), location, 'alice');
      assert.ok(url.searchParams.has('code'), 'Keycloak knows the rest of it');
      const plain = new URL(location);
      plain.searchParams.delete('request_uri');
      plain.searchParams.set('response_type', 'code');
      plain.searchParams.set('scope', 'openid');
      plain.searchParams.set('redirect_uri', `${world.base}/auth/callback`);
      const refused = await signInAtKeycloak(createCookieJar(), plain, 'alice');
      assert.equal(refused.url.searchParams.get('error'), 'invalid_request');
    });

    test('Keycloak: DPoP: sign-in, UserInfo and several refreshes with rotation, each with a proof', async () => {
      const jar = await world.signIn('alice');
      assert.equal((await world.verify(jar)).status, 200);
      for (let i = 0; i < 3; i += 1) {
        await sleep(LIFE_S * 1_000 + 100);
        assert.equal((await world.verify(jar)).status, 200);
      }
      assert.equal(await world.countEvents('REFRESH_TOKEN_ERROR'), 0);
      assert.equal(await world.countEvents('REFRESH_TOKEN'), 3);
    });

    test('Keycloak: DPoP: sessions of two people have keys of their own, and sign-out takes bound tokens back', async () => {
      const [alice, bob] = [await world.signIn('alice'), await world.signIn('bob')];
      await sleep(LIFE_S * 1_000 + 100);
      assert.deepEqual([(await world.verify(alice)).status, (await world.verify(bob)).status], [200, 200]);
      assert.ok((await world.ask(alice, '/auth/logout', 'POST')).status < 400);
      await world.whenEvent('REVOKE_GRANT');
      assert.equal((await world.verify(bob)).status, 200);
    });
  });
}
