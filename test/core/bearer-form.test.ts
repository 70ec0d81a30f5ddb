import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { readTokenForm } from '../../src/core/bearer-form.ts';

const encode = (text: string | Buffer): string => Buffer.from(text).toString('base64url');
const token = (header: string | Buffer, payload: string | Buffer, signature = 'AAAA'): string =>
  `${encode(header)}.${encode(payload)}.${signature}`;

const HEADER = '{"alg":"ES256"}';

describe('the form of a token', () => {
  test('is read: header and payload as they are', () => {
    const payload = '{"sub":"a:b\\"}","deep":{"sub":{"sub":[{"x":1}]}},"list":["a:b",":"],"__proto__":{"y":1}}';
    const form = readTokenForm(token(HEADER, payload));
    assert.ok(typeof form !== 'string');
    assert.deepEqual(form.header, { alg: 'ES256' });
    assert.deepEqual(form.payload, JSON.parse(payload));
  });

  const refused: Readonly<Record<string, readonly [token: string, problem: string]>> = {
    nothing: ['', 'parts'],
    'one part': ['AAAA', 'parts'],
    'two parts': ['AAAA.AAAA', 'parts'],
    'two parts and a dot': ['AAAA.AAAA.', 'parts'],
    'no header': ['.AAAA.AAAA', 'parts'],
    'no payload': ['AAAA..AAAA', 'parts'],
    'four parts': ['AAAA.AAAA.AAAA.AAAA', 'parts'],
    'five parts, a JWE': ['AAAA.AAAA.AAAA.AAAA.AAAA', 'parts'],
    'more than 16 KiB': [token(HEADER, '{}', 'A'.repeat(16_384)), 'size'],
    padding: [`${encode(HEADER)}.e30=.AAAA`, 'base64url'],
    'standard base64': [token(HEADER, '{}', 'AA+/'), 'base64url'],
    'a blank inside': [token(HEADER, '{}', 'AA AA'), 'base64url'],
    'characters beyond ASCII': [token(HEADER, '{}', 'AAAé'), 'base64url'],
    'a length that no bytes have': [token(HEADER, '{}', 'AAAAA'), 'base64url'],
    'four spare bits set': [token(HEADER, '{}', 'AB'), 'base64url'],
    'two spare bits set': [token(HEADER, '{}', 'AAB'), 'base64url'],
    'JSON serialization': ['{"payload":"e30","signatures":[]}', 'parts'],
    'a header that is no JSON': [token('alg', '{}'), 'json'],
    'a header that is a list': [token('[]', '{}'), 'json'],
    'a payload that is null': [token(HEADER, 'null'), 'json'],
    'a payload that is text': [token(HEADER, 'hello'), 'json'],
    'a payload that is no UTF-8': [token(HEADER, Buffer.from([0x7b, 0xff, 0xfe, 0x7d])), 'json'],
    'a byte-order mark': [token(HEADER, '\ufeff{}'), 'json'],
    'one name twice in the header': [token('{"alg":"ES256","alg":"none"}', '{}'), 'duplicate_member'],
    'one name twice, once escaped': [token(HEADER, '{"sub":"a","\\u0073ub":"b"}'), 'duplicate_member'],
    'one name twice around an object': [token(HEADER, '{"sub":"a","x":{"sub":1},"sub":"b"}'), 'duplicate_member'],
    'crit of an unknown name': [token('{"alg":"ES256","crit":["x"],"x":1}', '{}'), 'crit'],
    'crit of b64': [token('{"alg":"ES256","crit":["b64"],"b64":false}', '{}'), 'crit'],
    'an empty crit': [token('{"alg":"ES256","crit":[]}', '{}'), 'crit'],
    'a kid that is a number': [token('{"alg":"ES256","kid":1}', '{}'), 'kid'],
    'a kid that is null': [token('{"alg":"ES256","kid":null}', '{}'), 'kid'],
    'a kid of 257 characters': [token(`{"alg":"ES256","kid":"${'a'.repeat(257)}"}`, '{}'), 'kid'],
  };
  for (const [what, [text, problem]] of Object.entries(refused)) {
    test(`is refused: ${what}`, () => assert.equal(readTokenForm(text), problem));
  }

  test('16 KiB is not too long, and deep JSON is read', () => {
    const deep = `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`;
    assert.ok(typeof readTokenForm(token(HEADER, deep)) !== 'string');
    const rest = 16_384 - token(HEADER, '{}', '').length;
    assert.ok(typeof readTokenForm(token(HEADER, '{}', 'A'.repeat(rest - (rest % 4)))) !== 'string');
  });

  test('whatever text comes, it is read or refused, never thrown at', () => {
    const odd = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fc.string(), { maxLength: 5 }).map((parts) => parts.join('.')),
      fc.array(fc.oneof(fc.uint8Array(), fc.json()), { maxLength: 4 }).map((parts) => {
        return parts.map((part) => Buffer.from(part as string).toString('base64url')).join('.');
      }),
    );
    fc.assert(fc.property(odd, (text) => void readTokenForm(text)));
  });

  test('an object is read exactly if no name occurs twice in it', () => {
    const names = fc.array(fc.string({ maxLength: 3 }), { maxLength: 6 });
    fc.assert(
      fc.property(names, fc.jsonValue(), (given, value) => {
        const members = given.map((name) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
        const form = readTokenForm(token(HEADER, `{${members.join(' , ')}}`));
        if (form === 'size') return;
        assert.equal(form === 'duplicate_member', new Set(given).size < given.length);
      }),
    );
  });
});
