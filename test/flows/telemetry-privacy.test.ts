import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isPersonal, isPersonalName, withoutQuery } from '../../src/flows/telemetry-privacy.ts';

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl';

/** What must never be kept, in the spellings that people and libraries produce. */
const PERSONAL: Readonly<Record<string, readonly string[]>> = {
  'e-mail addresses': [
    'alice@example.com',
    'ALICE+tag@EXAMPLE.COM',
    'mailto:alice@example.com',
    'alice%40example.com',
    'alice%2540example.com',
    'alice＠example.com',
    'alice﹫example.com',
    'alice&#64;example.com',
    'alice\\u0040example.com',
    'alice(at)example.com',
    'alice at example.com',
    'alice at example dot com',
    'ali\u200bce\u200b@example.com',
  ],
  tokens: [
    JWT,
    'Bearer abc',
    'bearer:abc',
    'DPoP abc',
    'eyJhbGci',
    'dGhpcyBpcyBhIHNlY3JldCB0b2tlbg',
    'sk_live_51H8xYzAbCdEfGh',
    'ghp_16C7e42F292c6912E7710c838347Ae178B4a',
    '550e8400-e29b-41d4-a716-446655440000',
    'd41d8cd98f00b204e9800998ecf8427e',
    'AbCdEfGhIjKlMnOp',
    'V1StGXR8_Z5jdHi6B-myT',
  ],
  'long numbers': [
    '4111111111111111',
    '4111 1111 1111 1111',
    '4111-1111-1111-1111',
    '+49 171 1234567',
    '030.1234.5678',
    '078-05-1120',
    '2026-11-22',
    'order/12345',
    '１２３４５６７８',
    '١٢٣٤٥٦٧٨',
    '%31%32%33%34%35%36',
    '1_2_3_4_5_6_7',
  ],
  'IP addresses': [
    '192.0.2.1',
    '192.0.2.1:443',
    'from 10.0.0.1',
    '10.0.0.1/24',
    '::1',
    '2001:db8::1',
    'fe80::1%eth0',
    '::ffff:192.0.2.1',
    '00:1a:2b:3c:4d:5e',
    '１９２.０.２.１',
    '192%2E0%2E2%2E1',
  ],
  'queries and escapes': [
    '/p;id=1',
    '/p&id=1',
    'a=b',
    '/p%3Fid%3D1',
    'a\nb',
    'a"b',
    'a\\b',
    'a{b}',
    'a\u0000b',
    'a\u2028b',
  ],
  'what is too long': ['a '.repeat(33)],
};

const HARMLESS = [
  '',
  'good',
  'needs-improvement',
  '/checkout/confirmation',
  '/users/42/orders',
  'ShoppingCartPage',
  'checkout_payment_method',
  'Firefox 131',
  'v1.2.3',
  '4g',
  'es2022',
  'GET /api/items',
  'latency: high',
  'h1-b2',
];

describe('the filter of personal data', () => {
  for (const [kind, texts] of Object.entries(PERSONAL)) {
    for (const text of texts) {
      test(`finds ${kind}: ${JSON.stringify(text)}`, () => assert.equal(isPersonal(text), true));
    }
  }

  for (const text of HARMLESS) {
    test(`lets ${JSON.stringify(text)} pass`, () => assert.equal(isPersonal(text), false));
  }

  test('cuts queries and fragments off', () => {
    assert.deepEqual(['/a?b=c', '/a#b', '?a', '/a'].map(withoutQuery), ['/a', '/a', '', '/a']);
  });

  test('knows labels that name people', () => {
    assert.deepEqual(['email', 'user_id', 'userid', 'session', 'access_token', 'q_string'].map(isPersonalName), [
      true,
      true,
      true,
      true,
      true,
      false,
    ]);
    assert.deepEqual(['page', 'rating', 'component', 'name'].map(isPersonalName), [false, false, false, false]);
  });

  test('takes no longer for hostile texts than for others', () => {
    for (const text of ['1 '.repeat(32), 'a.'.repeat(32), `${'at '.repeat(20)}`, ':'.repeat(64)]) isPersonal(text);
    isPersonal('9'.repeat(1_000_000));
  });
});
