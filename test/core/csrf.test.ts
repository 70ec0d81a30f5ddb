import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CsrfSettings } from '../../src/core/config/types-csrf.ts';
import { createKeyRing } from '../../src/core/crypto.ts';
import { compileCsrfProofs } from '../../src/core/csrf.ts';
import { load, SETTINGS } from './config/support.ts';
import { ask, brief, contextOf, servicesOf, sessionOf } from './world.ts';

const [K1, K2] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
const settings: CsrfSettings = { mode: 'token', header: 'X-CSRF', value: '1', cookie: 'bff_csrf' };
const [ALICE, BOB] = ['a'.repeat(43), 'b'.repeat(43)];

function proofsOf(mode: CsrfSettings['mode'], ...keys: readonly (readonly [string, Buffer])[]) {
  return compileCsrfProofs(
    { csrf: { ...settings, mode } },
    createKeyRing(keys.map(([id, secret]) => ({ id, secret }))),
  );
}

describe('the proof of mode header', () => {
  test('is the configured value, not just any', () => {
    const proofs = proofsOf('header', ['k1', K1]);
    assert.equal(proofs.tokenOf(ALICE), undefined);
    assert.equal(proofs.isProven(contextOf({ csrfProof: '1' }), ALICE), true);
    for (const csrfProof of ['', '0', '11', '1 '])
      assert.equal(proofs.isProven(contextOf({ csrfProof }), ALICE), false);
  });
});

describe('the proof of mode token', () => {
  const proofs = proofsOf('token', ['k1', K1]);
  const token = proofs.tokenOf(ALICE) ?? '';

  test('is the session’s own token: no other’s, no part of it, no other case, not the value of mode header', () => {
    assert.match(token, /^k1\.[A-Za-z0-9_-]{43}$/);
    assert.equal(proofs.isProven(contextOf({ csrfProof: token }), ALICE), true);
    const wrong = [
      '',
      '1',
      '.',
      'k1.',
      token.slice(3),
      token.slice(0, -1),
      `${token}A`,
      token.toUpperCase(),
      `${token} `,
    ];
    for (const csrfProof of [...wrong, proofs.tokenOf(BOB) ?? '', `k2${token.slice(2)}`, `__proto__.${token}`]) {
      assert.equal(proofs.isProven(contextOf({ csrfProof }), ALICE), false, csrfProof);
    }
    assert.equal(proofs.isProven(contextOf({ csrfProof: token }), BOB), false);
  });

  test('is read for every key of the ring and made with the first; without its key it is worth nothing', () => {
    const rotated = proofsOf('token', ['k2', K2], ['k1', K1]);
    assert.equal(rotated.isProven(contextOf({ csrfProof: token }), ALICE), true);
    assert.match(rotated.tokenOf(ALICE) ?? '', /^k2\./);
    assert.equal(proofsOf('token', ['k2', K2]).isProven(contextOf({ csrfProof: token }), ALICE), false);
    assert.equal(proofsOf('token', ['k1', K2]).isProven(contextOf({ csrfProof: token }), ALICE), false);
  });

  test('of a request without a session is that a header came at all', () => {
    assert.equal(proofs.isProven(contextOf({ csrfProof: 'x' }), undefined), true);
    assert.equal(proofs.isProven(contextOf({}), undefined), false);
  });
});

describe('verify.csrf: proof', () => {
  const post = { forwardedMethod: 'POST', origin: 'https://app.example.test', secFetchSite: 'same-origin' };
  const header = { settings: 'verify: {csrf: proof}\n' };
  const token = { settings: 'verify: {csrf: proof}\ncsrf: {mode: token}\n' };
  const own = servicesOf(token).csrf.tokenOf(sessionOf().locator) ?? '';
  const outcomes: readonly (readonly [string, object, typeof header, string])[] = [
    ['a proof and an origin pass', { ...post, csrfProof: '1' }, header, 'allow'],
    ['an origin alone does not', post, header, 'csrf_failed no_proof'],
    ['a proof alone does not', { forwardedMethod: 'POST', csrfProof: '1' }, header, 'csrf_failed no_origin'],
    [
      'a proof from elsewhere does not',
      { ...post, origin: 'https://evil.test', csrfProof: '1' },
      header,
      'csrf_failed origin',
    ],
    ['reading needs none', { forwardedMethod: 'GET' }, header, 'allow'],
    ['a handshake needs its Origin alone', { ...post, forwardedMethod: 'GET', webSocketKey: 'x' }, header, 'allow'],
    ['the token passes', { ...post, csrfProof: own }, token, 'allow'],
    ['the value of mode header does not', { ...post, csrfProof: '1' }, token, 'csrf_failed no_proof'],
  ];
  for (const [what, request, scene, expected] of outcomes) {
    test(`${what} (${scene.settings.includes('token') ? 'token' : 'header'})`, () => {
      assert.equal(brief(ask(request, scene)), expected);
    });
  }
});

test('two sites that share the readable cookie are warned of', () => {
  const second =
    '  other:\n    public_url: https://app.sub.example.com\n    cookie: {name: b, domain: sub.example.com}\n';
  const settings = SETTINGS.replace(
    'public_url: https://app.example.com\n',
    `public_url: https://app.example.com\n    cookie: {domain: example.com}\n${second}`,
  );
  assert.deepEqual(
    load({ settings }).warnings.filter((line) => line.includes('csrf')),
    [],
  );
  const warnings = load({ settings: `${settings}csrf: {mode: token}\n` }).warnings.filter((line) =>
    line.includes('csrf'),
  );
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /csrf.*: that of site main reaches hosts of site other/);
});
