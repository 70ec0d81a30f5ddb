// A flood of invalid bearer tokens: what it costs, whom it hits, and what it leaves alone.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createLocalJWKSet, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { compileAddressMatcher } from '../../src/core/address.ts';
import { findClaimProblem } from '../../src/core/bearer-claims.ts';
import { createBearerRation } from '../../src/core/bearer-ration.ts';
import { REFUSALS, refuseBound, TOO_MANY_INVALID } from '../../src/core/bearer-refusals.ts';
import { createRefusedTokens } from '../../src/core/bearer-refused.ts';
import { validationOptions } from '../../src/core/bearer-token.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { AUDIENCE, type BearerWorld, briefly, createBearerWorld, ISSUER } from './bearer-world.ts';
import { NOW } from './world.ts';

const FLOODER = '198.51.100.1';
const NEWCOMER = '203.0.113.99';
const OVERLOADED = 'invalid bearer tokens';

/** Distinct tokens whose signature alone is wrong. */
async function createForge(world: BearerWorld): Promise<(at: number) => string> {
  const token = await world.sign();
  const signed = token.slice(0, token.lastIndexOf('.') + 1);
  return (at) => signed + Buffer.alloc(64, String(at).padStart(8, '0')).toString('base64url');
}

/** One second of 10,000 of them; how they were answered. */
async function flood(world: BearerWorld, forge: (at: number) => string, fromOf: (at: number) => string) {
  const outcomes = new Map<string, number>();
  for (let at = 0; at < 10_000; at += 1) {
    if (at % 10 === 0) world.now += 1;
    const outcome = briefly(await world.check(forge(at), fromOf(at)));
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  return outcomes;
}

describe('10,000 distinct invalid tokens in a second', () => {
  test('are looked at within the ration, and every valid one stays remembered', async () => {
    const world = await createBearerWorld({ cacheEntries: 20 });
    const valid = await Promise.all(Array.from({ length: 20 }, (_, at) => world.sign({ jti: `${at}` })));
    for (const token of valid) await world.check(token);
    world.lookUps.length = 0;
    const outcomes = await flood(world, await createForge(world), () => FLOODER);
    const looked = outcomes.get('bearer_signature') ?? 0;
    assert.equal(looked + (outcomes.get(OVERLOADED) ?? 0), 10_000);
    const most = LIMITS.bearerRefusalsBurst + LIMITS.bearerRefusalsPerSecond;
    assert.ok(looked >= LIMITS.bearerRefusalsPerSecond && looked <= most, `${looked} signatures`);
    assert.equal(world.lookUps.length, looked);
    for (const token of valid) assert.equal(briefly(world.ask(token, FLOODER) as never), 'caller u1');
    assert.equal(world.lookUps.length, looked);
  });

  test('from one client leave room for a token that was not seen yet, from any other', async () => {
    const world = await createBearerWorld();
    const forge = await createForge(world);
    await flood(world, forge, () => FLOODER);
    for (let at = 0; at < 300; at += 1) {
      assert.equal(briefly(await world.check(forge(20_000 + at), FLOODER)), OVERLOADED);
      assert.equal(briefly(await world.check(await world.sign({ jti: `new-${at}` }), NEWCOMER)), 'caller u1');
    }
    // Behind the same address it is a lottery; it is lost until there is room again.
    const late = await world.sign({ jti: 'late' });
    assert.equal(briefly(await world.check(late, FLOODER)), OVERLOADED);
    world.now += 1000;
    assert.equal(briefly(await world.check(late, FLOODER)), 'caller u1');
  });

  test('from one IPv6 subscriber with many addresses are from one client', async () => {
    const world = await createBearerWorld();
    const forge = await createForge(world);
    await flood(world, forge, (at) => `2001:db8:1:2::${at.toString(16)}`);
    assert.equal(briefly(await world.check(await world.sign({ jti: 'v6' }), '2001:db8:1:3::1')), 'caller u1');
  });

  test('from a client that invents addresses in front of its own are from one client', async () => {
    const world = await createBearerWorld();
    const forge = await createForge(world);
    await flood(world, forge, (at) => `192.0.2.${at % 250}, ${FLOODER}`);
    assert.equal(briefly(await world.check(await world.sign({ jti: 'x' }), NEWCOMER)), 'caller u1');
  });

  test('from thousands of clients take the whole ration, and no more: a newcomer comes again', async () => {
    const world = await createBearerWorld();
    const outcomes = await flood(world, await createForge(world), (at) => `100.64.${(at >> 8) & 255}.${at & 255}`);
    const most = LIMITS.bearerRefusalsBurst + LIMITS.bearerRefusalsPerSecond;
    assert.ok((outcomes.get('bearer_signature') ?? 0) <= most);
    const token = await world.sign({ jti: 'y' });
    assert.equal(briefly(await world.check(token, NEWCOMER)), OVERLOADED);
    world.now += 2 * (1000 / LIMITS.bearerRefusalsPerSecond);
    assert.equal(briefly(await world.check(token, NEWCOMER)), 'caller u1');
  });

  test('do not turn what is malformed, of another algorithm or refused before into overload', async () => {
    const world = await createBearerWorld();
    const forge = await createForge(world);
    await flood(world, forge, () => FLOODER);
    assert.equal(briefly(await world.check('no.token', FLOODER)), 'bearer_parts');
    assert.equal(briefly(await world.check(`${forge(1)}=`, FLOODER)), 'bearer_base64url');
    assert.equal(briefly(await world.check(await world.sign({}, { typ: 'JWT' }), FLOODER)), 'bearer_typ');
    assert.equal(briefly(await world.check(forge(0), FLOODER)), 'bearer_signature');
  });
});

describe('the ration', () => {
  const trusted = compileAddressMatcher(['10.0.0.0/24']);
  const from = (address: string) => ({ peer: new Uint8Array([10, 0, 0, 5]), forwardedFor: address });

  test('asks for nobody’s address in calm times', () => {
    const ration = createBearerRation(trusted);
    const asker = {
      get peer(): Uint8Array {
        throw new Error('asked for');
      },
      get forwardedFor(): string {
        throw new Error('asked for');
      },
    };
    for (let at = 0; at < LIMITS.bearerRefusalsBurst; at += 1) assert.equal(ration.take(asker, NOW), true);
    assert.equal(ration.take(asker, NOW), false);
    ration.giveBack();
    assert.equal(ration.take(asker, NOW), true);
  });

  test('keeps half for those who had few refusals, and forgives the others with time', () => {
    const ration = createBearerRation(trusted);
    let taken = 0;
    const takeAll = (address: string, now: number): number => {
      const before = taken;
      while (ration.take(from(address), now)) {
        taken += 1;
        ration.countRefusal(address, now);
      }
      return taken - before;
    };
    assert.equal(takeAll('192.0.2.9', NOW), LIMITS.bearerRefusalsBurst / 2);
    // As many as nobody is held to account for.
    assert.equal(takeAll('192.0.2.1', NOW), LIMITS.bearerClientRefusalsBurst);
    assert.equal(takeAll('192.0.2.2', NOW), LIMITS.bearerClientRefusalsBurst);
    assert.equal(ration.take(from('192.0.2.1'), NOW), false);
    const forgivenMs = 1000 / LIMITS.bearerClientRefusalsPerSecond;
    assert.equal(ration.take(from('192.0.2.1'), NOW + 2 * forgivenMs), true);
  });

  test('remembers a bounded number of clients, the one with the latest refusal in any case', () => {
    const ration = createBearerRation(trusted);
    for (let at = 0; at < LIMITS.bearerClientRefusalsBurst; at += 1) ration.countRefusal('192.0.2.1', NOW);
    const use = (): number => {
      let count = 0;
      while (ration.take(from('192.0.2.1'), NOW)) count += 1;
      for (let at = 0; at < count; at += 1) ration.giveBack();
      return count;
    };
    assert.equal(use(), LIMITS.bearerRefusalsBurst / 2);
    for (let at = 0; at < LIMITS.bearerClientsMax; at += 1) ration.countRefusal(`c${at}`, NOW);
    assert.equal(use(), LIMITS.bearerRefusalsBurst);
  });

  test('neither gives more nor less for a clock that is set', () => {
    const ration = createBearerRation(trusted);
    const count = (now: number): number => {
      let taken = 0;
      while (ration.take(from('192.0.2.1'), now)) taken += 1;
      return taken;
    };
    assert.equal(count(NOW), LIMITS.bearerRefusalsBurst);
    assert.equal(count(NOW - 60_000), 0);
    assert.equal(count(NOW - 59_000), LIMITS.bearerRefusalsPerSecond);
    assert.equal(count(NOW + 3_600_000), LIMITS.bearerRefusalsBurst);
  });
});

describe('the memory of refused tokens', () => {
  test('is exact, ends, and is bounded: the oldest go first', () => {
    const refused = createRefusedTokens();
    const tail = 't'.repeat(40);
    refused.remember(`a${tail}`, REFUSALS.signature, NOW);
    assert.equal(refused.find(`a${tail}`, NOW + LIMITS.bearerRefusedTtlMs - 1), REFUSALS.signature);
    assert.equal(refused.find(`b${tail}`, NOW), undefined);
    assert.equal(refused.find(`a${tail}`, NOW + LIMITS.bearerRefusedTtlMs), undefined);
    for (let at = 0; at < LIMITS.bearerRefusedMax; at += 1) refused.remember(`x${at}`, REFUSALS.scope, NOW);
    assert.equal(refused.find(`a${tail}`, NOW), undefined);
    assert.equal(refused.find('x0', NOW), REFUSALS.scope);
  });
});

test('overload says nothing about the token, whatever the scheme', () => {
  assert.equal(refuseBound(TOO_MANY_INVALID), TOO_MANY_INVALID);
  assert.deepEqual([TOO_MANY_INVALID.code, TOO_MANY_INVALID.retryAfterS], ['overloaded', 1]);
});

test('the look at the claims before the signature refuses exactly what jose would refuse after it', async () => {
  const odd = fc.constantFrom<unknown>(null, '', 'x', 0, [], {}, true);
  const maybe = (usual: fc.Arbitrary<unknown>) =>
    fc.oneof(
      { weight: 12, arbitrary: usual },
      { weight: 1, arbitrary: odd },
      { weight: 1, arbitrary: fc.constant(undefined) },
    );
  const around = fc
    .oneof(fc.integer({ min: -40, max: 40 }), fc.constantFrom(-31, -30, -29.5, 29.5, 30, 31))
    .map((offset) => NOW / 1000 + offset);
  const claims = fc.record({
    iss: maybe(fc.constant(ISSUER)),
    aud: maybe(fc.constantFrom<unknown>(AUDIENCE, [AUDIENCE], ['x', AUDIENCE], ['x'], [[AUDIENCE]])),
    sub: fc.constantFrom('u1', undefined),
    exp: maybe(around),
    nbf: maybe(around),
  });
  const world = await createBearerWorld();
  const keys = createLocalJWKSet({ keys: [world.key.jwk] });
  const accepted = { true: 0, false: 0 };
  await fc.assert(
    fc.asyncProperty(claims, fc.integer({ min: 0, max: 999 }), async (given, ms) => {
      const payload = JSON.parse(JSON.stringify(given)) as JWTPayload;
      const token = await new SignJWT(payload)
        .setProtectedHeader({ alg: 'ES256', kid: 'ec-1' })
        .sign(world.key.privateKey);
      const isValid = await jwtVerify(token, keys, validationOptions(world.settings, NOW + ms)).then(
        () => true,
        () => false,
      );
      accepted[`${isValid}`] += 1;
      assert.equal(findClaimProblem(payload, world.settings, NOW + ms) === undefined, isValid);
    }),
    { numRuns: 500 },
  );
  assert.ok(accepted.true > 10 && accepted.false > 10, JSON.stringify(accepted));
});
