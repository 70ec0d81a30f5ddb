import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KEYCLOAK_USERS } from '../../support/keycloak-realm.ts';
import { createCookieJar, fetchWithJar } from '../../support/provider.ts';
import { type GetKeycloak, type KeycloakWorld, startKeycloakWorld } from '../world.ts';

/** User name and password, for applications that cannot redirect. */
export function registerDirectGrantSuite(getKeycloak: GetKeycloak): void {
  describe('direct access grant at Keycloak', () => {
    let world: KeycloakWorld;
    before(async () => {
      world = await startKeycloakWorld(getKeycloak(), {
        client: { directAccessGrantsEnabled: true, standardFlowEnabled: false },
        settings: {
          direct_access_grant: { enabled: true, rate_limit: { average: 600, period: '1m', burst: 600 } },
        },
      });
    });
    after(() => world?.close());
    const signIn = (username: string, password: string, jar = createCookieJar()) =>
      fetchWithJar(jar, `${world.base}/auth/login`, {
        method: 'POST',
        headers: { origin: world.base, 'content-type': 'application/json' },
        body: JSON.stringify({ username, password }),
      });

    test('Keycloak: direct access grant gives a session with roles, which is renewed', async () => {
      const jar = createCookieJar();
      assert.equal((await signIn('bob', KEYCLOAK_USERS['bob'] ?? '', jar)).status, 200);
      const answer = await world.verify(jar);
      assert.equal(answer.status, 200);
      assert.ok((answer.headers.get('x-user-roles') ?? '').split(',').includes('admin'));
      assert.equal((await world.renew(jar)).status, 200);
    });

    test('Keycloak: a wrong password, an unknown person and a locked account are refused alike', async () => {
      const { keycloak } = world;
      await keycloak.admin('/users', 'POST', {
        username: 'locked',
        enabled: false,
        credentials: [{ type: 'password', value: 'a-right-password', temporary: false }],
      });
      const told = new Set<string>();
      for (const [username, password] of [
        ['alice', 'not-her-password'],
        ['nobody', 'not-her-password'],
        ['locked', 'a-right-password'],
      ] as const) {
        const answer = await signIn(username, password);
        const { request_id: _id, ...rest } = (await answer.json()) as Record<string, unknown>;
        told.add(JSON.stringify([answer.status, rest]));
        assert.equal(answer.status, 401);
        assert.deepEqual(answer.headers.getSetCookie(), []);
      }
      assert.equal(told.size, 1);
    });
  });
}
