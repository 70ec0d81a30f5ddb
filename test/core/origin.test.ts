import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RequestContext } from '../../src/core/context.ts';
import { compileOriginRules, isNavigation, isUnsafeMethod, originProblem } from '../../src/core/origin.ts';
import { compileSites } from '../../src/core/sites.ts';
import { contextOf, getSite, NAVIGATION, worldConfig } from './world.ts';

const config = worldConfig(
  'cors: {allow_headers: [content-type], expose_headers: [x-request-id, x-a], max_age: 90s}\n',
);
const rules = compileOriginRules(config);
const site = getSite(compileSites(config), 'main');

describe('preflight answers', () => {
  test('an allowed origin is told methods, headers with our own proof, and how long', () => {
    const context = contextOf({ origin: 'https://partner.test', corsMethod: 'POST', corsHeaders: 'authorization' });
    assert.deepEqual(rules.preflightHeaders(site, context), [
      ['vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers'],
      ['access-control-allow-origin', 'https://partner.test'],
      ['access-control-allow-credentials', 'true'],
      ['access-control-allow-methods', 'GET, HEAD, POST, PUT, PATCH, DELETE'],
      ['access-control-allow-headers', 'content-type, x-csrf'],
      ['access-control-max-age', '90'],
    ]);
  });

  test('any other origin is told nothing', () => {
    for (const origin of [
      'https://evil.test',
      'null',
      '',
      'https://app.example.test.evil.test',
      'http://app.example.test',
    ]) {
      assert.equal(rules.preflightHeaders(site, contextOf({ origin, corsMethod: 'POST' })), undefined);
      assert.deepEqual(rules.corsHeaders(site, origin), [['vary', 'Origin']]);
    }
  });

  test('an answer to an allowed origin exposes the configured headers and no star', () => {
    assert.deepEqual(rules.corsHeaders(site, 'https://app.example.test'), [
      ['vary', 'Origin'],
      ['access-control-allow-origin', 'https://app.example.test'],
      ['access-control-allow-credentials', 'true'],
      ['access-control-expose-headers', 'x-request-id, x-a'],
    ]);
    assert.deepEqual(rules.corsHeaders(undefined, 'https://app.example.test'), [['vary', 'Origin']]);
  });
});

describe('navigations', () => {
  const table: readonly (readonly [why: string, method: string, request: Partial<RequestContext>, is: boolean])[] = [
    ['a typed address', 'GET', NAVIGATION, true],
    ['HEAD', 'HEAD', NAVIGATION, true],
    ['mode alone', 'GET', { secFetchMode: 'navigate' }, true],
    ['Accept alone', 'GET', { accept: 'text/html' }, true],
    ['POST', 'POST', NAVIGATION, false],
    ['lower case', 'get', NAVIGATION, false],
    ['a frame', 'GET', { ...NAVIGATION, secFetchDest: 'iframe' }, false],
    ['an object', 'GET', { ...NAVIGATION, secFetchDest: 'object' }, false],
    ['a fetch that asks for HTML', 'GET', { secFetchMode: 'cors', secFetchDest: 'empty', accept: 'text/html' }, false],
    ['destination without mode', 'GET', { secFetchDest: 'document', accept: 'text/html' }, false],
    ['a handshake', 'GET', { ...NAVIGATION, webSocketKey: 'k' }, false],
    ['an upgrade', 'GET', { ...NAVIGATION, upgrade: 'websocket' }, false],
    ['JSON', 'GET', { accept: 'application/json' }, false],
    ['anything', 'GET', { accept: '*/*' }, false],
    ['nothing said', 'GET', {}, false],
  ];
  for (const [why, method, request, is] of table) {
    test(why, () => assert.equal(isNavigation(method, contextOf({ accept: '', ...request })), is));
  }
});

test('unsafe is every method but GET, HEAD and OPTIONS, as written', () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS']) assert.equal(isUnsafeMethod(method), false);
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'get', ''])
    assert.equal(isUnsafeMethod(method), true);
});

describe('the origin of unsafe requests', () => {
  test('silence is refused where browsers alone are expected, and allowed where programs are', () => {
    assert.equal(originProblem(contextOf(), site, 'refuse'), 'no_origin');
    assert.equal(originProblem(contextOf(), site, 'allow'), undefined);
  });

  test('a typed address is never an unsafe request, whatever Origin says', () => {
    const context = contextOf({ origin: 'https://app.example.test', secFetchSite: 'none' });
    assert.equal(originProblem(context, site, 'allow'), 'fetch_site');
  });

  test('a bad origin is refused in both cases, whatever the referer says', () => {
    const context = contextOf({ origin: 'https://evil.test', referer: 'https://app.example.test/' });
    for (const silent of ['allow', 'refuse'] as const) assert.equal(originProblem(context, site, silent), 'origin');
  });

  test('a foreign origin may come cross-site if it is listed, one of our hosts may not (D-44)', () => {
    const from = (origin: string): string | undefined =>
      originProblem(contextOf({ origin, secFetchSite: 'cross-site' }), site, 'refuse');
    assert.equal(from('https://partner.test'), undefined);
    for (const origin of ['https://app.example.test', 'https://evil.test', 'null', '']) {
      assert.equal(from(origin), 'fetch_site', origin);
    }
  });
});
