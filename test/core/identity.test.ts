import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { IdentityHeader } from '../../src/core/config/types.ts';
import {
  compileIdentityHeaders,
  encodeHeaderValue,
  encodeListItem,
  type IdentitySource,
  valueAtPointer,
} from '../../src/core/identity.ts';
import { LIMITS } from '../../src/core/limits.ts';
import type { SessionHot } from '../../src/core/session.ts';
import { hotOf, principalOf, worldConfig } from './world.ts';

const COMMA = { join: ',' } as const;

function sourceOf(fields: Partial<SessionHot> = {}): IdentitySource {
  return { hot: hotOf(fields), publicId: 'P22' };
}

function build(headers: readonly IdentityHeader[], source: IdentitySource) {
  const oversize: number[] = [];
  const control: string[] = [];
  const events = {
    onOversize: (bytes: number) => oversize.push(bytes),
    onControl: (name: string) => control.push(name),
  };
  const compiled = compileIdentityHeaders(headers, events);
  return { compiled, list: compiled.build(source).pairs, oversize, control };
}

/** The one value of one header. */
function headerValueOf(source: IdentityHeader['source'], fields: Partial<SessionHot> = {}): string {
  const { list } = build([{ name: 'X-A', source }], sourceOf(fields));
  assert.equal(list.length, 2);
  assert.equal(list[0], 'X-A');
  return list[1] ?? 'missing';
}

function claimValue(claims: Record<string, unknown>, pointer: string, list: 'first' | typeof COMMA = COMMA): string {
  return headerValueOf({ kind: 'claim', pointer, list }, { principal: principalOf({ claims }) });
}

describe('identity headers', () => {
  test('the default set carries token, principal and public session id', () => {
    const principal = principalOf({ roles: ['admin', 'ops'] });
    const { list } = build(worldConfig().identityHeaders, sourceOf({ principal }));
    assert.deepEqual(list, [
      ...['Authorization', 'Bearer at-1', 'X-User-Id', 'u1', 'X-User-Username', 'alice'],
      ...['X-User-Email', 'alice@example.test', 'X-User-Role', 'admin', 'X-User-Roles', 'admin,ops'],
      ...['X-Auth-Session', 'P22'],
    ]);
  });

  test('every name is sent whatever is known, and blank has the same names without values', () => {
    const headers = worldConfig().identityHeaders;
    const principal = principalOf({ userId: '', username: '', email: '', roles: [] });
    const { compiled, list } = build(headers, sourceOf({ principal, accessToken: '' }));
    const names = headers.map(({ name }) => name);
    assert.deepEqual(
      list.filter((_, index) => index % 2 === 0),
      names,
    );
    assert.deepEqual(
      compiled.blank.pairs,
      names.flatMap((name) => [name, '']),
    );
    assert.deepEqual(
      compiled.names,
      names.map((name) => name.toLowerCase()),
    );
  });

  test('principal fields and session facts', () => {
    const principal = principalOf({ name: 'Ada L', emailVerified: false, groups: ['g1', 'g2'] });
    const fields = { principal, acr: 'mfa', authTime: 1_700_000_000_999 };
    const principalTable: readonly (readonly [IdentityHeader['source'] & { kind: 'principal' }, string])[] = [
      [{ kind: 'principal', field: 'name', list: 'first' }, 'Ada L'],
      [{ kind: 'principal', field: 'email_verified', list: 'first' }, 'false'],
      [{ kind: 'principal', field: 'issuer', list: 'first' }, 'https://idp.example.test'],
      [{ kind: 'principal', field: 'groups', list: { join: '; ' } }, 'g1; g2'],
    ];
    for (const [source, value] of principalTable) assert.equal(headerValueOf(source, fields), value);
    assert.equal(headerValueOf({ kind: 'session', field: 'public_id' }, fields), 'P22');
    assert.equal(headerValueOf({ kind: 'session', field: 'idp' }, fields), 'main');
    assert.equal(headerValueOf({ kind: 'session', field: 'acr' }, fields), 'mfa');
    assert.equal(headerValueOf({ kind: 'session', field: 'auth_time' }, fields), '1700000000');
    assert.equal(headerValueOf({ kind: 'session', field: 'acr' }), '');
    assert.equal(headerValueOf({ kind: 'session', field: 'auth_time' }, { authTime: undefined }), '');
  });

  test('a token is sent as Bearer or raw, and never if it is bound to a key', () => {
    assert.equal(headerValueOf({ kind: 'token', raw: false }), 'Bearer at-1');
    assert.equal(headerValueOf({ kind: 'token', raw: true }), 'at-1');
    assert.equal(headerValueOf({ kind: 'token', raw: false }, { tokenType: 'bearer' }), 'Bearer at-1');
    for (const tokenType of ['DPoP', 'dpop', '', 'N_A']) {
      assert.equal(headerValueOf({ kind: 'token', raw: false }, { tokenType }), '');
      assert.equal(headerValueOf({ kind: 'token', raw: true }, { tokenType }), '');
    }
    assert.equal(headerValueOf({ kind: 'token', raw: false }, { accessToken: '' }), '');
  });

  test('claims: text, numbers, booleans and lists of them; objects and null are nothing', () => {
    const claims = { a: 'x', n: 7, t: true, l: ['a', 1, false, { no: 1 }, null, ['no'], 'b'], o: {}, z: null, e: [] };
    const table: readonly (readonly [pointer: string, joined: string, first: string])[] = [
      ['/a', 'x', 'x'],
      ['/n', '7', '7'],
      ['/t', 'true', 'true'],
      ['/l', 'a,1,false,b', 'a'],
      ['/o', '', ''],
      ['/z', '', ''],
      ['/e', '', ''],
      ['/missing', '', ''],
    ];
    for (const [pointer, joined, first] of table) {
      assert.equal(claimValue(claims, pointer), joined, pointer);
      assert.equal(claimValue(claims, pointer, 'first'), first, pointer);
    }
  });

  test('a control character anywhere empties the value and is reported by name', () => {
    for (const bad of ['a\r\nX-Evil: 1', 'a\u0000', '\u007f', 'tab\there', '\u001b[0m']) {
      const principal = principalOf({ username: bad, roles: ['ok', bad] });
      const headers: IdentityHeader[] = [
        { name: 'X-User', source: { kind: 'principal', field: 'username', list: 'first' } },
        { name: 'X-Roles', source: { kind: 'principal', field: 'roles', list: COMMA } },
        { name: 'X-Id', source: { kind: 'principal', field: 'user_id', list: 'first' } },
      ];
      const { list, control } = build(headers, sourceOf({ principal }));
      assert.deepEqual(list, ['X-User', '', 'X-Roles', '', 'X-Id', 'u1']);
      assert.deepEqual(control, ['X-User', 'X-Roles']);
    }
  });

  test('headers over the limit are reported once, not for every session', () => {
    const headers: IdentityHeader[] = [{ name: 'X-A', source: { kind: 'principal', field: 'name', list: 'first' } }];
    const oversize: number[] = [];
    const events = { onOversize: (bytes: number) => oversize.push(bytes), onControl: () => assert.fail() };
    const compiled = compileIdentityHeaders(headers, events);
    const named = (length: number): IdentitySource =>
      sourceOf({ principal: principalOf({ name: 'n'.repeat(length) }) });
    const overhead = 'X-A'.length + 4;
    compiled.build(named(LIMITS.identityHeadersWarnBytes - overhead));
    assert.deepEqual(oversize, []);
    compiled.build(named(LIMITS.identityHeadersWarnBytes - overhead + 1));
    compiled.build(named(10_000));
    assert.deepEqual(oversize, [LIMITS.identityHeadersWarnBytes + 1]);
  });
});

describe('header values', () => {
  const table: readonly (readonly [text: string, value: string, item: string])[] = [
    ['plain', 'plain', 'plain'],
    ['two words', 'two words', 'two words'],
    [' x ', '%20x%20', '%20x%20'],
    [' ', '%20', '%20'],
    ['a,b', 'a,b', 'a%2Cb'],
    ['50%', '50%', '50%25'],
    ['Jürgen', 'J%C3%BCrgen', 'J%C3%BCrgen'],
    ['\u00a0', '%C2%A0', '%C2%A0'],
    ['\u0085', '%C2%85', '%C2%85'],
    ['😀', '%F0%9F%98%80', '%F0%9F%98%80'],
    ['\ud800', '%EF%BF%BD', '%EF%BF%BD'],
    ['', '', ''],
  ];
  for (const [text, value, item] of table) {
    test(JSON.stringify(text), () => {
      assert.equal(encodeHeaderValue(text), value);
      assert.equal(encodeListItem(text), item);
    });
  }

  const text = fc.string({ unit: 'binary', maxLength: 12 });

  test('every value that is built is visible ASCII with inner spaces only', () => {
    const headers = [...worldConfig().identityHeaders, ...extraHeaders()];
    fc.assert(
      fc.property(text, text, fc.array(text), fc.dictionary(text, fc.jsonValue()), (username, email, roles, claims) => {
        const principal = principalOf({ username, email, roles, name: email, claims });
        const { list } = build(headers, sourceOf({ principal }));
        assert.equal(list.length, headers.length * 2);
        for (let i = 1; i < list.length; i += 2)
          assert.match(list[i] ?? '', /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/);
      }),
      { numRuns: 1_000 },
    );
  });

  test('a joined list can be taken apart again, exactly', () => {
    const item = fc.string({ unit: 'grapheme', minLength: 1 }).filter((value) => !/[\x00-\x1f\x7f]/.test(value));
    fc.assert(
      fc.property(fc.array(item, { minLength: 1, maxLength: 5 }), (roles) => {
        const source = { kind: 'principal', field: 'roles', list: COMMA } as const;
        const value = headerValueOf(source, { principal: principalOf({ roles }) });
        const expected = roles.map((role) => role.toWellFormed());
        assert.deepEqual(value.split(',').map(decodeURIComponent), expected);
      }),
    );
  });
});

function extraHeaders(): IdentityHeader[] {
  return [
    { name: 'X-Name', source: { kind: 'principal', field: 'name', list: 'first' } },
    { name: 'X-All', source: { kind: 'claim', pointer: '', list: COMMA } },
    { name: 'X-A', source: { kind: 'claim', pointer: '/a', list: 'first' } },
    { name: 'X-Groups', source: { kind: 'principal', field: 'roles', list: { join: '; ' } } },
  ];
}

describe('JSON Pointer', () => {
  const document = JSON.parse('{"a":{"b/c":{"~d":1}},"":{"":2},"l":["x",{"y":3}],"__proto__":{"p":4},"e":null}');
  const table: readonly (readonly [pointer: string, value: unknown])[] = [
    ['/a/b~1c/~0d', 1],
    ['//', 2],
    ['/l/0', 'x'],
    ['/l/1/y', 3],
    ['/__proto__/p', 4],
    ['/e', null],
    ['/e/x', undefined],
    ['/l/2', undefined],
    ['/l/01', undefined],
    ['/l/-', undefined],
    ['/l/length', undefined],
    ['/a/b', undefined],
    ['/constructor', undefined],
    ['/toString', undefined],
    ['/l/0/0', undefined],
    ['/a/hasOwnProperty', undefined],
  ];
  for (const [pointer, value] of table) {
    test(`${pointer} is ${JSON.stringify(value)}`, () => assert.equal(valueAtPointer(document, pointer), value));
  }
  test('the empty pointer is the document', () => assert.equal(valueAtPointer(document, ''), document));
  test('~01 is ~1, not a slash', () => assert.equal(valueAtPointer({ '~1': 5, '/': 6 }, '/~01'), 5));
});
