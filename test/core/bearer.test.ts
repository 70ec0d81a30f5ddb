import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { findSchemeToken } from '../../src/core/bearer.ts';
import { createAcceptedTokens } from '../../src/core/bearer-cache.ts';
import { isSallyportError, SallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import {
  AUDIENCE,
  briefly,
  callerOf,
  createBearerWorld,
  createTestKey,
  type Patch,
  refusalOf,
} from './bearer-world.ts';
import { NOW, sessionOf } from './world.ts';

const NOW_S = NOW / 1000;
const DOWN = new SallyportError('service_timeout', { detail: 'test' });

describe('the Authorization header', () => {
  const cases: readonly (readonly [header: string, token: string | undefined])[] = [
    ['', undefined],
    ['Bearer abc', 'abc'],
    ['bearer abc', 'abc'],
    ['BEARER   abc', 'abc'],
    ['Bearer', ''],
    ['Bearer ', ''],
    ['Bearer a b', 'a b'],
    ['Bearer a,b', 'a,b'],
    ['Bearerabc', undefined],
    ['Bearer\tabc', undefined],
    ['Bear', undefined],
    ['Basic YTpi', undefined],
    ['DPoP abc', undefined],
    [' Bearer abc', undefined],
    ['\u0002earer abc', undefined],
  ];
  for (const [header, token] of cases) {
    test(`${JSON.stringify(header)} holds ${token === undefined ? 'no bearer token' : JSON.stringify(token)}`, () => {
      assert.equal(findSchemeToken(header, 'bearer'), token);
    });
  }
});

describe('a valid token', () => {
  test('says who its bearer is, through the provider’s claim mapping', async () => {
    const world = await createBearerWorld();
    const token = await world.sign({
      preferred_username: 'ann',
      roles: ['user', 'editor'],
      scope: 'read write',
      acr: 'gold',
      auth_time: NOW_S - 60,
    });
    const { session } = callerOf(await world.check(token));
    const { principal, scopes, acr, authTime, tokenExpiresAt } = session.hot;
    assert.deepEqual(
      [principal.issuer, principal.subject, principal.username],
      ['https://idp.example.test', 'u1', 'ann'],
    );
    assert.deepEqual([principal.roles, scopes, acr], [['user', 'editor'], ['read', 'write'], 'gold']);
    assert.deepEqual([authTime, tokenExpiresAt], [NOW - 60_000, NOW + 300_000]);
    const headers = new Map(
      session.headers.pairs.flatMap((text, at, all) => (at % 2 === 0 ? [[text, all[at + 1]]] : [])),
    );
    assert.equal(headers.get('Authorization'), `Bearer ${token}`);
    assert.equal(headers.get('X-User-Roles'), 'user,editor');
    assert.equal(headers.get('X-Auth-Session'), '');
  });

  test('goes on in Authorization and in no other header', async () => {
    const world = await createBearerWorld({
      identityHeaders: [
        { name: 'authorization', source: { kind: 'token', raw: false } },
        { name: 'X-Forwarded-Access-Token', source: { kind: 'token', raw: true } },
        { name: 'X-User-Id', source: { kind: 'principal', field: 'user_id', list: 'first' } },
      ],
    });
    const token = await world.sign();
    const { session } = callerOf(await world.check(token));
    assert.deepEqual(session.headers.pairs, [
      'authorization',
      `Bearer ${token}`,
      'X-Forwarded-Access-Token',
      '',
      'X-User-Id',
      'u1',
    ]);
  });

  const scopes: readonly (readonly [claims: Patch, scopes: readonly string[]])[] = [
    [{ scope: ' read  write ' }, ['read', 'write']],
    [{ scp: 'read write' }, ['read', 'write']],
    [{ scp: ['read', 'write'] }, ['read', 'write']],
    [{}, []],
  ];
  for (const [claims, expected] of scopes) {
    test(`with ${JSON.stringify(claims)} has the scopes ${JSON.stringify(expected)}`, async () => {
      const world = await createBearerWorld();
      assert.deepEqual(callerOf(await world.check(await world.sign(claims))).session.hot.scopes, expected);
    });
  }

  const accepted: Readonly<Record<string, readonly [claims: Patch, header: Patch]>> = {
    'typ in capitals, as a whole media type': [{}, { typ: 'Application/AT+JWT' }],
    'an audience among others': [{ aud: ['x', AUDIENCE] }, {}],
    'an end that is over within the tolerance': [{ exp: NOW_S - 29 }, {}],
    'a beginning that is near within the tolerance': [{ nbf: NOW_S + 29, iat: NOW_S + 29 }, {}],
    'no iat': [{ iat: undefined }, {}],
    'no kid, with one key': [{}, { kid: undefined }],
    'keys of its own, which nobody reads': [
      {},
      { jku: 'https://evil.test', x5u: 'https://evil.test', jwk: { kty: 'EC' } },
    ],
    'members that nobody knows': [{ foo: 'bar' }, { foo: 'bar' }],
  };
  for (const [what, [claims, header]] of Object.entries(accepted)) {
    test(`is accepted: ${what}`, async () => {
      const world = await createBearerWorld();
      assert.equal(briefly(await world.check(await world.sign(claims, header))), 'caller u1');
    });
  }
});

describe('an invalid token', () => {
  const refused: Readonly<Record<string, readonly [reason: string, claims: Patch, header?: Patch]>> = {
    'another issuer': ['bearer_issuer', { iss: 'https://idp.example.test/' }],
    'a list of issuers': ['bearer_issuer', { iss: ['https://idp.example.test'] }],
    'no issuer': ['bearer_issuer', { iss: undefined }],
    'the type of another token': ['bearer_typ', {}, { typ: 'logout+jwt' }],
    'no type': ['bearer_typ', {}, { typ: undefined }],
    'a type with a tail': ['bearer_typ', {}, { typ: 'at+jwt; charset=utf-8' }],
    'an unknown key': ['bearer_key', {}, { kid: 'ec-2' }],
    'a key of a prototype': ['bearer_key', {}, { kid: '__proto__' }],
    'an end in the past': ['bearer_expired', { exp: NOW_S - 31 }],
    'no end': ['bearer_claims', { exp: undefined }],
    'an end that is text': ['bearer_claims', { exp: String(NOW_S + 300) }],
    'a beginning in the future': ['bearer_not_yet_valid', { nbf: NOW_S + 31 }],
    'a beginning that is text': ['bearer_claims', { nbf: '0' }],
    'issued in the future': ['bearer_not_yet_valid', { iat: NOW_S + 31 }],
    'issued at a text': ['bearer_claims', { iat: 'now' }],
    'an audience that merely begins like ours': ['bearer_audience', { aud: `${AUDIENCE}.evil.test` }],
    'an audience of lists': ['bearer_audience', { aud: [[AUDIENCE]] }],
    'no audience': ['bearer_claims', { aud: undefined }],
    'no subject': ['bearer_claims', { sub: undefined }],
    'an empty subject': ['bearer_claims', { sub: '' }],
    'a subject that is a number': ['bearer_claims', { sub: 1 }],
    'a subject with a line break': ['bearer_claims', { sub: 'u\r\nX-User-Roles: admin' }],
    'scopes as an object': ['bearer_claims', { scope: { admin: true } }],
    'scopes that are no text': ['bearer_claims', { scp: ['read', 1] }],
    'bound to a malformed key': ['bearer_sender_constrained', { cnf: { jkt: 'thumb' } }],
    'bound to a key, and brought as Bearer': ['bearer_sender_constrained', { cnf: { jkt: 'k'.repeat(43) } }],
    'bound to a certificate': ['bearer_sender_constrained', { cnf: { 'x5t#S256': 'thumb' } }],
    'bound to a key and a certificate': [
      'bearer_sender_constrained',
      { cnf: { jkt: 'k'.repeat(43), 'x5t#S256': 'thumb' } },
    ],
    'bound to something unknown': ['bearer_sender_constrained', { cnf: null }],
  };
  for (const [what, [reason, claims, header]] of Object.entries(refused)) {
    test(`is refused: ${what}`, async () => {
      const world = await createBearerWorld();
      const refusal = refusalOf(await world.check(await world.sign(claims, header)));
      assert.deepEqual([refusal.reason, refusal.code], [reason, 'invalid_token']);
      assert.match(refusal.description, /^[A-Za-z0-9 ]+$/);
    });
  }

  test('of another algorithm is refused before any key is looked for', async () => {
    const world = await createBearerWorld({ issuer: { algs: ['PS256'] } });
    assert.equal(briefly(await world.check(await world.sign())), 'bearer_alg');
    assert.deepEqual(world.lookUps, []);
  });

  test('without a scope that its issuer must give is valid but may not pass', async () => {
    const world = await createBearerWorld({ issuer: { requiredScopes: ['api'] } });
    const refusal = refusalOf(await world.check(await world.sign({ scope: 'apis' })));
    assert.deepEqual([refusal.reason, refusal.code], ['bearer_scope', 'access_denied']);
    assert.equal(briefly(await world.check(await world.sign({ scope: 'x api' }))), 'caller u1');
  });

  test('under the key of a stranger is refused', async () => {
    const world = await createBearerWorld();
    const stranger = await createTestKey('ec-1');
    assert.equal(briefly(await world.check(await world.sign({}, {}, stranger))), 'bearer_signature');
  });

  test('without a kid is refused where several keys fit', async () => {
    const world = await createBearerWorld();
    world.published = [world.key, await createTestKey('ec-2')];
    assert.equal(briefly(await world.check(await world.sign({}, { kid: undefined }))), 'bearer_key');
  });

  test('is any text at all: nothing throws, nothing but the token itself is accepted', async () => {
    const world = await createBearerWorld();
    const good = await world.sign();
    const changed = fc
      .tuple(fc.nat(good.length - 1), fc.nat(2), fc.string({ unit: 'binary', maxLength: 2 }))
      .map(([at, cut, text]) => good.slice(0, at) + text + good.slice(at + cut));
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string({ unit: 'binary' }), changed), async (text) => {
        assert.equal((await world.check(text)).kind, text === good ? 'caller' : 'refused');
      }),
    );
  });
});

describe('remembered results', () => {
  test('a token is validated once, and answered at once from then on', async () => {
    const world = await createBearerWorld();
    const token = await world.sign();
    const first = await world.check(token);
    assert.equal(callerOf(world.ask(`${token}`)), first);
    assert.equal(world.lookUps.length, 1);
  });

  test('the same token a hundred times at once is one validation', async () => {
    const world = await createBearerWorld();
    const token = await world.sign();
    const results = await Promise.all(Array.from({ length: 100 }, () => world.check(token)));
    assert.equal(new Set(results).size, 1);
    assert.equal(world.lookUps.length, 1);
  });

  test('a result ends with the token and its tolerance', async () => {
    const world = await createBearerWorld();
    const token = await world.sign({ exp: NOW_S + 60 });
    await world.check(token);
    world.now = NOW + 90_000 - 1;
    assert.equal(briefly(callerOf(world.ask(token))), 'caller u1');
    world.now = NOW + 90_000;
    assert.equal(briefly(await world.check(token)), 'bearer_expired');
  });

  test('a result does not outlive the keys: a withdrawn one is noticed', async () => {
    const world = await createBearerWorld({ keysMaxAgeMs: 60_000 });
    const token = await world.sign();
    await world.check(token);
    world.published = [await createTestKey('ec-2')];
    world.now = NOW + 59_999;
    assert.equal(briefly(callerOf(world.ask(token))), 'caller u1');
    world.now = NOW + 60_000;
    assert.equal(briefly(await world.check(token)), 'bearer_key');
  });

  test('10,000 distinct invalid tokens turn no valid one out', async () => {
    // RSA: five times as fast to verify.
    const world = await createBearerWorld({ cacheEntries: 2, alg: 'RS256' });
    const exp = NOW_S + 3_600;
    const tokens = [await world.sign({ sub: 'u1', exp }), await world.sign({ sub: 'u2', exp })];
    await Promise.all(tokens.map((token) => world.check(token)));
    const [header, payload = '', signature] = (tokens[0] ?? '').split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Patch;
    for (let batch = 0; batch < 20; batch += 1) {
      world.now += (500 * 1000) / LIMITS.bearerRefusalsPerSecond;
      const flood = Array.from({ length: 500 }, (_, at) => {
        const body = JSON.stringify({ ...claims, jti: `${batch}-${at}` });
        return world.check(`${header}.${Buffer.from(body).toString('base64url')}.${signature}`);
      });
      assert.deepEqual(new Set((await Promise.all(flood)).map(briefly)), new Set(['bearer_signature']));
    }
    for (const token of tokens) assert.equal(callerOf(world.ask(token)).kind, 'caller');
    const validations = world.lookUps.filter((lookUp) => tokens.some((token) => token.includes(lookUp.payload)));
    assert.deepEqual([validations.length, world.lookUps.length], [2, 10_002]);
  });

  test('what its claims alone refuse costs no validation, and none of the ration', async () => {
    const world = await createBearerWorld();
    for (let at = 0; at < LIMITS.bearerRefusalsBurst + 1; at += 1) {
      const expired = `e30.e30.${String(at).padStart(4, '0')}`;
      assert.equal(briefly(await world.check(expired)), 'bearer_alg');
    }
    const wrong: readonly (readonly [claims: Patch, reason: string])[] = [
      [{ exp: NOW_S - 31 }, 'bearer_expired'],
      [{ nbf: NOW_S + 31 }, 'bearer_not_yet_valid'],
      [{ aud: 'other' }, 'bearer_audience'],
      [{ iss: 'https://other.test' }, 'bearer_issuer'],
      [{ sub: '' }, 'bearer_claims'],
      [{ cnf: {} }, 'bearer_sender_constrained'],
    ];
    for (const [claims, reason] of wrong) {
      const [header, payload] = (await world.sign(claims)).split('.');
      for (let at = 0; at < LIMITS.bearerRefusalsBurst; at += 1) {
        const forged = Buffer.alloc(64, String(at)).toString('base64url');
        assert.equal(briefly(await world.check(`${header}.${payload}.${forged}`)), reason);
      }
    }
    assert.deepEqual(world.lookUps, []);
    assert.equal(briefly(await world.check(await world.sign())), 'caller u1');
  });

  test('a scope that is missing is told to nobody whose signature is wrong', async () => {
    const world = await createBearerWorld({ issuer: { requiredScopes: ['api'] } });
    const stranger = await createTestKey('ec-1');
    assert.equal(briefly(await world.check(await world.sign({}, {}, stranger))), 'bearer_signature');
  });

  test('a header that was seen in a valid token vouches for no other', async () => {
    const world = await createBearerWorld();
    const token = await world.sign();
    await world.check(token);
    const [header = '', payload, signature] = token.split('.');
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const others: readonly (readonly [header: string, reason: string])[] = [
      [header, 'bearer_signature'],
      [part({ alg: 'none', kid: 'ec-1', typ: 'at+jwt' }), 'bearer_alg'],
      [part({ alg: 'ES256', kid: 'ec-1', typ: 'JWT' }), 'bearer_typ'],
      [part({ alg: 'ES256', kid: 'ec-1', typ: 'at+jwt', crit: [] }), 'bearer_crit'],
    ];
    for (const [changed, reason] of others) {
      assert.equal(briefly(await world.check(`${changed}.${payload}.${signature?.replace(/.{4}$/, 'AAAA')}`)), reason);
    }
  });

  test('malformed tokens cost no validation and leave nothing behind', async () => {
    const world = await createBearerWorld();
    const token = await world.sign();
    for (let at = 0; at < 1_000; at += 1) {
      const result = world.ask(`${token}.${at}`);
      assert.ok(!(result instanceof Promise));
      assert.equal(briefly(result), 'bearer_parts');
    }
    assert.deepEqual(world.lookUps, []);
  });

  test('a refusal is remembered for ten seconds', async () => {
    const world = await createBearerWorld();
    const token = await world.sign({}, {}, await createTestKey('ec-1'));
    await world.check(token);
    assert.equal(briefly(await world.check(token)), 'bearer_signature');
    assert.equal(world.lookUps.length, 1);
    world.now += LIMITS.bearerRefusedTtlMs;
    await world.check(token);
    assert.equal(world.lookUps.length, 2);
  });

  test('nothing is remembered with cache_entries: 0', async () => {
    const world = await createBearerWorld({ cacheEntries: 0 });
    const token = await world.sign();
    await world.check(token);
    await world.check(token);
    assert.equal(world.lookUps.length, 2);
  });
});

describe('the memory of valid tokens', () => {
  const caller = { kind: 'caller', session: sessionOf(), thumbprint: '' } as const;

  test('is bounded in number: the oldest go first', () => {
    const accepted = createAcceptedTokens(2, 1_000);
    for (const name of ['a', 'b', 'c']) accepted.remember(name, caller, NOW + 1, NOW);
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => accepted.find(name, NOW) !== undefined),
      [false, true, true],
    );
  });

  test('is bounded in length, and a replaced or swept token frees its own', () => {
    const accepted = createAcceptedTokens(100, 10);
    accepted.remember('aaaa', caller, NOW + 1, NOW);
    for (let round = 0; round < 5; round += 1) accepted.remember('bbbb', caller, NOW + 1, NOW);
    assert.ok(accepted.find('aaaa', NOW));
    accepted.remember('cccc', caller, NOW + 9, NOW);
    assert.deepEqual([accepted.find('aaaa', NOW), accepted.find('bbbb', NOW)], [undefined, caller]);
    accepted.remember('dddd', caller, NOW + 9, NOW + 2);
    assert.ok(accepted.find('cccc', NOW + 2));
    assert.ok(accepted.find('dddd', NOW + 2));
  });

  test('compares the whole token: the end of a known signature opens nothing and harms nothing', async () => {
    const world = await createBearerWorld();
    const token = await world.sign();
    await world.check(token);
    const other = await world.sign({ sub: 'admin' });
    const forged = other.slice(0, -40) + token.slice(-40);
    assert.equal(briefly(await world.check(forged)), 'bearer_signature');
    assert.equal(briefly(callerOf(world.ask(token))), 'caller u1');
  });
});

describe('the provider’s keys', () => {
  const isOutage = (error: unknown): boolean => isSallyportError(error) && error.code === 'idp_unavailable';

  test('a new key is used as soon as it is published: nothing remembers that it was unknown', async () => {
    const world = await createBearerWorld();
    const next = await createTestKey('ec-2');
    const token = await world.sign({}, {}, next);
    assert.equal(briefly(await world.check(token)), 'bearer_key');
    world.published = [world.key, next];
    assert.equal(briefly(await world.check(token)), 'caller u1');
  });

  test('an outage refuses nobody: idp_unavailable, and remembered tokens go on', async () => {
    const world = await createBearerWorld();
    const [known, fresh] = [await world.sign(), await world.sign({ sub: 'u2' })];
    await world.check(known);
    world.published = DOWN;
    await assert.rejects(world.check(fresh), isOutage);
    assert.equal(briefly(callerOf(world.ask(known))), 'caller u1');
    world.published = [world.key];
    assert.equal(briefly(await world.check(fresh)), 'caller u2');
  });

  test('a provider that never answered is asked once in a while, however many tokens come', async () => {
    const world = await createBearerWorld();
    const token = await world.sign();
    world.published = DOWN;
    for (let at = 0; at < 20; at += 1) await assert.rejects(world.check(await world.sign({ jti: `${at}` })), isOutage);
    assert.equal(world.lookUps.length, 1);
    world.now += LIMITS.jwksRetryMs;
    world.published = [world.key];
    assert.equal(briefly(await world.check(token)), 'caller u1');
  });

  test('an unknown key shortly after a failed look is an outage, later a wrong token', async () => {
    const world = await createBearerWorld();
    const next = await createTestKey('ec-2');
    await world.check(await world.sign());
    world.published = DOWN;
    await assert.rejects(world.check(await world.sign({}, {}, next)), isOutage);
    world.published = [world.key];
    await assert.rejects(world.check(await world.sign({}, {}, next)), isOutage);
    assert.equal(briefly(await world.check(await world.sign({ sub: 'u3' }))), 'caller u3');
    world.now += LIMITS.jwksCooldownMs;
    assert.equal(briefly(await world.check(await world.sign({}, {}, next))), 'bearer_key');
  });

  test('more validations at once than the bound are overload', async () => {
    const world = await createBearerWorld();
    const token = await world.sign();
    const [header, payload] = token.split('.');
    const forge = (at: number): string => {
      const signature = Buffer.alloc(64);
      signature.writeUInt32BE(at, 0);
      return `${header}.${payload}.${signature.toString('base64url')}`;
    };
    const running = Array.from({ length: LIMITS.bearerValidationsMax }, (_, at) => world.ask(forge(at)));
    const { code, retryAfterS } = refusalOf(await world.check(forge(running.length)));
    assert.deepEqual([code, retryAfterS], ['overloaded', 1]);
    await Promise.all(running);
    // The ration of refusals is used up as well.
    world.now += 1000 / LIMITS.bearerRefusalsPerSecond;
    assert.equal(briefly(await world.check(token, '203.0.113.8')), 'caller u1');
  });
});
