import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { signInAtKeycloak } from '../../support/keycloak.ts';
import { createCookieJar, fetchWithJar } from '../../support/provider.ts';
import { until } from '../../support/until.ts';
import { type GetKeycloak, type KeycloakWorld, startKeycloakWorld } from '../world.ts';

/** Keycloak ends a person's sessions here: by its own call, and by a frame in its page. */
export function registerProviderLogoutSuite(getKeycloak: GetKeycloak): void {
  describe('logout that begins at Keycloak', () => {
    let world: KeycloakWorld;
    before(async () => {
      world = await startKeycloakWorld(getKeycloak(), {
        clientOf: (base) => ({
          attributes: {
            'backchannel.logout.url': `${base}/auth/backchannel-logout`,
            'backchannel.logout.session.required': 'true',
            'backchannel.logout.revoke.offline.tokens': 'false',
          },
        }),
      });
    });
    after(() => world?.close());

    const isOut = (jar: Awaited<ReturnType<KeycloakWorld['signIn']>>) => async (): Promise<boolean> =>
      (await world.verify(jar)).status === 401;

    test('Keycloak: back-channel logout by sid ends the sessions of that browser, and no other', async () => {
      const [here, there] = [createCookieJar(), createCookieJar()];
      const [first, second, other] = [
        await world.signIn('alice', here),
        await world.signIn('alice', here),
        await world.signIn('alice', there),
      ];
      await signOutAt(world, here);
      await until(isOut(first), 'the first session is over');
      await until(isOut(second), 'the second one, of the same browser there, too');
      assert.equal((await world.verify(other)).status, 200, 'another browser stays signed in');
      const lines = world.server.log.filter(({ event }) => event === 'logout_backchannel');
      assert.deepEqual(
        lines.map(({ reason, count }) => [reason, count]),
        [['sid', 2]],
      );
    });

    test('Keycloak: an administrator who signs a person out ends every session here', async () => {
      const jars = [await world.signIn('bob'), await world.signIn('bob')];
      const [bob] = (await (await world.keycloak.admin('/users?username=bob&exact=true')).json()) as { id: string }[];
      await world.keycloak.admin(`/users/${bob?.id}/logout`, 'POST');
      for (const jar of jars) await until(isOut(jar), 'signed out');
    });

    test('Keycloak: front-channel logout by a frame in its page, with iss and sid', async () => {
      const framed = await startKeycloakWorld(world.keycloak, {
        settings: { logout: { frontchannel: true, backchannel: false } },
        provider: { logout: { backchannel: false } },
        clientOf: (base) => ({
          frontchannelLogout: true,
          attributes: {
            'frontchannel.logout.url': `${base}/auth/frontchannel-logout`,
            'frontchannel.logout.session.required': 'true',
          },
        }),
      });
      try {
        const at = createCookieJar();
        const jar = await framed.signIn('alice', at);
        const page = await signOutAt(framed, at);
        const frame = /<iframe[^>]* src="([^"]+)"/.exec(page)?.[1]?.replaceAll('&amp;', '&') ?? '';
        assert.ok(frame.startsWith(`${framed.base}/auth/frontchannel-logout?`), page);
        const shown = await fetch(frame, { headers: { 'sec-fetch-dest': 'iframe', 'sec-fetch-site': 'cross-site' } });
        assert.equal(shown.status, 200);
        const origin = new URL(framed.keycloak.issuer).origin;
        assert.match(shown.headers.get('content-security-policy') ?? '', new RegExp(`frame-ancestors ${origin}`));
        assert.equal((await framed.verify(jar)).status, 401);
      } finally {
        await framed.close();
      }
    });

    test('Keycloak: a person signed out there is asked for the password again', async () => {
      const at = createCookieJar();
      await world.signIn('alice', at);
      await signOutAt(world, at);
      const { location } = await world.begin();
      assert.equal((await fetchWithJar(at, location)).status, 200, 'a page, no redirect back');
      assert.equal((await signInAtKeycloak(at, location, 'alice')).url.origin, world.base);
    });
  });
}

/** Sign out at Keycloak itself, as its account page does; returns the last page. */
async function signOutAt(world: KeycloakWorld, at: ReturnType<typeof createCookieJar>): Promise<string> {
  const question = await fetchWithJar(at, `${world.keycloak.issuer}/protocol/openid-connect/logout`);
  const page = await question.text();
  const action = / action="([^"]+)"/.exec(page)?.[1]?.replaceAll('&amp;', '&') ?? '';
  const code = / name="session_code" value="([^"]+)"/.exec(page)?.[1] ?? '';
  const done = await fetchWithJar(at, new URL(action, world.keycloak.issuer), {
    method: 'POST',
    body: new URLSearchParams({ session_code: code, confirmLogout: 'Logout' }),
  });
  const location = done.headers.get('location');
  return (location === null ? done : await fetchWithJar(at, new URL(location, world.keycloak.issuer))).text();
}
