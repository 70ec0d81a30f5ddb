import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { AUDIENCE, briefly, createBearerWorld, ISSUER, type Patch } from './bearer-world.ts';
import { NOW } from './world.ts';

const NOW_S = NOW / 1000;
const ACTIVE = { active: true, sub: 'u1', aud: AUDIENCE, exp: NOW_S + 300, token_type: 'Bearer' };

/** A world whose provider answers what `answer` holds, and notes who was asked about. */
async function openWorld(issuer = {}) {
  const provider = { answer: ACTIVE as Patch | Error, asked: [] as string[] };
  const world = await createBearerWorld({
    issuer,
    introspect: async (token) => {
      provider.asked.push(token);
      if (provider.answer instanceof Error) throw provider.answer;
      return provider.answer;
    },
  });
  return { world, provider };
}

describe('introspection of opaque tokens', () => {
  const cases: readonly (readonly [what: string, answer: Patch, outcome: string])[] = [
    ['an active token for us', ACTIVE, 'caller u1'],
    ['one of several audiences', { ...ACTIVE, aud: ['x', AUDIENCE], iss: ISSUER }, 'caller u1'],
    ['an active one without an end', { ...ACTIVE, exp: undefined, token_type: undefined }, 'caller u1'],
    ['an inactive one', { active: false, sub: 'u1', aud: AUDIENCE }, 'bearer_inactive'],
    ['active as a text', { ...ACTIVE, active: 'true' }, 'bearer_inactive'],
    ['no audience', { ...ACTIVE, aud: undefined }, 'bearer_audience'],
    ['another audience', { ...ACTIVE, aud: ['x'] }, 'bearer_audience'],
    ['another issuer', { ...ACTIVE, iss: 'https://evil.example' }, 'bearer_issuer'],
    ['no subject', { ...ACTIVE, sub: undefined }, 'bearer_claims'],
    ['a subject with a line break', { ...ACTIVE, sub: 'u1\nadmin' }, 'bearer_claims'],
    ['an end that has passed', { ...ACTIVE, exp: NOW_S - 31 }, 'bearer_expired'],
    ['an end that is no number', { ...ACTIVE, exp: 'never' }, 'bearer_claims'],
    ['a beginning ahead', { ...ACTIVE, nbf: NOW_S + 31 }, 'bearer_not_yet_valid'],
    ['a bound token', { ...ACTIVE, cnf: { jkt: 'x' } }, 'bearer_sender_constrained'],
    ['a DPoP token', { ...ACTIVE, token_type: 'DPoP' }, 'bearer_typ'],
    ['a refresh token', { ...ACTIVE, token_type: 'refresh_token' }, 'bearer_typ'],
    ['a refresh token of Keycloak', { ...ACTIVE, token_type: undefined, typ: 'Refresh' }, 'bearer_typ'],
    ['scopes that are numbers', { ...ACTIVE, scope: [1] }, 'bearer_claims'],
  ];
  for (const [what, answer, outcome] of cases) {
    test(`${what}: ${outcome}`, async () => {
      const { world, provider } = await openWorld();
      provider.answer = answer;
      assert.equal(briefly(await world.check('opaque-token')), outcome);
    });
  }

  test('a required scope that the answer lacks is access denied', async () => {
    const { world, provider } = await openWorld({ requiredScopes: ['jobs'] });
    assert.equal(briefly(await world.check('a')), 'bearer_scope');
    provider.answer = { ...ACTIVE, scope: 'jobs more' };
    assert.equal(briefly(await world.check('b')), 'caller u1');
  });

  test('an answer is believed for the time of the cache, a refusal for seconds, and neither longer', async () => {
    const { world, provider } = await openWorld();
    await world.check('a');
    await world.check('a');
    assert.equal(provider.asked.length, 1);
    world.now += 30_000;
    provider.answer = { active: false };
    assert.equal(briefly(await world.check('a')), 'bearer_inactive');
    await world.check('a');
    assert.equal(provider.asked.length, 2);
    world.now += LIMITS.bearerRefusedTtlMs;
    await world.check('a');
    assert.equal(provider.asked.length, 3);
  });

  test('a cache of 0 asks for each request, but once for those that come together', async () => {
    const { world, provider } = await openWorld({ introspectionCacheMs: 0 });
    await Promise.all([world.check('a'), world.check('a'), world.check('a')]);
    assert.equal(provider.asked.length, 1);
    assert.equal(briefly(await world.check('a')), 'caller u1');
    assert.equal(provider.asked.length, 2);
  });

  test('a provider that is away refuses nobody, and is asked again', async () => {
    const { world, provider } = await openWorld();
    provider.answer = new SallyportError('idp_unavailable', { detail: 'test' });
    await assert.rejects(world.check('a'), { code: 'idp_unavailable' });
    provider.answer = ACTIVE;
    assert.equal(briefly(await world.check('a')), 'caller u1');
  });

  test('strangers cannot make us flood the provider: beyond a bound it is overload, and remembered tokens still pass', async () => {
    const { world, provider } = await openWorld();
    await world.check('good');
    const { promise, resolve } = Promise.withResolvers<void>();
    provider.asked.length = 0;
    const slow = await createBearerWorld({ introspect: () => promise.then(() => ({ active: false })) });
    const flood = Array.from({ length: LIMITS.bearerIntrospectionsMax }, (_, at) => slow.check(`stranger-${at}`));
    assert.equal(briefly(await slow.check('one-more')), 'bearer validations');
    resolve();
    assert.deepEqual(new Set((await Promise.all(flood)).map(briefly)), new Set(['bearer_inactive']));
    for (let at = 0; at < 10_000; at += 1) {
      provider.answer = { active: false };
      world.now += 1;
      await world.check(`invalid-${at}`);
    }
    provider.asked.length = 0;
    world.now -= 10_000;
    assert.equal(briefly(await world.check('good')), 'caller u1');
    assert.deepEqual(provider.asked, []);
  });
});

describe('introspection of signed tokens', () => {
  test('is asked after the signature held, and can only refuse', async () => {
    const { world, provider } = await openWorld();
    const token = await world.sign();
    assert.equal(briefly(await world.check(token)), 'caller u1');
    assert.deepEqual(provider.asked, [token]);
    provider.answer = { active: false };
    assert.equal(briefly(await world.check(await world.sign({ jti: 'j2' }))), 'bearer_inactive');
    provider.answer = { ...ACTIVE, sub: 'u2' };
    assert.equal(briefly(await world.check(await world.sign({ jti: 'j3' }))), 'bearer_claims');
  });

  test('never widens what the check of the token refused', async () => {
    const { world, provider } = await openWorld();
    const [head, payload, signature] = (await world.sign()).split('.');
    const wrong = [
      await world.sign({ aud: 'somebody' }),
      await world.sign({ exp: NOW_S - 31 }),
      `${head}.${payload}.${signature!.slice(0, -4)}AAAA`,
      `${head}.${payload}.`,
      `.${payload}.${signature}`,
      'a.b.c',
      '',
      'white space',
      'x'.repeat(LIMITS.tokenMaxChars + 1),
    ];
    for (const token of wrong) assert.equal((await world.check(token)).kind, 'refused', token.slice(0, 40));
    assert.deepEqual(provider.asked, []);
  });
});

test('without introspection an opaque token is refused by its form', async () => {
  const world = await createBearerWorld();
  assert.equal(briefly(await world.check('opaque-token')), 'bearer_parts');
});
