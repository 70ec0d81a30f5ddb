import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CONFLICTING_HANDLE, compileHandleFinder, cookiePairs, findCookie, NO_HANDLE } from '../../src/core/cookie.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { HANDLE, OTHER_HANDLE, readAttacks } from './world.ts';

/** The form of a handle, said plainly. */
const isHandle = (text: string): boolean => /^[A-Za-z0-9_-]{43}$/.test(text);

type CookieCase = {
  readonly id: string;
  readonly input: string | readonly string[];
  readonly cookie_name: string;
  readonly raw: string | null;
  readonly expect: string | null;
  readonly why: string;
};

const cases = readAttacks<CookieCase>('cookies');
const headerOf = ({ input }: CookieCase): string => (typeof input === 'string' ? input : input.join('; '));

const findHandle = compileHandleFinder('bff_session');

describe('the session handle of a Cookie header', () => {
  for (const attack of cases) {
    test(`${attack.id}: ${attack.why}`, () => {
      const found = compileHandleFinder(attack.cookie_name)(headerOf(attack));
      assert.equal(found === NO_HANDLE || found === CONFLICTING_HANDLE ? null : found, attack.expect);
    });
  }

  test('two different values are told apart from no value', () => {
    const one = `bff_session=${HANDLE}`;
    const table: readonly (readonly [header: string, found: string])[] = [
      [`${one}; bff_session=${OTHER_HANDLE}`, CONFLICTING_HANDLE],
      [`bff_session=${OTHER_HANDLE}; a=1; ${one}`, CONFLICTING_HANDLE],
      [`${one}; bff_session=`, CONFLICTING_HANDLE],
      [`bff_session=short; ${one}`, CONFLICTING_HANDLE],
      [`${one}; bff_session=${HANDLE.toLowerCase()}`, CONFLICTING_HANDLE],
      [`${one};${one} ;\t${one}`, HANDLE],
      ['bff_session=short; bff_session=short', NO_HANDLE],
      ['bff_session=; bff_session=', NO_HANDLE],
    ];
    for (const [header, found] of table) assert.equal(findHandle(header), found, header);
  });

  test('a header above the limit counts as no cookie, one at the limit is read', () => {
    const pair = `; bff_session=${HANDLE}`;
    const filler = 'a='.padEnd(LIMITS.cookieHeaderMaxChars - pair.length, 'x');
    assert.equal(findHandle(filler + pair), HANDLE);
    assert.equal(findHandle(`${filler}x${pair}`), NO_HANDLE);
    assert.deepEqual(cookiePairs(`${filler}x${pair}`), []);
  });

  test('neither sentinel can be mistaken for a handle', () => {
    assert.equal(isHandle(NO_HANDLE), false);
    assert.equal(isHandle(CONFLICTING_HANDLE), false);
  });
});

describe('one cookie of a header', () => {
  for (const attack of cases) {
    test(`${attack.id} has the first value of a byte-exact split`, () => {
      assert.equal(findCookie(headerOf(attack), attack.cookie_name).value ?? null, attack.raw);
    });
  }

  test('pairs come in order, nameless ones are left out, only the first = splits', () => {
    const pairs = cookiePairs(' a=1;;=x; b ;c==; d = e ;\ta=2\t');
    assert.deepEqual(pairs, [
      ['a', '1'],
      ['c', '='],
      ['d ', ' e'],
      ['a', '2'],
    ]);
  });

  test('another value of the same name is noticed, the same value is not', () => {
    assert.deepEqual(findCookie('a=1; a=1', 'a'), { value: '1', conflicting: false });
    assert.deepEqual(findCookie('a=1; a=2', 'a'), { value: '1', conflicting: true });
    assert.deepEqual(findCookie('b=1', 'a'), { value: undefined, conflicting: false });
  });
});

const NAME = 'sid';
const part = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('sid', '=', '; ', ';', ' ', '\t', HANDLE, OTHER_HANDLE, 'x', '"', 'Sid') },
  { weight: 1, arbitrary: fc.string({ maxLength: 3, unit: 'binary' }) },
);
const header = fc.array(part, { maxLength: 14 }).map((parts) => parts.join(''));
const pairsOfNames = fc
  .array(fc.tuple(fc.constantFrom(NAME, 'xsid', 'sidx'), fc.constantFrom(HANDLE, OTHER_HANDLE, 'x', '')), {
    maxLength: 5,
  })
  .map((pairs) => pairs.map(([name, value]) => `${name}=${value}`).join('; '));

/** The rule said plainly: split at `;`, trim SP and HTAB, split at the first `=`, compare bytes (RFC 6265bis §4.2). */
function plainly(text: string): { handle: string; first: string | undefined } {
  const values = text
    .split(';')
    .map((pair) => pair.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter((pair) => pair.startsWith(`${NAME}=`))
    .map((pair) => pair.slice(NAME.length + 1));
  const [first] = values;
  if (new Set(values).size > 1) return { handle: CONFLICTING_HANDLE, first };
  return { handle: first !== undefined && isHandle(first) ? first : NO_HANDLE, first };
}

describe('properties of the cookie scan', () => {
  test('it agrees with the rule said plainly', () => {
    fc.assert(
      fc.property(fc.oneof(header, pairsOfNames), (text) => {
        assert.equal(compileHandleFinder(NAME)(text), plainly(text).handle);
        assert.equal(findCookie(text, NAME).value, plainly(text).first);
      }),
      { numRuns: 3_000 },
    );
  });
});
