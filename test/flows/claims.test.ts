import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Idp } from '../../src/core/config/types.ts';
import { buildPrincipal, type Claims, findLoginDenial } from '../../src/flows/claims.ts';
import { principalOf, worldConfig } from '../core/world.ts';

const base = worldConfig().idps[0] as Idp;
const ID_TOKEN: Claims = {
  iss: 'https://idp.example.test',
  aud: 'bff-client',
  sub: 'u1',
  exp: 1,
  iat: 1,
  nonce: 'n',
  at_hash: 'h',
  sid: 's',
  auth_time: 1,
  acr: 'pwd',
  amr: ['pwd'],
  azp: 'bff-client',
  jti: 'j',
};

function idpOf(fields: Partial<Idp> & { pointers?: Partial<Idp['claims']> } = {}): Idp {
  const { pointers, ...rest } = fields;
  return { ...base, ...rest, claims: { ...base.claims, ...pointers } };
}

const build = (claims: Claims, idp = idpOf(), userinfo?: Claims) =>
  buildPrincipal(idp, { ...ID_TOKEN, ...claims }, userinfo);

describe('the principal', () => {
  test('is known by the configured issuer and sub, whatever other claims say (R-066)', () => {
    const principal = build({ iss: 'https://evil.test', email: 'a@b.test' });
    assert.equal(principal.issuer, base.issuer);
    assert.equal(principal.subject, 'u1');
    assert.equal(build({}, idpOf({ claimsFrom: ['userinfo'] }), { sub: 'u2' }).subject, 'u1');
  });

  test('its fields come from JSON Pointers, the first that exists', () => {
    const pointers = {
      user_id: ['/missing', '/ext/uid'],
      username: ['/a~1b', '/preferred_username'],
      roles: ['/realm_access/roles'],
      groups: ['/groups', '/memberOf'],
    };
    const claims = {
      ext: { uid: 42 },
      'a/b': 'slash',
      preferred_username: 'later',
      realm_access: { roles: ['admin', 'user'] },
      groups: null,
      memberOf: ['/staff'],
    };
    const principal = build(claims, idpOf({ pointers }));
    assert.equal(principal.userId, '42');
    assert.equal(principal.username, 'slash');
    assert.deepEqual(principal.roles, ['admin', 'user']);
    assert.deepEqual(principal.groups, ['/staff'], 'null is nothing');
  });

  test('without a user id the subject stands in', () => {
    for (const uid of [undefined, '', null, {}, ['x'], true]) {
      assert.equal(build({ uid }, idpOf({ pointers: { user_id: ['/uid'] } })).userId, 'u1');
    }
  });

  test('only text and numbers become text', () => {
    const nameOf = (name: unknown): string => build({ name }, idpOf({ pointers: { name: ['/name'] } })).name;
    assert.equal(nameOf('Ada'), 'Ada');
    assert.equal(nameOf(7), '7');
    for (const odd of [true, {}, [], ['Ada'], undefined]) assert.equal(nameOf(odd), '');
  });

  test('roles: lists of text, or text parted by blanks and commas', () => {
    const rolesOf = (roles: unknown): readonly string[] =>
      build({ roles }, idpOf({ pointers: { roles: ['/roles'] } })).roles;
    assert.deepEqual(rolesOf(['a', 1, null, { b: 1 }, 'c d']), ['a', 'c d']);
    assert.deepEqual(rolesOf('a b,c ,, d'), ['a', 'b', 'c', 'd']);
    for (const odd of ['', {}, 7, true, undefined]) assert.deepEqual(rolesOf(odd), []);
  });

  test('e-mail counts as verified by the boolean true alone', () => {
    const pointers = { email_verified: ['/email_verified'] };
    for (const value of ['true', 1, 'yes', {}, undefined, false]) {
      assert.equal(build({ email_verified: value }, idpOf({ pointers })).emailVerified, false, String(value));
    }
    assert.equal(build({ email_verified: true }, idpOf({ pointers })).emailVerified, true);
  });

  test('sources are asked in their configured order', () => {
    const pointers = { name: ['/name'] };
    const userinfo = { sub: 'u1', name: 'from userinfo', extra: 1 };
    const both = (claimsFrom: Idp['claimsFrom']) =>
      build({ name: 'from token' }, idpOf({ claimsFrom, pointers }), userinfo);
    assert.equal(both(['id_token', 'userinfo']).name, 'from token');
    assert.equal(both(['userinfo', 'id_token']).name, 'from userinfo');
    assert.equal(both(['id_token', 'userinfo']).claims['name'], 'from token');
    assert.equal(both(['userinfo', 'id_token']).claims['name'], 'from userinfo');
    assert.equal(both(['id_token']).claims['extra'], undefined);
    assert.equal(
      build({ name: 'x' }, idpOf({ claimsFrom: ['userinfo', 'id_token'], pointers })).name,
      'x',
      'no userinfo',
    );
  });

  test('keeps the user’s claims and none of the protocol’s', () => {
    const { claims } = build({ email: 'a@b.test', address: { city: 'X' } });
    assert.deepEqual(Object.keys(claims).sort(), ['address', 'email', 'sub']);
  });

  test('a claim with the name of a prototype is data', () => {
    const hostile = JSON.parse('{"__proto__":{"admin":true},"constructor":"x"}') as Claims;
    const { claims } = buildPrincipal(idpOf(), { ...ID_TOKEN, ...hostile }, undefined);
    assert.equal((claims as { admin?: unknown }).admin, undefined);
    const direct = buildPrincipal(idpOf({ claimsFrom: ['userinfo'] }), ID_TOKEN, hostile);
    assert.equal((direct.claims as { admin?: unknown }).admin, undefined);
    assert.equal(Object.getPrototypeOf(direct.claims), Object.prototype);
    assert.deepEqual(Object.keys(direct.claims).sort(), ['__proto__', 'constructor']);
  });

  test('pointers see own members alone', () => {
    const pointers = { name: ['/constructor/name', '/__proto__/x', '/toString'] };
    assert.equal(build({}, idpOf({ pointers })).name, '');
  });
});

describe('who may sign in (login.allow)', () => {
  const none = { emailDomains: [], groups: [], roles: [] };

  test('empty lists ask for nothing', () => assert.equal(findLoginDenial(principalOf({ email: '' }), none), undefined));

  const emails: readonly (readonly [email: string, verified: boolean, allowed: boolean])[] = [
    ['a@example.test', true, true],
    ['a@EXAMPLE.test', true, true],
    ['a@other.test', true, true],
    ['a@example.test', false, false],
    ['a@evil.test', true, false],
    ['a@sub.example.test', true, false],
    ['a@notexample.test', true, false],
    ['a@example.test.evil.test', true, false],
    ['a@evil.test@example.test', true, false],
    ['a@example.test@evil.test', true, false],
    ['"a@b"@example.test', true, false],
    ['@example.test', true, false],
    ['example.test', true, false],
    ['a@', true, false],
    ['', true, false],
    ['a@example.test ', true, false],
    ['a@example.test\n', true, false],
    ['a@example.test.', true, false],
  ];
  for (const [email, emailVerified, allowed] of emails) {
    test(`${JSON.stringify(email)}${emailVerified ? '' : ', not verified'} is ${allowed ? '' : 'not '}allowed`, () => {
      const allow = { ...none, emailDomains: ['example.test', 'Other.test'] };
      assert.equal(findLoginDenial(principalOf({ email, emailVerified }), allow), allowed ? undefined : 'email_domain');
    });
  }

  test('groups and roles: one of each list that is given', () => {
    const principal = principalOf({ groups: ['/staff'], roles: ['user'] });
    assert.equal(findLoginDenial(principal, { ...none, groups: ['/x', '/staff'], roles: ['user'] }), undefined);
    assert.equal(findLoginDenial(principal, { ...none, groups: ['staff'] }), 'group');
    assert.equal(findLoginDenial(principal, { ...none, roles: ['User'] }), 'role');
    assert.equal(findLoginDenial(principal, { ...none, groups: ['/staff'], roles: ['admin'] }), 'role');
    assert.equal(findLoginDenial(principalOf({ groups: [], roles: [] }), { ...none, groups: ['/staff'] }), 'group');
  });
});
