import assert from 'node:assert/strict';
import { createHash, type webcrypto } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { createProofCheck } from '../../src/core/bearer-proof.ts';
import { createDpopKey, generateDpopKey, isDpopSecret } from '../../src/core/dpop-key.ts';
import { LIMITS } from '../../src/core/limits.ts';
import type { PresentedToken } from '../../src/core/services.ts';

const NOW = 1_800_000_000_000;
const TOKEN = 'an-access-token';
const REQUEST = { method: 'GET', scheme: 'https', host: 'app.example.test', target: '/api/users/1?x=1' } as const;
const HTU = 'https://app.example.test/api/users/1';
const ATH = createHash('sha256').update(TOKEN).digest('base64url');

type Pair = {
  readonly alg: string;
  readonly jwk: JWK;
  readonly thumbprint: string;
  readonly privateKey: webcrypto.CryptoKey;
};
type Patch = Readonly<Record<string, unknown>>;

async function createPair(alg: string, options: object = {}): Promise<Pair> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true, ...options });
  const jwk = await exportJWK(publicKey);
  return { alg, jwk, privateKey, thumbprint: await calculateJwkThumbprint(jwk) };
}

let counter = 0;

/** A proof as the attack file's base has it, with differences; `undefined` drops a member. */
function proofOf(pair: Pair, claims: Patch = {}, header: Patch = {}): Promise<string> {
  counter += 1;
  const payload = { jti: `j-${counter}`, htm: 'GET', htu: HTU, iat: NOW / 1000, ath: ATH, ...claims };
  return new SignJWT(defined(payload))
    .setProtectedHeader({ alg: pair.alg, ...defined({ typ: 'dpop+jwt', jwk: pair.jwk, ...header }) })
    .sign(pair.privateKey);
}

function defined(members: Patch): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

function createCheck(nonceOf?: (period: number) => string) {
  const clock = { at: NOW, now: () => clock.at };
  const check = createProofCheck({ clock, maxAgeMs: 60_000, nonceOf });
  const find = (proof: string, thumbprint: string, different: Partial<PresentedToken> = {}) =>
    check.find({ token: TOKEN, proof, ...REQUEST, ...different }, thumbprint);
  return { clock, check, find };
}

describe('a proof of possession', () => {
  let ec: Pair;
  before(async () => {
    ec = await createPair('ES256');
  });

  for (const alg of ['ES256', 'ES384', 'ES512', 'EdDSA', 'PS256', 'RS256']) {
    test(`signed by ${alg} is taken once`, async () => {
      const pair = await createPair(alg);
      const { find } = createCheck();
      const proof = await proofOf(pair);
      assert.equal(find(proof, pair.thumbprint), undefined);
      assert.equal(find(proof, pair.thumbprint), 'replay');
    });
  }

  test('of our own making is taken', () => {
    const key = generateDpopKey();
    const proof = key.proof({ method: 'GET', url: `${HTU}?y=2#z`, accessToken: TOKEN, now: NOW });
    assert.equal(createCheck().find(proof, key.thumbprint), undefined);
    assert.equal(createDpopKey(key.secret).thumbprint, key.thumbprint);
  });

  const accepted: Readonly<Record<string, Patch>> = {
    'a host in other case and the default port': { htu: 'https://APP.example.test:443/api/users/1' },
    'a query and a fragment of its own': { htu: `${HTU}?other=1#part` },
    'an age of exactly a minute': { iat: NOW / 1000 - 60 },
    'a clock that is ahead by half a minute': { iat: NOW / 1000 + 30 },
    'fractions of a second': { iat: NOW / 1000 - 0.5 },
  };
  for (const [what, claims] of Object.entries(accepted)) {
    test(`is taken with ${what}`, async () => {
      assert.equal(createCheck().find(await proofOf(ec, claims), ec.thumbprint), undefined);
    });
  }

  const refused: Readonly<Record<string, readonly [problem: string, claims?: Patch, header?: Patch]>> = {
    'another type': ['form', {}, { typ: 'JWT' }],
    'a type in capitals': ['form', {}, { typ: 'DPOP+JWT' }],
    'no type': ['form', {}, { typ: undefined }],
    'no key': ['key', {}, { jwk: undefined }],
    'a key that is a text': ['key', {}, { jwk: 'key' }],
    'no jti': ['form', { jti: undefined }],
    'an empty jti': ['form', { jti: '' }],
    'a jti without end': ['form', { jti: 'j'.repeat(LIMITS.dpopJtiMaxChars + 1) }],
    'another method': ['target', { htm: 'POST' }],
    'the method in lower case': ['target', { htm: 'get' }],
    'another host': ['target', { htu: 'https://evil.test/api/users/1' }],
    'the address of verify': ['target', { htu: 'http://bff.internal:8080/auth/verify' }],
    'plain http': ['target', { htu: 'http://app.example.test/api/users/1' }],
    'another path': ['target', { htu: 'https://app.example.test/api/admin' }],
    'a path in other case': ['target', { htu: 'https://app.example.test/API/users/1' }],
    'a slash more': ['target', { htu: `${HTU}/` }],
    'a path alone': ['target', { htu: '/api/users/1' }],
    'a user in the address': ['target', { htu: 'https://u@app.example.test/api/users/1' }],
    'no address': ['target', { htu: undefined }],
    'another token': ['token', { ath: createHash('sha256').update('other').digest('base64url') }],
    'no token': ['token', { ath: undefined }],
    'an age of more than a minute': ['age', { iat: NOW / 1000 - 61 }],
    'a time in the future': ['age', { iat: NOW / 1000 + 31 }],
    'no time': ['form', { iat: undefined }],
    'a time as text': ['form', { iat: String(NOW / 1000) }],
  };
  for (const [what, [problem, claims, header]] of Object.entries(refused)) {
    test(`is refused with ${what}: ${problem}`, async () => {
      assert.equal(createCheck().find(await proofOf(ec, claims, header), ec.thumbprint), problem);
    });
  }

  test('is refused with the private part of its key, whatever member shows it', async () => {
    for (const member of ['d', 'p', 'k', 'oth']) {
      const proof = await proofOf(ec, {}, { jwk: { ...ec.jwk, [member]: 'AQ' } });
      assert.equal(createCheck().find(proof, ec.thumbprint), 'key', member);
    }
  });

  test('is refused for another key than the token is bound to, and with the signature of one', async () => {
    const other = await createPair('ES256');
    assert.equal(createCheck().find(await proofOf(other), ec.thumbprint), 'binding');
    assert.equal(createCheck().find(await proofOf(other, {}, { jwk: ec.jwk }), ec.thumbprint), 'signature');
  });

  test('is refused with a key of another kind than its algorithm, none, or a weak one', async () => {
    const [rsa, weak] = [await createPair('RS256'), await createPair('RS256', { modulusLength: 2048 })];
    assert.equal(createCheck().find(await proofOf(ec, {}, { jwk: rsa.jwk }), ec.thumbprint), 'key');
    assert.equal(createCheck().find(await proofOf(weak, {}, { jwk: ec.jwk }), ec.thumbprint), 'key');
    const [, payload] = (await proofOf(ec)).split('.');
    for (const alg of ['none', 'HS256', 'ES256K', 'RS384', 1, undefined]) {
      const header = Buffer.from(JSON.stringify({ typ: 'dpop+jwt', alg, jwk: ec.jwk })).toString('base64url');
      assert.equal(createCheck().find(`${header}.${payload}.AAAA`, ec.thumbprint), 'alg', String(alg));
    }
  });

  test('is refused where it is none', () => {
    for (const [proof, problem] of [
      ['', 'missing'],
      ['a.b', 'form'],
      ['a.b.c', 'form'],
      [`${'a'.repeat(LIMITS.dpopProofMaxChars)}.b.c`, 'form'],
    ] as const) {
      assert.equal(createCheck().find(proof, ec.thumbprint), problem, proof.slice(0, 10));
    }
  });

  test('that was used may not be used again as long as it is young, and another key may use its name', async () => {
    const { clock, find } = createCheck();
    const proof = await proofOf(ec, { jti: 'same', iat: NOW / 1000 + 30 });
    assert.equal(find(proof, ec.thumbprint), undefined);
    clock.at = NOW + 89_000;
    assert.equal(find(proof, ec.thumbprint), 'replay');
    clock.at = NOW + 91_000;
    assert.equal(find(proof, ec.thumbprint), 'age');
    clock.at = NOW;
    const other = await createPair('ES256');
    assert.equal(find(await proofOf(other, { jti: 'same' }), other.thumbprint), undefined);
  });

  test('that fails is not used up: its owner can correct the rest', async () => {
    const { find } = createCheck();
    const proof = await proofOf(ec);
    assert.equal(find(proof, ec.thumbprint, { method: 'POST' }), 'target');
    assert.equal(find(proof, ec.thumbprint), undefined);
  });

  test('must hold a nonce of this or the last minute where one is demanded', async () => {
    const { clock, check, find } = createCheck((period) => `n-${period}`);
    const nonce = check.nonce();
    assert.equal(find(await proofOf(ec), ec.thumbprint), 'nonce');
    assert.equal(find(await proofOf(ec, { nonce: 1 }), ec.thumbprint), 'nonce');
    assert.equal(find(await proofOf(ec, { nonce }), ec.thumbprint), undefined);
    clock.at += 60_000;
    assert.equal(find(await proofOf(ec, { nonce }), ec.thumbprint), undefined);
    clock.at += 60_000;
    assert.equal(find(await proofOf(ec, { nonce, iat: clock.at / 1000 }), ec.thumbprint), 'nonce');
  });
});

describe('the number of a key', () => {
  test('is neither zero nor as large as the order of the curve', () => {
    assert.equal(isDpopSecret(Buffer.alloc(32).toString('base64url')), false);
    assert.equal(isDpopSecret(Buffer.alloc(32, 0xff).toString('base64url')), false);
    assert.equal(isDpopSecret(Buffer.alloc(32, 1).toString('base64url')), true);
  });
});
