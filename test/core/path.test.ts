import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AMBIGUOUS, canonicalPath, isCleanTarget } from '../../src/core/path.ts';
import { compileRoutes } from '../../src/core/routes.ts';
import { readAttacks, routeOf } from './world.ts';

type PathCase = {
  readonly id: string;
  readonly input: string;
  readonly method: string;
  readonly expect: string;
  readonly acceptable: readonly string[];
  readonly never: readonly string[];
  readonly forward_as?: string;
  readonly why: string;
};

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const sample = compileRoutes([
  routeOf({ id: 'route:public', paths: ['/api/public/*'], methods: METHODS }),
  routeOf({ id: 'route:users', paths: ['/api/users/*'], methods: METHODS }),
  routeOf({ id: 'route:files', paths: ['/api/files/*'], methods: METHODS }),
  routeOf({ id: 'route:admin', paths: ['/api/admin/*'], methods: METHODS }),
  routeOf({ id: 'internal:session', paths: ['/api/auth/session'], methods: ['GET'] }),
  routeOf({ id: 'internal:metrics', paths: ['/api/v1/metrics'], methods: ['POST'] }),
  routeOf({ id: 'internal:auth', paths: ['/auth/*'], methods: METHODS }),
]);

/** What the sample table of SECURITY §0 makes of a target: the route's name, `notfound`, or `reject`. */
function outcomeOf(target: string, method: string): string {
  const question = target.indexOf('?');
  const path = canonicalPath(question === -1 ? target : target.slice(0, question));
  if (!isCleanTarget(target) || path === AMBIGUOUS) return 'reject';
  const match = sample.find('app.example.test', path, method);
  return match.kind === 'route' ? match.compiled.route.id : 'notfound';
}

describe('request targets of path_confusion.json', () => {
  for (const attack of readAttacks<PathCase>('path_confusion')) {
    test(`${attack.id}: ${attack.why}`, () => {
      const outcome = outcomeOf(attack.input, attack.method);
      assert.ok(attack.acceptable.includes(outcome), `${attack.input} gave ${outcome}`);
      assert.ok(!attack.never.includes(outcome), `${attack.input} gave ${outcome}`);
      if (attack.forward_as === undefined) return;
      const [path = '', ...query] = attack.input.split('?');
      assert.equal([canonicalPath(path), ...query].join('?'), attack.forward_as);
    });
  }
});

describe('canonical paths', () => {
  const table: readonly (readonly [path: string, canonical: string])[] = [
    ['/', '/'],
    ['/a', '/a'],
    ['/a/', '/a/'],
    ['/a.b/..c/...d/e..', '/a.b/..c/...d/e..'],
    ['/%41/%7e%2D%5f%2E%30', '/A/~-_.0'],
    ['/%c3%a9', '/%C3%A9'],
    ['/a%20b', '/a%20b'],
    ['/%f0%9f%98%80', '/%F0%9F%98%80'],
    ["/!$&'()*+,=:@", "/!$&'()*+,=:@"],
    ['/%61%3a', '/a%3A'],
    ['', AMBIGUOUS],
    ['a', AMBIGUOUS],
    ['//', AMBIGUOUS],
    ['/a//', AMBIGUOUS],
    ['/.', AMBIGUOUS],
    ['/..', AMBIGUOUS],
    ['/...', AMBIGUOUS],
    ['/a/%2E', AMBIGUOUS],
    ['/%20', AMBIGUOUS],
    ['/.%20.', AMBIGUOUS],
    ['/%2E%2e/', AMBIGUOUS],
    ['/a%', AMBIGUOUS],
    ['/a%4', AMBIGUOUS],
    ['/a%4/1', AMBIGUOUS],
    ['/%ed%a0%80', AMBIGUOUS],
    ['/%f4%90%80%80', AMBIGUOUS],
    ['/%f0%80%80%af', AMBIGUOUS],
    ['/%c3/%a9', AMBIGUOUS],
    ['/%c3a%a9', AMBIGUOUS],
    ['/%80', AMBIGUOUS],
    ['/%c0%af', AMBIGUOUS],
    ['/%c1%81', AMBIGUOUS],
    ['/%f5%80%80%80', AMBIGUOUS],
    ['/a b', AMBIGUOUS],
    ['/é', AMBIGUOUS],
    ['/\ud800', AMBIGUOUS],
    ['/a\u0000', AMBIGUOUS],
    ['/a\u007f', AMBIGUOUS],
    ...['\\', ';', '#', '?', '"', '<', '>', '[', ']', '^', '`', '{', '|', '}'].map(
      (char): readonly [string, string] => [`/a${char}b`, AMBIGUOUS],
    ),
    ...['2f', '5c', '3b', '3f', '23', '25', '00', '1f', '7f', '0a'].map((hex): readonly [string, string] => [
      `/a%${hex}b`,
      AMBIGUOUS,
    ]),
  ];
  for (const [path, canonical] of table) {
    test(`${JSON.stringify(path)} is ${canonical === AMBIGUOUS ? 'refused' : canonical}`, () => {
      assert.equal(canonicalPath(path), canonical);
    });
  }

  test('a plain path is returned as the very same text', () => {
    const path = `/api/${'a/'.repeat(200)}b`;
    assert.equal(canonicalPath(path), path);
  });
});

const PIECES = [
  ...['/', '.', '..', '%2e', '%2E', '%2f', '%5c', '%00', '%', '%c', 'a', 'Z', '0', '~', '-', '_', '%61', '%7E'],
  ...['%20', ' ', ';', '\\', '#', '?', '%3f', '%25', '%c3%a9', '%C3', '%a9', '%ed%a0%80', '%e0%80%ae', 'é', ':', '+'],
];
const piece = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...PIECES) },
  fc.string({ maxLength: 2, unit: 'binary' }),
);
const wildPath = fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join('')}`);
const UNRESERVED = 'abcXYZ019-._~';
const plainSegment = fc
  .string({ unit: fc.constantFrom(...UNRESERVED), minLength: 1, maxLength: 6 })
  .filter((segment) => !/^\.+$/.test(segment));
const plainPath = fc.array(plainSegment, { minLength: 1, maxLength: 5 }).map((segments) => `/${segments.join('/')}`);

/** The rule said plainly, by splitting, regular expressions and the platform's UTF-8 decoder. */
function canonicalPlainly(path: string): string {
  if (!/^\/(?:[A-Za-z0-9\-._~!$&'()*+,=:@/]|%[0-9A-Fa-f]{2})*$/.test(path)) return AMBIGUOUS;
  const segments = path.slice(1).split('/');
  for (const [index, segment] of segments.entries()) {
    if (segment === '' && index < segments.length - 1) return AMBIGUOUS;
    let decoded: string;
    try {
      decoded = decodeURIComponent(segment);
    } catch {
      return AMBIGUOUS;
    }
    if (/[\x00-\x1f\x7f/\\;?#%]/.test(decoded) || /^[. ]+$/.test(decoded)) return AMBIGUOUS;
  }
  return path.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => {
    const char = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
    return /[A-Za-z0-9\-._~]/.test(char) ? char : triplet.toUpperCase();
  });
}

describe('properties of the canonical path', () => {
  test('it agrees with the rule said plainly and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(wildPath, fc.string({ unit: 'binary' })), (path) => {
        assert.equal(canonicalPath(path), canonicalPlainly(path));
      }),
      { numRuns: 5_000 },
    );
  });

  test('it is idempotent, and its result can be read in one way only', () => {
    fc.assert(
      fc.property(wildPath, (path) => {
        const canonical = canonicalPath(path);
        if (canonical === AMBIGUOUS) return;
        assert.equal(canonicalPath(canonical), canonical);
        assert.ok(isCleanTarget(canonical));
        assert.doesNotMatch(canonical, /\/\/|\\|;|#|\?|%(?:2e|2f|5c|00|25|3b|3f|23)/i);
        assert.doesNotMatch(canonical, /\/\.{1,2}(?:\/|$)/);
        // What a WHATWG parser would send is the same text: nothing is left to remove.
        assert.equal(new URL(canonical, 'https://a.test').pathname, canonical);
      }),
      { numRuns: 5_000 },
    );
  });

  test('the fast way and the careful way agree: escaping an unreserved character changes nothing', () => {
    fc.assert(
      fc.property(plainPath, fc.nat(), (path, at) => {
        const index = 1 + (at % (path.length - 1));
        const code = path.charCodeAt(index);
        if (path[index] === '/') return;
        const escaped = `${path.slice(0, index)}%${code.toString(16).padStart(2, '0')}${path.slice(index + 1)}`;
        assert.equal(canonicalPath(path), path);
        assert.equal(canonicalPath(escaped), path);
      }),
    );
  });
});

test('clean targets are visible ASCII without # and backslash', () => {
  for (let code = 0; code < 0x180; code++) {
    const isClean = code > 0x20 && code < 0x7f && code !== 0x23 && code !== 0x5c;
    assert.equal(isCleanTarget(`/a${String.fromCharCode(code)}`), isClean, `code ${code}`);
  }
  assert.equal(isCleanTarget(''), true);
});
