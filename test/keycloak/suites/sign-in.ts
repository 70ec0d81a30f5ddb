import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LIMITS } from '../../../src/core/limits.ts';
import { signInAtKeycloak } from '../../support/keycloak.ts';
import { createCookieJar, fetchWithJar } from '../../support/provider.ts';
import { type GetKeycloak, type KeycloakWorld, startKeycloakWorld } from '../world.ts';

const bodyOf = async (response: Response) => (await response.json()) as Record<string, unknown>;

/** Signing in and out, roles, and tokens that are renewed. */
export function registerSignInSuite(getKeycloak: GetKeycloak): void {
  describe('sign-in, roles, refresh and sign-out at Keycloak', () => {
    let world: KeycloakWorld;
    before(async () => {
      world = await startKeycloakWorld(getKeycloak());
    });
    after(() => world?.close());

    test('Keycloak: login with PKCE, state and nonce; the session holds its claims and realm roles', async () => {
      const { location } = await world.begin();
      for (const name of ['code_challenge', 'state', 'nonce']) {
        assert.match(location.searchParams.get(name) ?? '', /^[\w.-]{22,}$/, name);
      }
      for (const [username, role] of [
        ['alice', 'user'],
        ['bob', 'admin'],
      ] as const) {
        const jar = await world.signIn(username);
        const answer = await world.verify(jar);
        assert.equal(answer.status, 200);
        assert.match(answer.headers.get('authorization') ?? '', /^Bearer eyJ/);
        const roles = (answer.headers.get('x-user-roles') ?? '').split(',');
        assert.ok(roles.includes(role), `roles ${roles.join()}`);
        assert.equal(roles.includes('admin'), role === 'admin');
        const info = await bodyOf(await world.ask(jar, '/api/auth/session'));
        assert.equal((info['user'] as Record<string, unknown>)['email'], `${username}@keycloak.example`);
      }
    });

    test('Keycloak: refresh with rotation, several times over; each refresh token is spent once', async () => {
      const jar = await world.signIn('alice');
      const seen = new Set<string | null>();
      for (let i = 0; i < 4; i += 1) {
        seen.add((await world.verify(jar)).headers.get('authorization'));
        const answer = await world.renew(jar);
        assert.equal(answer.status, 200);
        assert.deepEqual((await bodyOf(answer))['refreshed'], true, `refresh ${i + 1}`);
      }
      seen.add((await world.verify(jar)).headers.get('authorization'));
      assert.equal(seen.size, 5, 'an access token of its own each time');
    });

    test('Keycloak: a storm of refreshes is one token call, and no refresh token is spent twice', async () => {
      const jar = await world.signIn('alice');
      const before = await world.countEvents('REFRESH_TOKEN');
      world.clock.advance(LIMITS.refreshForcedIntervalMs);
      const storm = Array.from({ length: 50 }, () => world.ask(jar, '/auth/refresh', 'POST'));
      for (const answer of await Promise.all(storm)) assert.equal(answer.status, 200);
      assert.equal(await world.countEvents('REFRESH_TOKEN'), before + 1);
      assert.equal(await world.countEvents('REFRESH_TOKEN_ERROR'), 0);
    });

    test('Keycloak: the session ends when Keycloak has ended its own (invalid_grant)', async () => {
      const { keycloak } = world;
      const jar = await world.signIn('bob');
      const [bob] = (await (await keycloak.admin('/users?username=bob&exact=true')).json()) as { id: string }[];
      await keycloak.admin(`/users/${bob?.id}/logout`, 'POST');
      assert.equal((await world.renew(jar)).status, 401);
      assert.equal((await world.verify(jar)).status, 401);
    });

    test('Keycloak: RP-initiated logout ends its session too, and the browser comes back', async () => {
      const at = createCookieJar();
      const jar = await world.signIn('alice', at);
      const again = await world.signIn('alice', at);
      assert.equal((await world.verify(again)).status, 200, 'signed in again without a password');

      const page = await world.ask(jar, '/auth/logout', 'POST');
      const text = await page.text();
      const target = new URL(
        /https?:\/\/127[^"'\s<]+/.exec(text.replaceAll('&amp;', '&'))?.[0] ?? page.headers.get('location') ?? '',
      );
      assert.equal(target.pathname, '/realms/sallyport/protocol/openid-connect/logout');
      assert.equal((await world.verify(jar)).status, 401, 'over here before the browser has gone there');
      const gone = await fetchWithJar(at, target);
      assert.equal(gone.status, 302, 'Keycloak asks nothing: it knows the ID token');
      assert.equal(new URL(gone.headers.get('location') ?? '').origin, world.base);
      const { location } = await world.begin();
      const asked = await fetchWithJar(at, location);
      assert.equal(asked.status, 200, 'Keycloak asks for the password again');
    });

    test('Keycloak: form_post: its page posts the answer, and the code is in no address', async () => {
      const posting = await startKeycloakWorld(getKeycloak(), { provider: { response_mode: 'form_post' } });
      try {
        const { location } = await posting.begin();
        assert.equal(location.searchParams.get('response_mode'), 'form_post');
        const { url, form } = await signInAtKeycloak(createCookieJar(), location, 'bob');
        assert.deepEqual([url.search, form?.has('code'), form?.has('state')], ['', true, true]);
        const jar = await posting.signIn('alice');
        assert.equal((await posting.verify(jar)).status, 200);
      } finally {
        await posting.close();
      }
    });
  });
}
