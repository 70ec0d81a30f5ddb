import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ExchangePatch } from '../support/exchange-provider.ts';
import { answer, answerJson, type Behaviour, garbage, hang } from '../support/misbehaving-service.ts';
import { AUDIENCES, json, startTokenWorld, type TokenWorld } from './service-token-world.ts';

const PAST_S = Math.floor(Date.now() / 1000) - 600;

/** [what the provider does, how, status and code of the proxied request] */
const FAULTS: readonly (readonly [string, Behaviour | ExchangePatch, string])[] = [
  ['refuses the audience', answerJson({ error: 'invalid_target' }, 400), '401 no_token_available'],
  ['refuses the scope', answerJson({ error: 'invalid_scope' }, 400), '401 no_token_available'],
  ['says invalid_grant of an exchange', answerJson({ error: 'invalid_grant' }, 400), '401 no_token_available'],
  ['denies access', answerJson({ error: 'access_denied' }, 403), '401 no_token_available'],
  ['answers 500', answer(500, {}, 'no'), '503 idp_unavailable'],
  ['answers 429', answerJson({ error: 'slow_down' }, 429), '503 idp_unavailable'],
  ['is for the moment unable', answerJson({ error: 'temporarily_unavailable' }, 400), '503 idp_unavailable'],
  ['does not answer', hang(), '503 idp_unavailable'],
  ['sends no HTTP', garbage(), '503 idp_unavailable'],
  ['sends a page', answer(200, { 'content-type': 'text/html' }, '<p>hello</p>'), '502 idp_bad_response'],
  ['sends no JSON', answer(200, { 'content-type': 'application/json' }, '{'), '502 idp_bad_response'],
  ['sends an empty object', answerJson({}), '502 idp_bad_response'],
  ['sends another token type', { answer: { token_type: 'N_A' } }, '502 idp_bad_response'],
  ['binds the token to a key', { answer: { token_type: 'DPoP' } }, '502 idp_bad_response'],
  ['sends no issued_token_type', { answer: { issued_token_type: undefined } }, '502 idp_bad_response'],
  [
    'issues a token of another type',
    { answer: { issued_token_type: 'urn:ietf:params:oauth:token-type:id_token' } },
    '502 idp_bad_response',
  ],
  ['sends a token that would break a header', { answer: { access_token: 'a\r\nb' } }, '502 idp_bad_response'],
  ['issues for another audience', { claims: { aud: 'https://other.example.test' } }, '502 token_audience_mismatch'],
  ['issues for nobody', { claims: { aud: undefined } }, '502 token_audience_mismatch'],
  ['sends a token that is over', { claims: { exp: PAST_S } }, '502 idp_bad_response'],
  ['sends a life of nothing', { answer: { expires_in: 0 } }, '502 idp_bad_response'],
  ['grants another scope', { claims: { scope: 'api.other' } }, '401 no_token_available'],
];

const VOLATILE = { refresh: { backoff: { first: '100ms', max: '100ms' }, wait_max: '5s' } };

describe('what a provider may answer when asked for a service’s token', () => {
  let world: TokenWorld;
  before(async () => {
    world = await startTokenWorld({
      settings: VOLATILE,
      services: { crud: { require_any: ['api.read'] } },
      idp: { timeout: { connect: '2s', total: '4s' } },
      expectedErrors: ['idp_unavailable', 'token_audience_mismatch'],
    });
  });
  after(() => world?.close());

  for (const [name, fault, expected] of FAULTS) {
    test(`${name}: ${expected}, the session stays, and the next attempt is free`, async () => {
      const jar = await world.signIn('alice');
      const { exchange } = world;
      if (typeof fault === 'function') exchange.front.on('/token', fault);
      else exchange.patch = fault;
      const failed = await world.ask(jar, '/crud/list');
      exchange.front.off('/token');
      exchange.patch = {};
      const body = await json(failed);
      assert.equal(`${failed.status} ${body['code']}`, expected);
      if (failed.status === 503) assert.match(failed.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
      assert.equal(body['login_url'], failed.status === 401 ? `${world.base}/auth/login` : undefined);
      if (failed.status === 401) assert.match(String(body['detail']), /crud.*new sign-in/);
      assert.doesNotMatch(JSON.stringify(body), /other\.example/);
      world.clock.advance(2_500);
      const again = await world.ask(jar, '/crud/list');
      assert.deepEqual([again.status, (await json(again))['aud']], [200, AUDIENCES.crud]);
    });
  }

  test('a token without expires_in lives as long as it says itself', async () => {
    const jar = await world.signIn('alice');
    world.exchange.patch = { answer: { expires_in: undefined } };
    assert.equal((await world.ask(jar, '/crud/list')).status, 200);
    const before = world.exchange.exchanged.length;
    assert.equal((await world.ask(jar, '/crud/list')).status, 200);
    assert.equal(world.exchange.exchanged.length, before, 'kept');
    world.exchange.patch = {};
  });

  test('an opaque token is judged by the scope of the answer', async () => {
    const opaque = { access_token: 'opaque-token-of-some-length' };
    const jar = await world.signIn('alice');
    world.exchange.patch = { answer: { ...opaque, scope: 'api.other' } };
    assert.equal((await json(await world.ask(jar, '/crud/list')))['code'], 'no_token_available');
    world.clock.advance(150);
    world.exchange.patch = { answer: { ...opaque, scope: 'api.read' } };
    assert.equal((await world.ask(jar, '/crud/list')).status, 401, 'the service itself knows no opaque token');
    assert.equal(world.services.crud.seen.at(-1)?.authorization, 'Bearer opaque-token-of-some-length');
    world.exchange.patch = {};
  });

  test('expected and received audience are in the log alone; so is the name of the service', () => {
    const lines = world.server.log.filter((line) => line['code'] === 'token_audience_mismatch');
    assert.match(String(lines[0]?.['reason']), /expected https:\/\/crud\.example\.test, received https:\/\/other/);
    const none = world.server.log.filter((line) => line['code'] === 'no_token_available');
    assert.ok(none.length > 0);
    for (const line of none) {
      assert.deepEqual([line['msg'], line['target_service']], ['NO_TOKEN_AVAILABLE service=crud', 'crud']);
    }
    const found = world.server.log.filter(({ msg }) => msg === 'request token_found=true service=crud');
    assert.ok(found.length > 0 && found.every((line) => line['token_found'] === true));
  });

  test('no token is in the log', () => {
    const text = JSON.stringify(world.server.log);
    assert.doesNotMatch(text, /eyJ[A-Za-z0-9_-]{10}|opaque-token-of/);
    for (const { body } of world.exchange.granted) {
      for (const name of ['access_token', 'refresh_token', 'id_token']) {
        const value = body[name];
        if (typeof value === 'string') assert.ok(!text.includes(value), name);
      }
    }
  });
});

describe('invalid_grant', () => {
  let world: TokenWorld;
  before(async () => {
    world = await startTokenWorld({ settings: VOLATILE });
  });
  after(() => world?.close());

  test('of the refresh token ends the session, as a refresh does', async () => {
    const jar = await world.signIn('alice');
    world.exchange.front.on('/token', answerJson({ error: 'invalid_grant' }, 400));
    assert.equal((await json(await world.ask(jar, '/analytics/list')))['code'], 'authentication_required');
    world.exchange.front.off('/token');
    assert.equal((await json(await world.ask(jar, '/own/list')))['code'], 'authentication_required');
  });

  test('a resource that the grant does not cover is no_token_available, and the session goes on', async () => {
    const jar = await world.signIn('alice');
    world.exchange.front.on('/token', answerJson({ error: 'invalid_target' }, 400));
    assert.equal((await json(await world.ask(jar, '/analytics/list')))['code'], 'no_token_available');
    world.exchange.front.off('/token');
    assert.equal((await world.ask(jar, '/own/list')).status, 200);
  });
});
