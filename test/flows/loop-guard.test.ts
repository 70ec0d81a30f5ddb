import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isSallyportError, type SallyportError } from '../../src/core/errors.ts';
import { compileHelperCookie, compileSessionCookie } from '../../src/core/set-cookie.ts';
import { compileSites } from '../../src/core/sites.ts';
import type { FlowRequest, FlowServices, SiteCookies } from '../../src/flows/flow.ts';
import { countLogin, loopHeaders } from '../../src/flows/loop-guard.ts';
import { createClock } from '../core/sessions-support.ts';
import { contextOf, getSite, HANDLE, NOW, worldConfig } from '../core/world.ts';

const WINDOW_MS = 60_000;
/** The host of the main site's public URL, where `/page` leads. */
const AT = 'app.example.test';
/** The same of the plain one. */
const AT_PLAIN = 'localhost%3A8080';

function start(name: 'main' | 'plain' = 'main') {
  const clock = createClock();
  const config = worldConfig();
  const site = getSite(compileSites(config), name);
  const cookies: SiteCookies = {
    session: compileSessionCookie(site.site.cookie, undefined),
    loop: compileHelperCookie('bff_loop', { secure: site.site.cookie.secure }),
    left: compileHelperCookie('bff_left', { secure: true }),
    csrf: undefined,
  };
  const services = { config, clock, cookies: new Map([[name, cookies]]) } as unknown as FlowServices;
  const request = (cookie: string, more: object = {}): FlowRequest =>
    ({ context: contextOf({ cookie, ...more }), site, host: site.loginHost }) as unknown as FlowRequest;
  const count = (cookie: string, more: object = {}): number =>
    countLogin(request(cookie, more), '/page', services).count;
  return { clock, services, cookies, request, count };
}

function loopError(run: () => unknown): SallyportError {
  try {
    run();
  } catch (error) {
    assert.ok(isSallyportError(error));
    return error;
  }
  return assert.fail('the loop was not stopped');
}

describe('the count of logins in a row', () => {
  test('stops the one above the limit', () => {
    const { services, cookies, request } = start();
    let cookie = '';
    for (let login = 1; login <= 3; login++) {
      const counted = countLogin(request(cookie), '/page', services);
      assert.equal(counted.count, login);
      const [header] = loopHeaders(cookies, counted);
      assert.deepEqual(header, [
        'set-cookie',
        `__Host-bff_loop=${AT}~${login}.${NOW}; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Lax`,
      ]);
      cookie = (header?.[1] ?? '').split(';')[0] ?? '';
    }
    const error = loopError(() => countLogin(request(cookie), '/page', services));
    assert.equal(error.code, 'login_loop');
    assert.deepEqual(error.headers, [
      [
        'set-cookie',
        '__Host-bff_loop=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=Lax',
      ],
    ]);
  });

  test('begins anew when the session cookie came back, after the window, and without a readable count', () => {
    const { clock, count } = start();
    const full = `__Host-bff_loop=${AT}~3.${NOW}`;
    assert.equal(count(`${full}; bff_session=${HANDLE}`), 1);
    assert.equal(count(`${full}; bff_session=dead`), 1);
    for (const odd of ['', '3', '3.', `-3.${NOW}`, `3.${NOW}x`, '99999.1', 'x.y', `3.${'9'.repeat(16)}`]) {
      assert.equal(count(`__Host-bff_loop=${AT}~${odd}`), 1, odd);
      assert.equal(count(`__Host-bff_loop=${odd}`), 1, odd);
    }
    clock.time = NOW + WINDOW_MS - 1;
    assert.equal(loopError(() => count(full)).code, 'login_loop');
    clock.time = NOW + WINDOW_MS;
    assert.equal(count(full), 1);
  });

  test('the window begins with the first login and is not prolonged', () => {
    const { clock, services, request } = start();
    clock.time = NOW + 30_000;
    assert.deepEqual(countLogin(request(`__Host-bff_loop=${AT}~1.${NOW}`), '/page', services), {
      host: AT,
      others: [],
      count: 2,
      since: NOW,
      windowMs: WINDOW_MS,
    });
  });

  test('goes on when two session cookies conflict, and at the limit clears both of them (R-024)', () => {
    const { count, cookies } = start();
    const twice = `bff_session=${HANDLE}; bff_session=planted`;
    assert.equal(count(`__Host-bff_loop=${AT}~1.${NOW}; ${twice}`), 2);
    const error = loopError(() => count(`__Host-bff_loop=${AT}~3.${NOW}; ${twice}`));
    assert.match(error.publicDetail, /bff_session twice with different values/);
    assert.deepEqual(
      error.headers.map(([, value]) => value),
      [...cookies.loop.expire, ...cookies.session.expire],
    );
    assert.equal(count(`__Host-bff_loop=${AT}~3.${NOW}; bff_session=${HANDLE}; bff_session=${HANDLE}`), 1);
  });

  test('is of the host that the login leads to: dashboards opened at once are no loop, each alone can be one', () => {
    const { services, cookies, request } = start();
    let cookie = '';
    const go = (host: string) => {
      const counted = countLogin(request(cookie), `https://${host}.example.test/x`, services);
      cookie = (loopHeaders(cookies, counted)[0]?.[1] ?? '').split(';')[0] ?? '';
      return counted.count;
    };
    for (const round of [1, 2, 3]) {
      for (const host of ['a', 'b', 'c', 'd']) assert.equal(go(host), round, `${host} ${round}`);
    }
    const error = loopError(() => go('b'));
    assert.match(error.publicDetail, /does not come back from b\.example\.test/);
    assert.equal(go('e'), 1, 'a fifth host takes the place of the one that was longest ago');
    assert.equal(go('a'), 1);
    assert.equal(loopError(() => go('d')).code, 'login_loop');
  });

  test('a count that another host planted without the prefix is not read', () => {
    assert.equal(start().count(`bff_loop=${AT}~3.${NOW}`), 1);
  });
});

describe('the likely cause', () => {
  test('a domain that does not cover the host, or blocked cookies', () => {
    const { count } = start();
    const error = loopError(() => count(`__Host-bff_loop=${AT}~3.${NOW}`));
    assert.match(error.publicDetail, /bff_session is set for the domain example\.test/);
  });

  test('a Secure cookie over plain http, as a trusted gateway tells', () => {
    const { count } = start();
    const cookie = `__Host-bff_loop=${AT}~3.${NOW}`;
    assert.match(loopError(() => count(cookie, { forwardedProto: 'http' })).publicDetail, /plain http/);
    const untrusted = loopError(() => count(cookie, { forwardedProto: 'http', trusted: false }));
    assert.doesNotMatch(untrusted.publicDetail, /plain http/);
  });

  test('a cookie of one host where several would need a domain', () => {
    const { count } = start('plain');
    const error = loopError(() => count(`__Host-bff_loop=${AT_PLAIN}~3.${NOW}`));
    assert.match(error.publicDetail, /plain_session belongs to localhost:8080 alone/);
  });
});
