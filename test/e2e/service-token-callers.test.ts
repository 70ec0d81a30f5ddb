import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { hang } from '../support/misbehaving-service.ts';
import { AUDIENCES, json, NOBODY, startTokenWorld, type TokenWorld } from './service-token-world.ts';

describe('who asks for a service, and where its token goes', () => {
  let world: TokenWorld;
  before(async () => {
    const own = (id: string, service: string, auth: string) => ({
      id,
      paths: [`/${id}/*`],
      target_service: service,
      auth,
    });
    world = await startTokenWorld({
      services: {
        own: { audience: 'https://api.demo.example' },
        crud: { token: { source: 'exchange', eager: true } },
        unknown: { urls: ['http://127.0.0.1:1'], audience: 'urn:nobody', token: { source: 'refresh' } },
      },
      routes: [
        own('b-own', 'own', 'bearer'),
        own('b-crud', 'crud', 'any'),
        own('b-analytics', 'analytics', 'bearer'),
        own('o-own', 'own', 'optional'),
        own('new', 'unknown', 'session'),
      ],
      settings: {
        identity_headers: {
          Authorization: { token: 'matched' },
          'X-Token': { token: 'matched', raw: true },
          'X-User-Id': { principal: 'user_id' },
        },
        verify: { profiles: { crud: { service: 'crud' } } },
        refresh: { wait_max: '1s' },
      },
      expectedErrors: ['idp_unavailable'],
    });
  });
  after(() => world?.close());
  const bearerOf = async (): Promise<Record<string, string>> => {
    const answer = await world.verify(await world.signIn('alice'), '');
    return { authorization: answer.headers.get('authorization') ?? '' };
  };

  test('eager: the token is there after the sign-in, and the log names the service', async () => {
    const before = world.exchange.exchanged.length;
    const jar = await world.signIn('bob');
    assert.equal(world.exchange.exchanged.length, before + 1);
    assert.ok(world.server.log.some(({ msg }) => msg === 'bff_service_tokens_mapped services=crud'));
    assert.equal((await world.ask(jar, '/crud/list')).status, 200);
    assert.equal(world.exchange.exchanged.length, before + 1, 'no further call');
  });

  test('a sign-in does not fail for a service', async () => {
    world.exchange.patch = { answer: { token_type: 'N_A' } };
    const jar = await world.signIn('bob');
    world.exchange.patch = {};
    assert.equal((await world.ask(jar, '/own/list')).status, 200);
  });

  test('a bearer token goes on as it is where it is meant for the service', async () => {
    const headers = await bearerOf();
    const answer = await world.ask(NOBODY, '/b-own/list', headers);
    assert.equal(answer.status, 200);
    assert.equal(world.services.own.seen.at(-1)?.authorization, headers['authorization']);
  });

  test('else it is exchanged, once for each caller', async () => {
    const headers = await bearerOf();
    const before = world.exchange.exchanged.length;
    for (const _ of [1, 2, 3]) {
      const answer = await world.ask(NOBODY, '/b-crud/list', headers);
      assert.deepEqual([answer.status, (await json(answer))['aud']], [200, AUDIENCES.crud]);
    }
    assert.equal(world.exchange.exchanged.length, before + 1);
  });

  test('else it is refused, before the service hears of it', async () => {
    const before = world.services.analytics.seen.length;
    const answer = await world.ask(NOBODY, '/b-analytics/list', await bearerOf());
    const { code, login_url } = await json(answer);
    assert.deepEqual([answer.status, code, login_url], [401, 'no_token_available', undefined]);
    assert.equal(world.services.analytics.seen.length, before);
  });

  test('an invalid bearer token on an optional route is 401, not anonymous', async () => {
    const answer = await world.ask(NOBODY, '/o-own/list', { authorization: 'Bearer nonsense' });
    assert.deepEqual([answer.status, (await json(answer))['code']], [401, 'invalid_token']);
  });

  test('a service that the grant does not cover asks for a new sign-in', async () => {
    const answer = await world.ask(await world.signIn('alice'), '/new/list');
    const { code, detail, login_url } = await json(answer);
    assert.deepEqual([answer.status, code, login_url], [401, 'no_token_available', `${world.base}/auth/login`]);
    assert.match(String(detail), /unknown.*new sign-in is needed/);
  });

  test('verify: service, profile and route name whose token the answer carries, in every header', async () => {
    const jar = await world.signIn('alice');
    const uri = { 'x-forwarded-uri': '/crud/list' };
    for (const [query, headers] of [
      ['?service=crud', {}],
      ['?profile=crud', {}],
      ['', uri],
    ] as const) {
      const answer = await world.verify(jar, query, headers);
      const token = answer.headers.get('x-token') ?? '';
      assert.equal(answer.headers.get('authorization'), `Bearer ${token}`);
      assert.equal((await world.exchange.verify(token, AUDIENCES.crud))['sub'], 'u-1001');
      assert.equal(answer.headers.get('x-user-id'), 'u-1001');
    }
    assert.equal((await world.verify(jar, '?service=nobody')).status, 400);
  });

  test('verify: a provider that is away is 503, a refusal 401 with the login address; no token is 200', async () => {
    const jar = await world.signIn('alice');
    world.exchange.front.on('/token', hang());
    const away = await world.verify(jar, '?service=legacy');
    world.exchange.front.off('/token');
    assert.deepEqual([away.status, (await json(away))['code']], [503, 'idp_unavailable']);
    const refused = await json(await world.verify(jar, '?service=unknown'));
    assert.deepEqual([refused['code'], refused['login_url']], ['no_token_available', `${world.base}/auth/login`]);
    const caller = await world.verify(NOBODY, '?service=analytics', await bearerOf());
    assert.deepEqual([caller.status, caller.headers.get('authorization')], [200, '']);
  });

  test('no service ever sees the token of another, whoever asks for what at once', async () => {
    const jars = await Promise.all([world.signIn('alice'), world.signIn('bob'), world.signIn('alice')]);
    const names = ['crud', 'analytics', 'pdp', 'legacy', 'own'] as const;
    const asked = Array.from({ length: 150 }, async (_, index) => {
      const who = index % 3;
      const name = names[(index * 7 + who) % names.length] ?? 'crud';
      const answer = await world.ask(jars[who] ?? NOBODY, `/${name}/x`);
      const claims = await json(answer);
      assert.equal(answer.status, 200, `${name} ${JSON.stringify(claims)}`);
      if (name !== 'pdp') assert.equal(claims['sub'], who === 1 ? 'u-1002' : 'u-1001');
    });
    await Promise.all(asked);
    for (const name of names) {
      assert.ok(
        world.services[name].seen.every(({ claims }) => claims !== undefined),
        `${name} saw a foreign token`,
      );
    }
  });
});
