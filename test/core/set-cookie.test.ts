import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CookieSettings } from '../../src/core/config/types.ts';
import { compileHelperCookie, compileSessionCookie } from '../../src/core/set-cookie.ts';

const BASE: CookieSettings = {
  name: 'bff_session',
  domain: undefined,
  sameSite: 'lax',
  secure: true,
  persistent: false,
  partitioned: false,
};
const EPOCH = 'Expires=Thu, 01 Jan 1970 00:00:00 GMT';

describe('the session cookie', () => {
  const table: readonly (readonly [
    why: string,
    fields: Partial<CookieSettings>,
    ms: number | undefined,
    set: string,
  ])[] = [
    ['by default', {}, undefined, 'bff_session=V; Path=/; HttpOnly; Secure; SameSite=Lax'],
    ['on loopback http', { secure: false }, undefined, 'bff_session=V; Path=/; HttpOnly; SameSite=Lax'],
    [
      'with a domain',
      { domain: 'example.test' },
      undefined,
      'bff_session=V; Domain=example.test; Path=/; HttpOnly; Secure; SameSite=Lax',
    ],
    ['strict', { sameSite: 'strict' }, undefined, 'bff_session=V; Path=/; HttpOnly; Secure; SameSite=Strict'],
    ['for other sites', { sameSite: 'none' }, undefined, 'bff_session=V; Path=/; HttpOnly; Secure; SameSite=None'],
    [
      'partitioned',
      { partitioned: true },
      undefined,
      'bff_session=V; Path=/; HttpOnly; Secure; SameSite=Lax; Partitioned',
    ],
    ['persistent', {}, 43_200_999, 'bff_session=V; Max-Age=43200; Path=/; HttpOnly; Secure; SameSite=Lax'],
  ];
  for (const [why, fields, persistentMs, set] of table) {
    test(why, () => assert.equal(compileSessionCookie({ ...BASE, ...fields }, persistentMs).set('V'), set));
  }

  test('is expired with the attributes that it was set with (R-112)', () => {
    const { expire } = compileSessionCookie({ ...BASE, name: '__Host-bff_session' }, undefined);
    assert.deepEqual(expire, [`__Host-bff_session=; Max-Age=0; ${EPOCH}; Path=/; HttpOnly; Secure; SameSite=Lax`]);
  });

  test('with a domain both variants are expired (R-024)', () => {
    const { expire } = compileSessionCookie({ ...BASE, domain: 'example.test' }, undefined);
    assert.deepEqual(expire, [
      `bff_session=; Max-Age=0; ${EPOCH}; Domain=example.test; Path=/; HttpOnly; Secure; SameSite=Lax`,
      `bff_session=; Max-Age=0; ${EPOCH}; Path=/; HttpOnly; Secure; SameSite=Lax`,
    ]);
  });
});

describe('helper cookies', () => {
  test('have the __Host- prefix exactly where browsers accept it', () => {
    assert.equal(compileHelperCookie('x', { secure: true }).name, '__Host-x');
    assert.equal(compileHelperCookie('x', { secure: false }).name, 'x');
    assert.equal(compileHelperCookie('x', { secure: true, domain: 'example.test' }).name, 'x');
  });

  test('live as long as they are told, in whole seconds', () => {
    const cookie = compileHelperCookie('x', { secure: true });
    assert.equal(cookie.set('v', 600_999), '__Host-x=v; Max-Age=600; Path=/; HttpOnly; Secure; SameSite=Lax');
  });

  test('are expired with the same name, path, domain and flags', () => {
    assert.deepEqual(compileHelperCookie('x', { secure: false, domain: 'example.test' }).expire, [
      `x=; Max-Age=0; ${EPOCH}; Path=/; HttpOnly; SameSite=Lax; Domain=example.test`,
    ]);
    assert.deepEqual(compileHelperCookie('x', { secure: true }).expire, [
      `__Host-x=; Max-Age=0; ${EPOCH}; Path=/; HttpOnly; Secure; SameSite=Lax`,
    ]);
  });
});
