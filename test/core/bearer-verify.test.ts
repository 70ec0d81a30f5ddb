import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Route } from '../../src/core/config/types.ts';
import type { RequestContext } from '../../src/core/context.ts';
import { type VerifyServices, verify } from '../../src/core/verify.ts';
import type { Decision } from '../../src/core/verify-decision.ts';
import { type BearerWorld, createBearerWorld, type Patch } from './bearer-world.ts';
import { brief, contextOf, decisionOf, direct, NAVIGATION, routeOf, type Scene, servicesOf } from './world.ts';

type BearerScene = Scene & {
  readonly claims?: Patch;
  /** Replaces `Bearer <the token>`. */
  readonly authorization?: (token: string) => string;
  readonly request?: Partial<RequestContext>;
  readonly query?: string;
  /** Bearer tokens are on unless this is false. */
  readonly bearer?: boolean;
};

const ENTRY = { allPeersTrusted: false, shared: false, tail: false };
const NO_SESSION = { session: null } as const;

/** Ask verify about a request that brings a token beside a live cookie. */
async function decide(scene: BearerScene): Promise<Decision> {
  const world = await createBearerWorld();
  const token = await world.sign(scene.claims);
  const authorization = scene.authorization?.(token) ?? `Bearer ${token}`;
  const services = servicesOf(scene);
  const context = contextOf({ authorization, query: scene.query ?? '', ...scene.request });
  return decisionOf(verify(context, ENTRY, scene.bearer === false ? services : withBearer(services, world)));
}

function withBearer(services: VerifyServices, { tokens }: BearerWorld): VerifyServices {
  return { ...services, bearer: tokens };
}

const decided = async (scene: BearerScene): Promise<string> => brief(await decide(scene));
const on = (route: Partial<Route>): { readonly routes: readonly Route[] } => ({
  routes: [routeOf({ id: 'r', paths: ['/*'], ...route })],
});

describe('a bearer token beside a cookie', () => {
  test('decides alone: its identity is answered, not that of the session', async () => {
    const decision = await decide({ claims: { sub: 'u9' } });
    assert.ok(decision.kind === 'allow');
    assert.equal(decision.headers.pairs[decision.headers.pairs.indexOf('X-User-Id') + 1], 'u9');
  });

  test('decides alone when it is invalid: 401 and no fall-back to the cookie (R-088)', async () => {
    const decision = await decide({ claims: { aud: 'other' }, request: NAVIGATION });
    assert.equal(brief(decision), 'invalid_token bearer_audience');
    assert.ok(decision.kind === 'deny');
    assert.equal(decision.challenge, ', error_description="The token is meant for somebody else"');
  });

  const odd: readonly (readonly [authorization: (token: string) => string, decision: string])[] = [
    [() => 'Bearer', 'invalid_token bearer_parts'],
    [(token) => `Bearer ${token} ${token}`, 'invalid_token bearer_parts'],
    [(token) => `Bearer ${token},`, 'invalid_token bearer_base64url'],
    [(token) => `bEARER  ${token}`, 'allow'],
    [() => 'Basic YTpi', 'allow'],
    [(token) => `DPoP ${token}`, 'invalid_token bearer_not_bound'],
    [() => 'DPoP', 'invalid_token bearer_parts'],
  ];
  for (const [authorization, expected] of odd) {
    test(`${JSON.stringify(authorization('T'))} beside a live cookie: ${expected}`, async () => {
      assert.equal(await decided({ authorization }), expected);
    });
  }

  test('is ignored where bearer tokens are off', async () => {
    assert.equal(await decided({ bearer: false, claims: { aud: 'other' } }), 'allow');
    assert.equal(await decided({ bearer: false, ...NO_SESSION }), 'authentication_required unknown_session');
  });
});

describe('where a bearer token counts (D-09)', () => {
  const valid = {};
  const invalid = { aud: 'other' };
  const table: readonly (readonly [auth: Route['auth'], claims: Patch, session: 'live' | 'none', decision: string])[] =
    [
      ['session', valid, 'live', 'allow'],
      ['session', valid, 'none', 'authentication_required unknown_session'],
      ['session', invalid, 'live', 'allow'],
      ['bearer', valid, 'none', 'allow'],
      ['bearer', invalid, 'live', 'invalid_token bearer_audience'],
      ['any', valid, 'none', 'allow'],
      ['any', invalid, 'live', 'invalid_token bearer_audience'],
      ['optional', valid, 'none', 'allow'],
      ['optional', invalid, 'none', 'invalid_token bearer_audience'],
      ['none', invalid, 'none', 'allow'],
    ];
  for (const [auth, claims, session, expected] of table) {
    const what = claims === valid ? 'a valid' : 'an invalid';
    test(`auth: ${auth} with ${what} token, session ${session}: ${expected}`, async () => {
      assert.equal(await decided({ ...on({ auth }), claims, ...(session === 'none' ? NO_SESSION : {}) }), expected);
    });
  }

  const without: readonly (readonly [auth: Route['auth'], decision: string])[] = [
    ['bearer', 'authentication_required no_bearer'],
    ['any', 'allow'],
    ['optional', 'allow'],
  ];
  for (const [auth, expected] of without) {
    test(`auth: ${auth} without a token beside a live cookie: ${expected}`, async () => {
      assert.equal(await decided({ ...on({ auth }), authorization: () => '', request: NAVIGATION }), expected);
    });
  }

  test('without a matching route a token or a session will do', async () => {
    assert.equal(await decided(NO_SESSION), 'allow');
    assert.equal(await decided({ authorization: () => '' }), 'allow');
  });

  test('a route without identity headers says nothing about the bearer either', async () => {
    const decision = await decide(on({ auth: 'bearer', identityHeaders: false }));
    assert.ok(decision.kind === 'allow');
    assert.ok(decision.headers.pairs.every((text, at) => at % 2 === 0 || text === ''));
  });
});

describe('what a bearer may do', () => {
  const editor = { roles: ['editor'], groups: ['staff'], scope: 'read', acr: 'gold' };
  const rules: readonly (readonly [query: string, decision: string])[] = [
    ['roles=editor', 'allow'],
    ['roles=admin', 'access_denied role'],
    ['groups=staff', 'allow'],
    ['groups=board', 'access_denied group'],
    ['scopes=read', 'allow'],
    ['scopes=read,write', 'access_denied scope'],
    ['acr=gold', 'allow'],
    ['acr=platinum', 'insufficient_user_authentication acr'],
  ];
  for (const [query, expected] of rules) {
    test(`${query}: ${expected}, for a navigation too`, async () => {
      assert.equal(await decided({ query, claims: editor, request: NAVIGATION }), expected);
    });
  }

  test('the rules of the route hold', async () => {
    assert.equal(await decided({ ...on({ auth: 'any', roles: ['admin'] }), claims: editor }), 'access_denied role');
    assert.equal(await decided({ ...on({ auth: 'any', scopes: ['read'] }), claims: editor }), 'allow');
  });

  test('the CSRF rule is for cookies: a foreign origin may use a bearer token', async () => {
    const request = { forwardedMethod: 'POST', origin: 'https://evil.test', secFetchSite: 'cross-site' };
    assert.equal(await decided({ request }), 'allow');
    assert.equal(await decided({ request, authorization: () => '' }), 'csrf_failed fetch_site');
  });

  test('a valid token without a scope that its issuer must give is refused with 403', async () => {
    const world = await createBearerWorld({ issuer: { requiredScopes: ['api'] } });
    const context = contextOf({ authorization: `Bearer ${await world.sign()}` });
    assert.equal(
      brief(await decisionOf(verify(context, ENTRY, withBearer(servicesOf({}), world)))),
      'access_denied bearer_scope',
    );
  });

  test('a remembered token is decided without a promise', async () => {
    const world = await createBearerWorld();
    const context = contextOf({ authorization: `Bearer ${await world.sign()}` });
    const services = withBearer(servicesOf(NO_SESSION), world);
    assert.equal(brief(await decisionOf(verify(context, ENTRY, services))), 'allow');
    assert.equal(brief(direct(verify(context, ENTRY, services))), 'allow');
  });
});
