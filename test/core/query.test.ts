import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isSallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { findUrlValue, parseForm } from '../../src/core/query.ts';

const entries = (text: string): [string, string][] => [...parseForm(text)];

describe('queries and form bodies', () => {
  const table: readonly (readonly [text: string, values: readonly (readonly [string, string])[]])[] = [
    ['', []],
    ['&', []],
    ['&&a=1&', [['a', '1']]],
    ['a', [['a', '']]],
    ['a=', [['a', '']]],
    ['=a', [['', 'a']]],
    ['a=b=c', [['a', 'b=c']]],
    ['a;b=1', [['a;b', '1']]],
    ['a=1;b=2', [['a', '1;b=2']]],
    ['a+b=c+d', [['a b', 'c d']]],
    ['a=%2B', [['a', '+']]],
    ['%61=%C3%A9', [['a', 'é']]],
    [
      'A=1&a=2',
      [
        ['A', '1'],
        ['a', '2'],
      ],
    ],
    [
      '__proto__=1&constructor=2',
      [
        ['__proto__', '1'],
        ['constructor', '2'],
      ],
    ],
  ];
  for (const [text, values] of table) {
    test(JSON.stringify(text), () => assert.deepEqual(entries(text), values));
  }

  const refused: readonly (readonly [text: string, why: string])[] = [
    ['a=1&a=1', 'repeated'],
    ['a=1&%61=2', 'repeated in another spelling'],
    ['a&a', 'repeated without values'],
    ['a+b=1&a%20b=2', 'repeated with another blank'],
    ['a=%', 'cut escape'],
    ['a=%zz', 'bad escape'],
    ['%=1', 'bad escape in a name'],
    ['a=%ff', 'bad UTF-8'],
    ['a=%ed%a0%80', 'surrogate'],
    [Array.from({ length: LIMITS.queryParametersMax + 1 }, (_, index) => `a${index}`).join('&'), 'too many'],
    ['&'.repeat(LIMITS.queryParametersMax), 'too many empty ones'],
  ];
  for (const [text, why] of refused) {
    test(`refused: ${why}`, () => {
      assert.throws(
        () => parseForm(text),
        (error) => isSallyportError(error) && error.code === 'bad_request' && !error.message.includes(text),
      );
    });
  }

  test('as many parameters as the limit are read', () => {
    const text = Array.from({ length: LIMITS.queryParametersMax }, (_, index) => `a${index}=1`).join('&');
    assert.equal(parseForm(text).size, LIMITS.queryParametersMax);
  });
});

describe('the raw value of one parameter', () => {
  test('is decoded exactly once; a raw plus is a space and stays escaped, an escaped plus is a plus', () => {
    assert.equal(findUrlValue('x=1&return_to=%2Fa%3Fb%3D1%2B1+2', 'return_to'), '/a?b=1+1%202');
    assert.equal(findUrlValue('return_to=%252F', 'return_to'), '%2F');
    assert.equal(findUrlValue('return_to=a=b', 'return_to'), 'a=b');
  });

  test('is undefined where the name is absent, valueless or spelled differently', () => {
    for (const query of ['', 'a=1', 'return_to', 'Return_To=1', 'return%5Fto=1']) {
      assert.equal(findUrlValue(query, 'return_to'), undefined, query);
    }
  });
});

describe('properties of the parser', () => {
  test('it agrees with URLSearchParams where it accepts, and throws nothing but bad_request', () => {
    const piece = fc.constantFrom('a', 'b', '=', '&', '+', '%20', '%2B', '%C3%A9', '%', '%ff', ';', '__proto__', 'é');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        const text = pieces.join('');
        let parsed: [string, string][];
        try {
          parsed = entries(text);
        } catch (error) {
          assert.ok(isSallyportError(error) && error.code === 'bad_request');
          return;
        }
        assert.deepEqual(parsed, [...new URLSearchParams(text)]);
        for (const [name] of parsed) assert.doesNotThrow(() => findUrlValue(text, name));
      }),
      { numRuns: 3_000 },
    );
  });
});
