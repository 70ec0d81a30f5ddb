import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AUDIENCES, json, startTokenWorld, type TokenWorld } from './service-token-world.ts';

describe('tokens of services, each source at a real provider', () => {
  let world: TokenWorld;
  before(async () => {
    world = await startTokenWorld();
  });
  after(() => world?.close());
  const count = (grant: string): number => world.exchange.granted.filter((call) => call.grant === grant).length;

  test('exchange: the service gets a token for itself in the name of the user, and verifies it itself', async () => {
    const jar = await world.signIn('alice');
    const answer = await world.ask(jar, '/crud/list');
    const claims = await json(answer);
    assert.equal(answer.status, 200);
    assert.deepEqual([claims['aud'], claims['sub'], claims['scope']], [AUDIENCES.crud, 'u-1001', 'api.read api.write']);
    const [{ form }] = world.exchange.exchanged.slice(-1) as [(typeof world.exchange.exchanged)[0]];
    assert.deepEqual(
      [form.get('audience'), form.get('resource'), form.get('scope'), form.get('requested_token_type')],
      [AUDIENCES.crud, AUDIENCES.crud, 'api.read api.write', 'urn:ietf:params:oauth:token-type:access_token'],
    );
  });

  test('exchange: an audience that is no URL is asked for as audience alone', async () => {
    const answer = await world.ask(await world.signIn('alice'), '/legacy/list');
    assert.deepEqual([answer.status, (await json(answer))['aud']], [200, AUDIENCES.legacy]);
    assert.equal(world.exchange.exchanged.at(-1)?.form.has('resource'), false);
  });

  test('refresh: a token by resource indicator; the refresh token rotates and the session goes on', async () => {
    const jar = await world.signIn('bob');
    const before = count('refresh_token');
    const answer = await world.ask(jar, '/analytics/list');
    const claims = await json(answer);
    assert.equal(answer.status, 200, JSON.stringify(claims));
    assert.deepEqual([claims['aud'], claims['sub'], claims['scope']], [AUDIENCES.analytics, 'u-1002', 'api.read']);
    assert.equal((await world.ask(jar, '/analytics/list')).status, 200);
    assert.equal(count('refresh_token'), before + 1, 'kept');
    world.clock.advance(10_000);
    const origin = { origin: world.base, 'x-csrf': '1' };
    const { cookies } = jar;
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const renewed = await fetch(`${world.base}/auth/refresh`, { method: 'POST', headers: { ...origin, cookie } });
    assert.equal((await json(renewed))['refreshed'], true, 'with the rotated refresh token');
  });

  test('client_credentials: one token of the client for all sessions', async () => {
    const before = count('client_credentials');
    for (const user of ['alice', 'bob'] as const) {
      const answer = await world.ask(await world.signIn(user), '/pdp/evaluate');
      const claims = await json(answer);
      assert.equal(answer.status, 200, JSON.stringify(claims));
      assert.deepEqual([claims['aud'], claims['client_id']], [AUDIENCES.pdp, 'bff']);
    }
    assert.equal(count('client_credentials'), before + 1);
  });

  test('session: the user’s own token', async () => {
    const answer = await world.ask(await world.signIn('alice'), '/own/list');
    assert.deepEqual([answer.status, (await json(answer))['aud']], [200, world.provider.audience]);
  });
});
