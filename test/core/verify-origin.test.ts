import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Route } from '../../src/core/config/types.ts';
import type { RequestContext } from '../../src/core/context.ts';
import { ask, brief, routeOf, type Scene } from './world.ts';

type Row = readonly [why: string, request: Partial<RequestContext>, outcome: string, scene?: Scene];

function check(table: readonly Row[]): void {
  for (const [why, request, outcome, scene] of table) {
    test(why, () => assert.equal(brief(ask(request, scene)), outcome));
  }
}

/** The scene of one route for everything. */
function at(route: Partial<Route>, scene: Scene = {}): Scene {
  return { ...scene, routes: [routeOf({ id: 'r', paths: ['/*'], ...route })] };
}

const NOBODY = { cookie: '' };

describe('cross-site requests (R-091, R-154, D-09)', () => {
  const post = { forwardedMethod: 'POST' };
  const ours = 'https://app.example.test';
  check([
    ['reading is safe', { origin: 'https://evil.test', secFetchSite: 'cross-site' }, 'allow'],
    ['HEAD is safe', { forwardedMethod: 'HEAD', origin: 'https://evil.test' }, 'allow'],
    ['same origin', { ...post, origin: ours, secFetchSite: 'same-origin' }, 'allow'],
    ['same origin by Fetch Metadata alone', { ...post, secFetchSite: 'same-origin' }, 'allow'],
    ['an allowed origin', { ...post, origin: 'https://tenant1.apps.example.test', secFetchSite: 'same-site' }, 'allow'],
    [
      'a listed origin of another site',
      { ...post, origin: 'https://partner.test', secFetchSite: 'cross-site' },
      'allow',
    ],
    [
      'our origin, but cross-site: somebody lies',
      { ...post, origin: ours, secFetchSite: 'cross-site' },
      'csrf_failed fetch_site',
    ],
    [
      'a foreign origin',
      { ...post, origin: 'https://evil.test', secFetchSite: 'cross-site' },
      'csrf_failed fetch_site',
    ],
    ['a foreign origin without Fetch Metadata', { ...post, origin: 'https://evil.test' }, 'csrf_failed origin'],
    [
      'a sibling that is not listed',
      { ...post, origin: 'https://blog.example.test', secFetchSite: 'same-site' },
      'csrf_failed origin',
    ],
    ['origin null', { ...post, origin: 'null' }, 'csrf_failed origin'],
    ['cross-site without Origin', { ...post, secFetchSite: 'cross-site' }, 'csrf_failed fetch_site'],
    ['typed in: nobody types a POST', { ...post, secFetchSite: 'none' }, 'csrf_failed fetch_site'],
    ['same-site without Origin', { ...post, secFetchSite: 'same-site' }, 'csrf_failed fetch_site'],
    ['an allowed referer', { ...post, referer: `${ours}/page?x` }, 'allow'],
    ['a foreign referer', { ...post, referer: 'https://evil.test/app.example.test' }, 'csrf_failed referer'],
    ['no URL as referer', { ...post, referer: 'about' }, 'csrf_failed referer'],
    ['a program says none of it', post, 'allow'],
    ['every unsafe method', { forwardedMethod: 'PROPPATCH', origin: 'https://evil.test' }, 'csrf_failed origin'],
    ['switched off', { ...post, origin: 'https://evil.test' }, 'allow', { settings: 'verify: {csrf: none}\n' }],
    ['switched off for a route', { ...post, origin: 'https://evil.test' }, 'allow', at({ csrf: 'none' })],
    ['a route that guards reading too', { origin: 'https://evil.test' }, 'csrf_failed origin', at({ csrf: 'all' })],
    [
      'without a session there is nothing to abuse',
      { ...post, ...NOBODY, origin: 'https://evil.test' },
      'authentication_required no_cookie',
    ],
    ['a handshake of an allowed origin', { forwardedProto: 'wss', origin: ours }, 'allow'],
    ['a handshake of a foreign origin', { forwardedProto: 'wss', origin: 'https://evil.test' }, 'csrf_failed origin'],
    ['told by its key alone', { webSocketKey: 'k', origin: 'https://evil.test' }, 'csrf_failed origin'],
    ['a handshake of a program', { forwardedProto: 'wss' }, 'allow'],
  ]);
});

describe('preflights', () => {
  const preflight = { ...NOBODY, forwardedMethod: 'OPTIONS', origin: 'https://app.example.test', corsMethod: 'PUT' };
  check([
    ['a real one passes', preflight, 'allow'],
    ['whatever the origin: the application answers it', { ...preflight, origin: 'https://evil.test' }, 'allow'],
    ['without Origin it is none', { ...preflight, origin: '' }, 'authentication_required no_cookie'],
    ['without the asked method it is none', { ...preflight, corsMethod: '' }, 'authentication_required no_cookie'],
    ['another method is none', { ...preflight, forwardedMethod: 'GET' }, 'authentication_required no_cookie'],
    ['an unknown host gets none', { ...preflight, forwardedHost: 'evil.test' }, 'unknown_host host'],
  ]);
});
