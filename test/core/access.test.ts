import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AccessRule, findAccessProblem, NO_RULE } from '../../src/core/access.ts';
import type { SessionHot } from '../../src/core/session.ts';
import { NOW, principalOf, sessionOf } from './world.ts';

const HOLDER: Partial<SessionHot> = {
  principal: principalOf({ roles: ['user', 'ops'], groups: ['/staff'] }),
  scopes: ['openid', 'crud.read'],
  acr: 'pwd',
  authTime: NOW - 60_000,
};

const session = sessionOf(HOLDER);
const problemOf = (rule: Partial<AccessRule>, holder = session): string | undefined =>
  findAccessProblem(holder, { ...NO_RULE, ...rule }, NOW)?.reason;

describe('access rules', () => {
  const table: readonly (readonly [why: string, rule: Partial<AccessRule>, reason: string | undefined])[] = [
    ['nothing asked for', {}, undefined],
    ['one of the roles', { roles: ['admin', 'ops'] }, undefined],
    ['none of the roles', { roles: ['admin'] }, 'role'],
    ['roles are compared exactly', { roles: ['Ops', 'op', 'ops '] }, 'role'],
    ['one of the groups', { groups: ['/staff', '/x'] }, undefined],
    ['none of the groups', { groups: ['staff'] }, 'group'],
    ['a role is no group', { groups: ['ops'] }, 'group'],
    ['all scopes', { scopes: ['crud.read', 'openid'] }, undefined],
    ['one scope is missing', { scopes: ['crud.read', 'crud.write'] }, 'scope'],
    ['one of the acr values', { acr: ['mfa', 'pwd'] }, undefined],
    ['none of the acr values', { acr: ['mfa'] }, 'acr'],
    ['young enough, to the millisecond', { maxAgeMs: 60_000 }, undefined],
    ['too old by a millisecond', { maxAgeMs: 59_999 }, 'max_age'],
    ['every part must hold', { roles: ['ops'], groups: ['/x'] }, 'group'],
  ];
  for (const [why, rule, reason] of table) test(why, () => assert.equal(problemOf(rule), reason));

  test('what nobody may do comes before what a stronger sign-in would allow', () => {
    assert.equal(problemOf({ roles: ['admin'], acr: ['mfa'], maxAgeMs: 1 }), 'role');
    assert.equal(problemOf({ acr: ['mfa'], maxAgeMs: 1 }), 'acr');
  });

  test('codes: roles, groups and scopes deny; acr and age ask for a step-up', () => {
    const codeOf = (rule: Partial<AccessRule>): string | undefined =>
      findAccessProblem(session, { ...NO_RULE, ...rule }, NOW)?.code;
    assert.equal(codeOf({ roles: ['x'] }), 'access_denied');
    assert.equal(codeOf({ groups: ['x'] }), 'access_denied');
    assert.equal(codeOf({ scopes: ['x'] }), 'access_denied');
    assert.equal(codeOf({ acr: ['x'] }), 'insufficient_user_authentication');
    assert.equal(codeOf({ maxAgeMs: 0 }), 'insufficient_user_authentication');
  });

  test('a session without acr or time of sign-in never satisfies a rule about them', () => {
    const unknown = sessionOf({ acr: undefined, authTime: undefined });
    assert.equal(problemOf({ acr: ['pwd'] }, unknown), 'acr');
    assert.equal(problemOf({ maxAgeMs: 86_400_000 }, unknown), 'max_age');
  });

  test('a user without any role or group meets no rule about them (CVE-2021-21411)', () => {
    const nobody = sessionOf({ principal: principalOf({ roles: [], groups: [] }) });
    assert.equal(problemOf({ roles: ['user'] }, nobody), 'role');
    assert.equal(problemOf({ groups: ['/staff'] }, nobody), 'group');
  });
});
