import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  BulkCursor,
  encodeCommand,
  RespError,
  RespFramer,
  RespProtocolError,
  type RespValue,
  readErrorCode,
  readReply,
} from '../../src/core/resp-codec.ts';

const leaf: fc.Arbitrary<RespValue> = fc.oneof(
  fc.constant(null),
  fc.integer({ min: -1e9, max: 1e9 }),
  fc.stringMatching(/^[A-Za-z ]{0,20}$/),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc.stringMatching(/^[A-Z]{3,10}$/).map((code) => new RespError(code)),
);
const reply: fc.Arbitrary<RespValue> = fc.oneof(
  { weight: 1, arbitrary: leaf },
  { weight: 2, arbitrary: fc.array(fc.oneof(leaf, fc.array(leaf, { maxLength: 5 })), { maxLength: 6 }) },
);

function encode(value: RespValue): Buffer {
  if (value === null) return Buffer.from('$-1\r\n');
  if (typeof value === 'number') return Buffer.from(`:${value}\r\n`);
  if (typeof value === 'string') return Buffer.from(`+${value}\r\n`);
  if (value instanceof RespError) return Buffer.from(`-${value.code} and what it says\r\n`);
  if (Buffer.isBuffer(value)) return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]);
  const list = value as readonly RespValue[];
  return Buffer.concat([Buffer.from(`*${list.length}\r\n`), ...list.map(encode)]);
}

/** The bytes in chunks that end at the given places. */
function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
}

function readAll(chunks: readonly Buffer[], maxBytes = 1e6): RespValue[] {
  const found: RespValue[] = [];
  const framer = new RespFramer(maxBytes, (bytes, start) => found.push(readReply(bytes, start)));
  for (const chunk of chunks) if (chunk.length > 0) framer.push(chunk);
  return found;
}

describe('RESP2', () => {
  test('replies are the same wherever the stream is split', () => {
    fc.assert(
      fc.property(fc.array(reply, { maxLength: 8 }), fc.array(fc.nat(10_000), { maxLength: 40 }), (replies, cuts) => {
        const bytes = Buffer.concat(replies.map(encode));
        assert.deepEqual(readAll(split(bytes, cuts)), replies);
      }),
      { numRuns: 500 },
    );
  });

  test('one byte at a time', () => {
    fc.assert(
      fc.property(fc.array(reply, { maxLength: 3 }), (replies) => {
        const bytes = Buffer.concat(replies.map(encode));
        assert.deepEqual(readAll([...bytes].map((byte) => Buffer.from([byte]))), replies);
      }),
      { numRuns: 50 },
    );
  });

  test('bytes that are no RESP2 end in a protocol error or wait for more, and in nothing else', () => {
    const piece = fc.oneof(
      fc.constantFrom('*', '$', '+', '-', ':', '\r\n', '\n', '\r', '-1', '4', '99999', 'x', '_', '%'),
      fc.string({ maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.array(fc.nat(200), { maxLength: 10 }), (pieces, cuts) => {
        try {
          readAll(split(Buffer.from(pieces.join('')), cuts), 1_000);
        } catch (error) {
          assert.ok(error instanceof RespProtocolError, String(error));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('a reply above the bound is refused by what it announces, before it comes', () => {
    const announced = ['$1001\r\n', `*2\r\n$600\r\n${'a'.repeat(600)}\r\n$600\r\n`, '*300\r\n'];
    for (const text of announced) assert.throws(() => readAll([Buffer.from(text)], 1_000), RespProtocolError, text);
    assert.throws(() => readAll([Buffer.alloc(5_000, 'a')], 1e6), RespProtocolError);
    assert.deepEqual(readAll([Buffer.from(`$990\r\n${'a'.repeat(990)}\r\n`)], 1_000), [Buffer.alloc(990, 'a')]);
  });

  test('a length that does not lead to CR LF is refused', () => {
    assert.throws(() => readAll([Buffer.from('$3\r\nabcd\r\n')]), RespProtocolError);
    assert.throws(() => readAll([Buffer.from('+OK\n')]), RespProtocolError);
    assert.throws(() => readAll([Buffer.from(':1x\r\n')]), RespProtocolError);
  });

  test('nothing is passed on after a stop', () => {
    let count = 0;
    const framer = new RespFramer(100, () => {
      count += 1;
      framer.stop();
    });
    framer.push(Buffer.from('+a\r\n+b\r\n'));
    framer.push(Buffer.from('+c\r\n'));
    assert.equal(count, 1);
  });

  test('a cursor finds the elements of a list of bulk strings, and says what is none', () => {
    const cursor = new BulkCursor();
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.uint8Array({ maxLength: 20 }), { nil: null }), { minLength: 1, maxLength: 5 }),
        fc.nat(20),
        (items, before) => {
          const list = items.map((item) => (item === null ? null : Buffer.from(item)));
          const bytes = Buffer.concat([Buffer.alloc(before, 'x'), encode(list)]);
          assert.equal(cursor.open(bytes, before, list.length), true);
          for (const item of list) {
            assert.equal(cursor.next(), true);
            assert.deepEqual(cursor.start === -1 ? null : bytes.subarray(cursor.start, cursor.end), item);
          }
          assert.equal(cursor.open(bytes, before, list.length + 1), false);
        },
      ),
    );
    assert.equal(cursor.open(Buffer.from('+OK\r\n'), 0, 4), false);
    assert.equal(cursor.open(Buffer.from('*1\r\n:5\r\n'), 0, 1) && cursor.next(), false);
  });

  test('an error is known by its code alone', () => {
    assert.equal(readErrorCode(Buffer.from('-LOADING Redis is loading\r\n'), 0), 'LOADING');
    assert.equal(readErrorCode(Buffer.from('-wrong\r\n'), 0), 'ERR');
    assert.equal(readErrorCode(Buffer.from('+OK\r\n'), 0), undefined);
  });

  test('a command counts bytes, not characters', () => {
    assert.equal(encodeCommand(['AUTH', 'pässwörd']), '*2\r\n$4\r\nAUTH\r\n$10\r\npässwörd\r\n');
  });
});
