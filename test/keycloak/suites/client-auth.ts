import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import type { KeycloakClient } from '../../support/keycloak-realm.ts';
import { type GetKeycloak, type KeycloakWorldOptions, startKeycloakWorld } from '../world.ts';

const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });

/** How this client shows Keycloak who it is. */
export function registerClientAuthSuite(getKeycloak: GetKeycloak): void {
  const methods: Readonly<Record<string, (secret: string) => KeycloakWorldOptions>> = {
    client_secret_post: (secret) => ({
      client: { secret },
      provider: { client_auth: { method: 'client_secret_post', secret } },
    }),
    'none (public client)': () => ({
      client: { publicClient: true },
      provider: { client_auth: { method: 'none' } },
    }),
  };
  describe('client authentication at Keycloak', () => {
    for (const [name, optionsOf] of Object.entries(methods)) {
      test(`Keycloak: ${name} signs in, refreshes and revokes`, () =>
        assertWorks(getKeycloak, optionsOf('a-secret-of-a-test-that-is-long-enough')));
    }

    test('Keycloak: private_key_jwt signs in, refreshes and revokes; Keycloak reads our /auth/jwks.json', () =>
      assertWorks(getKeycloak, {
        settings: { keys: { signing: [{ kid: 's1', alg: 'ES256', private_key: pem }] } },
        client: { clientAuthenticatorType: 'client-jwt' },
        clientOf: (base): Partial<KeycloakClient> => ({
          attributes: {
            'use.jwks.url': 'true',
            'jwks.url': `${base}/auth/jwks.json`,
            'token.endpoint.auth.signing.alg': 'ES256',
          },
        }),
        provider: { client_auth: { method: 'private_key_jwt' } },
      }));
  });
}

async function assertWorks(getKeycloak: GetKeycloak, options: KeycloakWorldOptions): Promise<void> {
  const world = await startKeycloakWorld(getKeycloak(), options);
  try {
    const jar = await world.signIn('alice');
    assert.equal((await world.verify(jar)).status, 200);
    const renewed = await world.renew(jar);
    assert.deepEqual([renewed.status, ((await renewed.json()) as { refreshed?: unknown }).refreshed], [200, true]);
    assert.ok((await world.ask(jar, '/auth/logout', 'POST')).status < 400);
    await world.whenEvent('REVOKE_GRANT');
  } finally {
    await world.close();
  }
}
