import type { HttpResponse } from 'uWebSockets.js';
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { HeaderList } from '../../src/core/header-list.ts';
import { writeAllow } from '../../src/core/reply.ts';

describe('a list of identity headers', () => {
  const value = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) });
  const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,20}$/);

  test('is what it was made of, and so is its block, line by line', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), (pairs) => {
        const list = new HeaderList(pairs.flat());
        assert.deepEqual(list.pairs, pairs.flat());
        assert.deepEqual(list.block.split('\r\n'), ['no-store', ...pairs.map(([key, text]) => `${key}: ${text}`)]);
        assert.equal(list.unwritable, -1);
      }),
    );
  });

  test('is written without being taken apart', () => {
    const list = new HeaderList(['X-A', 'a']);
    Object.defineProperty(list, 'pairs', { get: () => assert.fail('it was taken apart') });
    const written: string[] = [];
    const response = { writeHeader: (...header: string[]) => written.push(...header), end: () => {} };
    writeAllow(response as unknown as HttpResponse, list, false);
    assert.deepEqual(written, ['cache-control', 'no-store\r\nX-A: a']);
  });

  for (const [what, pairs] of [
    ['a line end in a value', ['X-A', 'a', 'X-B', 'b\r\nset-cookie: x=1']],
    ['a lone line feed in a value', ['X-A', 'a', 'X-B', 'b\nx']],
    ['a character beyond ASCII', ['X-A', 'a', 'X-B', 'b\u00e4']],
    ['a character beyond one byte', ['X-A', 'a', 'X-B', '\u010d']],
    ['a colon in a name', ['X-A', 'a', 'X-B:', 'b']],
    ['an empty name', ['X-A', 'a', '', 'b']],
  ] as const) {
    test(`cannot be written with ${what}`, () => {
      const list = new HeaderList(pairs);
      assert.deepEqual([list.pairs, list.block, list.unwritable], [pairs, '', 2]);
      const untouchable = {} as HttpResponse;
      assert.throws(() => writeAllow(untouchable, list, false), { name: 'TypeError', message: /cannot be written/ });
    });
  }
});
