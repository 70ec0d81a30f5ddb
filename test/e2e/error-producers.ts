import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RawResponse } from '../../scripts/attacks/raw-client.ts';
import type { ErrorCode } from '../../src/core/errors.ts';
import type { ProviderFault } from '../faults/provider-cases.ts';
import type { ProviderLab } from '../faults/provider-lab.ts';
import { answer, type MisbehavingService } from '../support/misbehaving-service.ts';
import { type Asking, createBrowser, type Header, type TestBrowser } from '../support/raw-client.ts';
import { signIdToken } from '../support/scripted-provider.ts';
import { PUBLIC_URL, SPA_ORIGIN, type TestServer } from '../support/test-server.ts';
import { AUDIENCE, type ErrorWorld } from './error-world.ts';

/** Who looks at an error: a person in a window, or a script of the allowed foreign origin. */
export type Looking = 'person' | 'script';

/** Makes one error happen, from outside. */
export type Producer = {
  run(world: ErrorWorld, looking: Looking): Promise<RawResponse>;
  /** A script of the allowed origin cannot read this answer: no site is known, or the origin is the trouble. */
  readonly withoutCors?: true;
  /** Spoken to gateways alone: JSON for a person, too. */
  readonly withoutPage?: true;
};

const SCRIPT: readonly Header[] = [
  ['origin', SPA_ORIGIN],
  ['sec-fetch-site', 'same-site'],
];
const FORM: readonly Header[] = [
  ['content-type', 'application/x-www-form-urlencoded'],
  ['sec-fetch-site', 'same-origin'],
];

/** One producer for each code that this version can produce. */
export const PRODUCERS: Readonly<Partial<Record<ErrorCode, Producer>>> = {
  bad_request: get('/api/auth/session?slide=1&slide=2'),
  ambiguous_target: get('/a/%2e%2e/b'),
  forwarded_headers_invalid: get('/', [
    ['x-forwarded-host', 'app.example.test'],
    ['x-forwarded-host', 'app.example.test'],
  ]),
  invalid_return_to: get('/auth/login?return_to=https://evil.example.test/', [], 'program'),
  unknown_idp: get('/auth/login?idp=nobody', [], 'program'),
  login_loop: {
    run: async ({ lab, clock }, looking) => {
      const browser = createBrowser(lab.server);
      browser.cookies.set('__Host-bff_loop', `app.example.test~3.${clock.now()}`);
      return browser.signIn(lab.provider, {}, asking(looking, 'program'));
    },
  },
  transaction_missing: get(`/auth/callback?code=c&state=AAAAAAAA.${'A'.repeat(43)}`, [], 'program'),
  transaction_expired: {
    run: async ({ lab, clock }, looking) => {
      const browser = createBrowser(lab.server);
      const { state } = await browser.beginLogin();
      clock.advance(600_000);
      const response = await browser.ask(`/auth/callback?code=c&state=${state}`, asking(looking, 'program'));
      clock.advance(-600_000);
      return response;
    },
  },
  callback_invalid: get('/auth/callback?code=c', [], 'program'),
  authentication_required: {
    run: ({ lab }, looking) => createBrowser(lab.server).verify({ query: 'on_fail=401', ...asking(looking) }),
  },
  invalid_token: {
    run: ({ lab }, looking) => {
      const ask = asking(looking);
      const headers: readonly Header[] = [...ask.headers, ['authorization', `Bearer ${jwtFor(AUDIENCE)}`]];
      return createBrowser(lab.server).verify({ uri: '/api/any', ...ask, headers });
    },
  },
  insufficient_user_authentication: {
    run: async ({ lab }, looking) =>
      (await signedIn(lab)).verify({ query: 'acr=gold&on_fail=401', ...asking(looking) }),
  },
  no_token_available: {
    run: async ({ lab }, looking) => (await signedIn(lab)).ask('/api/tokenless', asking(looking)),
  },
  access_denied: {
    run: async ({ lab }, looking) => (await signedIn(lab)).verify({ query: 'roles=admin', ...asking(looking) }),
  },
  login_denied: {
    run: async ({ lab }, looking) => {
      const browser = createBrowser(lab.server);
      const { state } = await browser.beginLogin();
      const query = new URLSearchParams({ error: 'access_denied', state, iss: lab.provider.issuer });
      return browser.ask(`/auth/callback?${query}`, asking(looking, 'program'));
    },
  },
  csrf_failed: {
    run: async ({ lab }, looking) => post(await signedIn(lab), '/api/echo', 'a=b', looking),
  },
  origin_not_allowed: {
    withoutCors: true,
    run: async ({ lab }, looking) => {
      const origin: readonly Header[] = looking === 'script' ? [['origin', 'https://evil.example.test']] : [];
      const headers: readonly Header[] = [...origin, ['sec-fetch-site', 'cross-site']];
      return createBrowser(lab.server).ask('/api/auth/session', { ...asking(looking), headers });
    },
  },
  untrusted_proxy: {
    withoutCors: true,
    withoutPage: true,
    run: ({ lab }, looking) => createBrowser(lab.server).verify({ from: '127.0.0.9', ...asking(looking) }),
  },
  address_not_allowed: get('/api/guarded'),
  not_found: get('/nothing-here'),
  method_not_allowed: { run: ({ lab }, looking) => post(createBrowser(lab.server), '/auth/login', 'a=b', looking) },
  body_too_large: {
    run: ({ lab }, looking) => post(createBrowser(lab.server), '/auth/logout', 'a'.repeat(16_385), looking),
  },
  target_too_long: get(`/${'a'.repeat(8_192)}`),
  unknown_host: {
    withoutCors: true,
    run: ({ lab }, looking) =>
      createBrowser(lab.server).ask('/auth/login', { host: 'other.example.test', ...asking(looking) }),
  },
  rate_limited: {
    run: async ({ lab }, looking) => {
      await createBrowser(lab.server).ask('/api/limited', asking(looking));
      return createBrowser(lab.server).ask('/api/limited', asking(looking));
    },
  },
  service_connect_failed: get('/api/closed'),
  service_bad_response: get('/api/garbage'),
  idp_bad_response: {
    run: async ({ lab }, looking) => {
      const token = answer(200, { 'content-type': 'text/html' }, '<h1>Hi</h1>');
      return (await lab.attempt({ token }, asking(looking, 'program'))).response;
    },
  },
  token_audience_mismatch: {
    run: async ({ lab }, looking) => {
      const patch: ProviderFault['patch'] = async ({ provider, keys, nonce }) => ({
        id_token: await signIdToken(provider, keys.ec, nonce),
        access_token: jwtFor('https://other.example.test'),
      });
      return (await lab.attempt({ patch }, asking(looking, 'program'))).response;
    },
  },
  store_unavailable: {
    run: ({ storeless }, looking) => {
      const browser = createBrowser(storeless);
      browser.cookies.set('bff_session', 'A'.repeat(43));
      return browser.verify(asking(looking));
    },
  },
  idp_unavailable: {
    run: async ({ lab }, looking) => {
      const token = answer(503, {}, '');
      return (await lab.attempt({ token }, asking(looking, 'program'))).response;
    },
  },
  service_unavailable: { run: ({ lab, service }, looking) => whileBusy(lab.server, service, '/api/busy', looking) },
  overloaded: { run: ({ narrow, service }, looking) => whileBusy(narrow, service, '/api/busy', looking) },
  service_timeout: get('/api/silent'),
};

/** The request of a person's window, or of a script of the allowed foreign origin. */
function asking(
  looking: Looking,
  script: Asking = 'fetch',
): { readonly as: Asking; readonly headers: readonly Header[] } {
  if (looking === 'person') return { as: 'navigation', headers: [] };
  // A callback or login by a real fetch is refused for that alone; a program without Fetch Metadata gets further.
  return { as: script, headers: script === 'fetch' ? SCRIPT : [['origin', SPA_ORIGIN]] };
}

function get(target: string, headers: readonly Header[] = [], script: Asking = 'fetch'): Producer {
  return {
    run: ({ lab }, looking) => {
      const ask = asking(looking, script);
      return createBrowser(lab.server).ask(target, { ...ask, headers: [...ask.headers, ...headers] });
    },
  };
}

function post(browser: TestBrowser, target: string, body: string, looking: Looking): Promise<RawResponse> {
  const ask = asking(looking);
  const headers = looking === 'person' ? FORM : ask.headers;
  return browser.ask(target, { ...ask, method: 'POST', headers, body });
}

async function signedIn(lab: ProviderLab): Promise<TestBrowser> {
  const { browser, response } = await lab.signIn();
  if (response.status !== 302) throw new Error(`a plain sign-in was answered ${response.status}`);
  return browser;
}

/** A JWT that nobody signed. */
function jwtFor(aud: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'ES256', typ: 'at+jwt', kid: 'test-ec' })}.${part({ aud })}.${'A'.repeat(86)}`;
}

/** Ask while another request holds what there is one of: its answer has begun and does not end. */
async function whileBusy(
  server: Pick<TestServer, 'ports'>,
  service: MisbehavingService,
  target: string,
  looking: Looking,
): Promise<RawResponse> {
  const stop = new AbortController();
  const held = fetch(`http://127.0.0.1:${server.ports.public}${target}`, {
    headers: { 'x-forwarded-host': new URL(PUBLIC_URL).host },
    signal: stop.signal,
  });
  while (service.pending() === 0) await sleep(5);
  const response = await createBrowser(server).ask(target, asking(looking));
  const metrics = await fetch(`http://127.0.0.1:${server.ports.admin}/metrics`);
  assert.equal(metrics.status, 200, 'the operator is answered however busy it is');
  assert.match(await metrics.text(), /^sallyport_requests_in_flight 2$/m);
  stop.abort();
  await held.catch(() => {});
  while (service.pending() > 0) await sleep(5);
  return response;
}
