import assert from 'node:assert/strict';
import { createHmac, createSecretKey, hkdfSync, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  createKeyRing,
  deriveKey,
  deriveMac,
  equalSecret,
  hmacBase64url,
  openBytes,
  randomToken,
  sealBytes,
  sealedKeyId,
  sealFingerprint,
  sha256Base64url,
} from '../../src/core/crypto.ts';
import { MacKey } from '../../src/core/mac.ts';

const LABELS = ['session', 'transaction', 'csrf', 'log', 'index'] as const;
const key = createSecretKey(Buffer.alloc(32, 1));
const otherKey = createSecretKey(Buffer.alloc(32, 2));
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));

describe('the key ring', () => {
  const a = { id: 'a', secret: Buffer.alloc(32, 1) };
  const b = { id: 'b', secret: Buffer.alloc(32, 2) };

  test('the first key writes, all are there, others are not', () => {
    const ring = createKeyRing([a, b]);
    assert.equal(ring.writerId, 'a');
    assert.deepEqual(ring.ids, ['a', 'b']);
    assert.notEqual(ring.find('b', 'session'), undefined);
    for (const id of ['c', '', 'a session', '__proto__']) assert.equal(ring.find(id, 'session'), undefined);
  });

  test('every label of every key is a key of its own', () => {
    const ring = createKeyRing([a, b]);
    const texts = ring.ids.flatMap((id) =>
      LABELS.map((label) => ring.find(id, label)?.sign('text', 'base64url') ?? ''),
    );
    assert.equal(new Set(texts).size, 10);
    for (const text of texts) assert.match(text, /^[A-Za-z0-9_-]{43}$/);
  });

  test('derivation is HKDF-SHA-256 by secret and label alone: neither order nor id matters', () => {
    const derived = Buffer.from(hkdfSync('sha256', a.secret, Buffer.alloc(0), 'sallyport index v1', 32));
    const wanted = createHmac('sha256', derived).update('text').digest('base64url');
    for (const [ring, id] of [
      [createKeyRing([a, b]), 'a'],
      [createKeyRing([b, { ...a, id: 'renamed' }]), 'renamed'],
    ] as const) {
      const key = ring.find(id, 'index');
      assert.ok(key !== undefined);
      assert.equal(hmacBase64url(key, 'text'), wanted);
    }
  });

  test('no key at all is a defect', () => assert.throws(() => createKeyRing([]), TypeError));

  test('a key derived from a context is the first block of HKDF-Expand', () => {
    const ring = createKeyRing([a]);
    const server = ring.find('a', 'session');
    assert.ok(server !== undefined);
    const derived = Buffer.from(hkdfSync('sha256', a.secret, Buffer.alloc(0), 'sallyport session v1', 32));
    const wanted = createHmac('sha256', derived).update('one\x01').digest();
    assert.deepEqual(deriveKey(server, 'one').export(), wanted);
    assert.notDeepEqual(deriveKey(server, 'two').export(), wanted);
    assert.equal(deriveMac(server, 'one').sign('x', 'base64url'), new MacKey(wanted).sign('x', 'base64url'));
  });
});

describe('sealing', () => {
  test('opens to the same bytes with the same key and binding', () => {
    fc.assert(
      fc.property(
        bytes,
        fc.string({ maxLength: 20 }),
        fc.string({ minLength: 1, maxLength: 12 }),
        (plain, aad, keyId) => {
          const sealed = sealBytes(key, keyId, plain, aad);
          assert.deepEqual(openBytes(key, sealed, aad), plain);
          assert.equal(sealedKeyId(sealed), Buffer.from(keyId).toString());
        },
      ),
    );
  });

  test('a change of any single byte, anywhere, makes it unreadable', () => {
    const sealed = sealBytes(key, 'k1', Buffer.from('the quick brown fox'), 'L:h');
    for (let at = 0; at < sealed.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const changed = Buffer.from(sealed);
        changed[at] = (changed[at] ?? 0) ^ flip;
        const id = sealedKeyId(changed);
        const isKeyIdByte = at === 2 || at === 3;
        // The key id chooses the key; it is not a secret and another id finds another key or none.
        if (isKeyIdByte) assert.notEqual(id, 'k1');
        else assert.equal(openBytes(key, changed, 'L:h'), undefined, `byte ${at}`);
      }
    }
  });

  test('cut, extended and foreign bytes never open and never throw', () => {
    const sealed = sealBytes(key, 'k1', Buffer.from('plain'), 'L:h');
    for (let length = 0; length < sealed.length; length++) {
      assert.equal(openBytes(key, sealed.subarray(0, length), 'L:h'), undefined);
    }
    assert.equal(openBytes(key, Buffer.concat([sealed, Buffer.alloc(1)]), 'L:h'), undefined);
    const idOfNoText = Buffer.concat([Buffer.from([1, 255]), Buffer.alloc(255, 0xff), Buffer.alloc(28)]);
    assert.equal(openBytes(key, idOfNoText, 'L:h'), undefined);
    const header = fc.constantFrom([1, 0], [1, 1, 0xff], [1, 4, 0xff, 0xff, 0xff, 0xff], [1, 255], [2, 2], []);
    fc.assert(
      fc.property(header, bytes, (start, rest) => {
        const odd = Buffer.concat([Buffer.from(start), rest]);
        assert.equal(openBytes(key, odd, 'L:h'), undefined);
        assert.doesNotThrow(() => sealFingerprint(odd));
      }),
      { numRuns: 1_000 },
    );
  });

  test('bound to its purpose: another binding or another key does not open it', () => {
    const sealed = sealBytes(key, 'k1', Buffer.from('plain'), 'L:h');
    for (const aad of ['L:c', 'M:h', 'L:h:v1', '', 'L:h ']) assert.equal(openBytes(key, sealed, aad), undefined, aad);
    assert.equal(openBytes(otherKey, sealed, 'L:h'), undefined);
  });

  test('equal plain texts give different bytes and different fingerprints', () => {
    const many = Array.from({ length: 200 }, () => sealBytes(key, 'k1', Buffer.from('plain'), 'L:h'));
    assert.equal(new Set(many.map((sealed) => sealed.toString('hex'))).size, 200);
    assert.equal(new Set(many.map(sealFingerprint)).size, 200);
    const [first] = many;
    assert.ok(first !== undefined);
    assert.equal(sealFingerprint(Buffer.from(first)), sealFingerprint(first));
    assert.equal(sealFingerprint(first).length, 12 + 16);
  });

  test('the plain text is not to be seen', () => {
    const secret = 'a-secret-that-is-easily-found';
    assert.ok(!sealBytes(key, 'k1', Buffer.from(secret), 'L:h').toString('latin1').includes(secret));
  });
});

describe('secrets and digests', () => {
  test('tokens are base64url of the asked size and never twice the same', () => {
    assert.match(randomToken(), /^[A-Za-z0-9_-]{43}$/);
    assert.match(randomToken(6), /^[A-Za-z0-9_-]{8}$/);
    assert.equal(new Set(Array.from({ length: 1_000 }, () => randomToken())).size, 1_000);
  });

  test('known answers', () => {
    assert.equal(sha256Base64url('abc'), 'ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0');
    assert.equal(hmacBase64url(new MacKey(Buffer.from('key')), 'x').length, 43);
  });

  test('comparison of secrets is plain equality, for any lengths', () => {
    const text = fc.string({ maxLength: 4, unit: 'binary' });
    fc.assert(
      fc.property(text, text, (a, b) => assert.equal(equalSecret(a, b), Buffer.from(a).equals(Buffer.from(b)))),
    );
    const long = randomBytes(64).toString('hex');
    assert.equal(equalSecret(long, long), true);
    assert.equal(equalSecret(long, `${long}0`), false);
    assert.equal(equalSecret('', long), false);
  });
});
