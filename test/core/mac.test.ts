import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MacKey } from '../../src/core/mac.ts';

const secrets = fc.uint8Array({ maxLength: 64 });
const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('a'.repeat(341), 'é'.repeat(342), '€'.repeat(2_000)),
);

describe('a MAC', () => {
  test('is what node:crypto makes of the same key and text, whatever was signed before', () => {
    fc.assert(
      fc.property(secrets, fc.array(texts, { minLength: 1, maxLength: 4 }), (secret, all) => {
        const key = new MacKey(secret);
        for (const text of all) {
          const wanted = createHmac('sha256', secret).update(text).digest();
          assert.equal(key.sign(text, 'base64url'), wanted.toString('base64url'));
          assert.equal(key.sign(text, 'binary'), wanted.toString('latin1'));
        }
      }),
      { numRuns: 500 },
    );
  });

  test('takes no key that is longer than a block', () => {
    assert.doesNotThrow(() => new MacKey(new Uint8Array(64)));
    assert.throws(() => new MacKey(new Uint8Array(65)), TypeError);
  });
});
