import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import type { TestKeycloak } from '../../support/keycloak.ts';
import type { CookieJar } from '../../support/provider.ts';
import { startTokenService, type TokenService } from '../../support/token-service.ts';
import { type GetKeycloak, type KeycloakWorld, startKeycloakWorld } from '../world.ts';

/** Clients of Keycloak that tokens are for. Nothing lets ours reach `closed`, and Keycloak does not know `unknown`. */
const AUDIENCES = {
  crud: 'crud-api',
  analytics: 'https://analytics.example.test',
  closed: 'closed-api',
  unknown: 'unknown-api',
} as const;
/** Scopes that reach an audience: optional ones of our client, so that they come only where they are asked for. */
const SCOPES = { crud: 'crud.read', analytics: 'analytics.read' } as const;
type Name = keyof typeof AUDIENCES | 'own' | 'greedy' | 'machine';
type Json = Readonly<Record<string, unknown>>;

/** Tokens of services in exchange for the session's (RFC 8693), and the client's own beside them (RFC 6749 §4.4). */
export function registerTokenExchangeSuite(getKeycloak: GetKeycloak): void {
  describe('token exchange at Keycloak', () => {
    let world: KeycloakWorld;
    let services: Readonly<Record<Name, TokenService>>;
    before(async () => {
      const keycloak = getKeycloak();
      services = await startServices(keycloak.issuer);
      world = await startKeycloakWorld(keycloak, {
        client: { serviceAccountsEnabled: true, attributes: { 'standard.token.exchange.enabled': 'true' } },
        routes: routesTo(services),
      });
      await allowAudiences(keycloak, world.clientUuid);
    });
    after(async () => {
      await world?.close();
      for (const service of Object.values(services ?? {})) await service.close();
    });
    const ask = async (jar: CookieJar, path: string): Promise<readonly [number, Json]> => {
      const answer = await world.ask(jar, path);
      return [answer.status, (await answer.json()) as Json];
    };

    test('Keycloak: token exchange gives each service a token for itself alone, which it verifies itself', async () => {
      const jar = await world.signIn('alice');
      const [, own] = await ask(jar, '/own/list');
      const audiences = new Set<unknown>();
      for (const name of ['crud', 'analytics'] as const) {
        const [status, claims] = await ask(jar, `/${name}/list`);
        assert.equal(status, 200, JSON.stringify(claims));
        assert.deepEqual([claims['aud'], claims['sub'], claims['azp']], [AUDIENCES[name], own['sub'], world.clientId]);
        const granted = String(claims['scope']).split(' ');
        for (const scope of Object.values(SCOPES)) assert.equal(granted.includes(scope), scope === SCOPES[name], scope);
        audiences.add(claims['aud']);
      }
      assert.equal(audiences.size, 2);
    });

    test('Keycloak: token exchange happens once for many requests, and is made anew for another person', async () => {
      const before = await world.countEvents('TOKEN_EXCHANGE');
      const alice = await world.signIn('alice');
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(alice, '/crud/list')));
      assert.deepEqual(new Set(answers.map(([status]) => status)), new Set([200]));
      assert.equal(new Set(answers.map(([, claims]) => claims['jti'])).size, 1);
      const [, ofBob] = await ask(await world.signIn('bob'), '/crud/list');
      assert.equal(ofBob['preferred_username'], 'bob');
      assert.equal(await world.countEvents('TOKEN_EXCHANGE'), before + 2);
    });

    for (const [name, why] of [
      ['closed', 'an audience that no scope reaches'],
      ['unknown', 'an audience that it does not know'],
      ['greedy', 'a scope that the client does not have'],
    ] as const) {
      test(`Keycloak: token exchange is refused for ${why}: no_token_available, and the session stays`, async () => {
        const jar = await world.signIn('alice');
        const [status, body] = await ask(jar, `/${name}/list`);
        assert.deepEqual([status, body['code']], [401, 'no_token_available']);
        assert.deepEqual(services[name].seen, [], 'the service is not asked');
        assert.equal((await ask(jar, '/crud/list'))[0], 200);
        assert.equal((await world.verify(jar)).status, 200);
        assert.equal((await world.renew(jar)).status, 200);
      });
    }

    test('Keycloak: client_credentials gives one token of the client for all people', async () => {
      const answers = [];
      for (const name of ['alice', 'bob'] as const) answers.push(await ask(await world.signIn(name), '/machine/list'));
      for (const [status, claims] of answers) {
        assert.equal(status, 200, JSON.stringify(claims));
        assert.equal(claims['preferred_username'], `service-account-${world.clientId}`);
      }
      assert.equal(new Set(answers.map(([, claims]) => claims['jti'])).size, 1);
    });

    test('Keycloak: token exchange goes on after a refresh, and never sends the session’s own token', async () => {
      const jar = await world.signIn('alice');
      assert.equal((await ask(jar, '/crud/list'))[0], 200);
      assert.equal((await world.renew(jar)).status, 200);
      for (const name of ['own', 'crud', 'analytics'] as const) assert.equal((await ask(jar, `/${name}/list`))[0], 200);
      const own = new Set(services.own.seen.map(({ authorization }) => authorization));
      assert.ok(own.size >= 2);
      for (const name of ['crud', 'analytics', 'closed', 'unknown', 'greedy', 'machine'] as const) {
        for (const { authorization, claims } of services[name].seen) {
          assert.ok(claims !== undefined, name);
          assert.ok(!own.has(authorization), name);
        }
      }
    });
  });
}

async function startServices(issuer: string): Promise<Readonly<Record<Name, TokenService>>> {
  const keys = createRemoteJWKSet(new URL(`${issuer}/protocol/openid-connect/certs`));
  const start = (audience?: string, scope?: string): Promise<TokenService> =>
    startTokenService(async (token) => {
      const options = { issuer, algorithms: ['RS256'], ...(audience === undefined ? {} : { audience }) };
      return (await jwtVerify(token, keys, options)).payload;
    }, scope);
  return {
    crud: await start(AUDIENCES.crud, SCOPES.crud),
    analytics: await start(AUDIENCES.analytics, SCOPES.analytics),
    closed: await start(AUDIENCES.closed),
    unknown: await start(AUDIENCES.unknown),
    greedy: await start(AUDIENCES.crud),
    machine: await start(AUDIENCES.crud, SCOPES.crud),
    own: await start(),
  };
}

/** As routes.yaml spells them: `/<service>/…`. */
function routesTo(services: Readonly<Record<Name, TokenService>>): object {
  const exchange = { source: 'exchange' };
  const tokens: Readonly<Record<Name, object>> = {
    crud: { audience: AUDIENCES.crud, scopes: [SCOPES.crud], require_any: [SCOPES.crud], token: exchange },
    analytics: { audience: AUDIENCES.analytics, scopes: [SCOPES.analytics], token: exchange },
    closed: { audience: AUDIENCES.closed, token: exchange },
    unknown: { audience: AUDIENCES.unknown, token: exchange },
    greedy: { audience: AUDIENCES.crud, scopes: [SCOPES.crud, 'crud.delete'], token: exchange },
    machine: {
      audience: AUDIENCES.crud,
      scopes: [SCOPES.crud],
      token: { source: 'client_credentials', idp: 'main' },
    },
    own: { token: { source: 'session' } },
  };
  const names = Object.keys(tokens) as Name[];
  return {
    version: 1,
    services: Object.fromEntries(names.map((name) => [name, { urls: [services[name].url], ...tokens[name] }])),
    routes: names.map((name) => ({ id: name, paths: [`/${name}/*`], target_service: name })),
  };
}

/** What an administrator does for each audience: a client, and a scope with an audience mapper that ours may ask for. */
async function allowAudiences(keycloak: TestKeycloak, clientUuid: string): Promise<void> {
  await keycloak.addClient({ clientId: AUDIENCES.closed });
  for (const name of ['crud', 'analytics'] as const) {
    await keycloak.addClient({ clientId: AUDIENCES[name] });
    const created = await keycloak.admin('/client-scopes', 'POST', {
      name: SCOPES[name],
      protocol: 'openid-connect',
      attributes: { 'include.in.token.scope': 'true' },
      protocolMappers: [
        {
          name: `audience ${name}`,
          protocol: 'openid-connect',
          protocolMapper: 'oidc-audience-mapper',
          config: { 'included.client.audience': AUDIENCES[name], 'access.token.claim': 'true' },
        },
      ],
    });
    const scopeId = created.headers.get('location')?.split('/').at(-1) ?? '';
    await keycloak.admin(`/clients/${clientUuid}/optional-client-scopes/${scopeId}`, 'PUT');
  }
}
