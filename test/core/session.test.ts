import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createKeyRing, sealedKeyId } from '../../src/core/crypto.ts';
import { locatorOf, openPart, sealPart, sessionKey } from '../../src/core/session.ts';
import { HANDLE, hotOf, OTHER_HANDLE, principalOf } from './world.ts';

const k1 = { id: 'k1', secret: Buffer.alloc(32, 1) };
const k2 = { id: 'k2', secret: Buffer.alloc(32, 2) };
const ring = createKeyRing([k1]);
const locator = locatorOf(HANDLE);

describe('handles and locators', () => {
  test('the locator is the SHA-256 of the handle, needs no key, and does not hold the handle', () => {
    assert.match(locator, /^[A-Za-z0-9_-]{43}$/);
    assert.notEqual(locator, HANDLE);
    assert.equal(locatorOf(HANDLE), locator);
    assert.notEqual(locatorOf(OTHER_HANDLE), locator);
  });
});

describe('sealed parts of a record', () => {
  const hot = hotOf({ sid: 's1', acr: 'mfa' });
  const sealed = sealPart(ring, HANDLE, locator, 'h', hot);

  test('open to what was sealed; absent members stay absent', () => {
    assert.deepEqual(openPart(ring, HANDLE, locator, 'h', sealed), hot);
    const bare = openPart(ring, HANDLE, locator, 'h', sealPart(ring, HANDLE, locator, 'h', hotOf())) as {
      sid?: string;
    };
    assert.equal(bare.sid, undefined);
  });

  test('need the handle, the locator, the part and the server key, each of them', () => {
    const other = createKeyRing([{ id: 'k1', secret: k2.secret }]);
    assert.equal(openPart(ring, OTHER_HANDLE, locator, 'h', sealed), undefined);
    assert.equal(openPart(ring, HANDLE, locatorOf(OTHER_HANDLE), 'h', sealed), undefined);
    assert.equal(openPart(ring, HANDLE, locator, 'c', sealed), undefined);
    assert.equal(openPart(other, HANDLE, locator, 'h', sealed), undefined);
    assert.equal(openPart(createKeyRing([k2]), HANDLE, locator, 'h', sealed), undefined);
  });

  test('after a rotation the old key still reads and the new one writes', () => {
    const rotated = createKeyRing([k2, k1]);
    assert.deepEqual(openPart(rotated, HANDLE, locator, 'h', sealed), hot);
    const resealed = sealPart(rotated, HANDLE, locator, 'h', hot);
    assert.equal(sealedKeyId(resealed), 'k2');
    assert.deepEqual(openPart(createKeyRing([k2]), HANDLE, locator, 'h', resealed), hot);
    assert.equal(openPart(ring, HANDLE, locator, 'h', resealed), undefined);
  });

  test('hold neither handle nor token nor subject in the clear, and never look the same twice', () => {
    const text = sealed.toString('latin1');
    for (const secret of [HANDLE, hot.accessToken, hot.principal.email, 'alice', 'principal']) {
      assert.ok(!text.includes(secret), secret);
    }
    assert.notDeepEqual(sealPart(ring, HANDLE, locator, 'h', hot), sealed);
  });

  test('no damage makes them open or throw', () => {
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(sealed);
        damaged[at] = (damaged[at] ?? 0) ^ flip;
        assert.equal(openPart(ring, HANDLE, locator, 'h', damaged), undefined);
      }),
      { numRuns: 1_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        assert.equal(openPart(ring, HANDLE, locator, 'h', Buffer.from(bytes)), undefined);
      }),
    );
  });

  test('claims of any JSON survive', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (claims) => {
        const value = hotOf({ principal: principalOf({ claims }) });
        const text = JSON.stringify(value);
        const opened = openPart(ring, HANDLE, locator, 'h', sealPart(ring, HANDLE, locator, 'h', value));
        assert.equal(JSON.stringify(opened), text);
      }),
    );
  });

  test('the session key is one for both parts, and none for an unknown server key', () => {
    assert.deepEqual(sessionKey(ring, 'k1', HANDLE)?.export(), sessionKey(ring, 'k1', HANDLE)?.export());
    assert.notDeepEqual(sessionKey(ring, 'k1', HANDLE)?.export(), sessionKey(ring, 'k1', OTHER_HANDLE)?.export());
    assert.equal(sessionKey(ring, 'k9', HANDLE), undefined);
  });
});
