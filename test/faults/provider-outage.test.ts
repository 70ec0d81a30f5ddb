import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { answer, answerJson, type Behaviour, fill, hang, reset } from '../support/misbehaving-service.ts';
import { createBrowser, headerOf } from '../support/raw-client.ts';
import { type ScriptedProvider, startScriptedProvider } from '../support/scripted-provider.ts';
import { startTestServer, type TestServer, type TestServerOptions } from '../support/test-server.ts';
import { until } from '../support/until.ts';
import { assertNoSecrets, assertRefused, codeOfPage, startProviderLab } from './provider-lab.ts';

const WELL_KNOWN = '/.well-known/openid-configuration';
const METADATA_LINE = 'provider metadata could not be read; trying again';

/** Run with a provider that was prepared before the server started. */
async function withProvider(
  prepare: (provider: ScriptedProvider) => Promise<unknown> | unknown,
  run: (provider: ScriptedProvider, server: TestServer) => Promise<void>,
  options: Partial<TestServerOptions> = {},
): Promise<void> {
  const provider = await startScriptedProvider();
  try {
    await prepare(provider);
    const server = await startTestServer({ idps: provider.idps(), peers: [provider.front], ...options });
    try {
      await run(provider, server);
    } finally {
      await server.close();
    }
  } finally {
    await provider.close();
  }
}

/** What the server says while it has no metadata: not ready, login 503 with Retry-After, verify unharmed. */
async function assertNotReady(server: TestServer): Promise<void> {
  await server.whenReady(503);
  const browser = createBrowser(server);
  const readiness = await browser.ask('/readyz', { as: 'program' });
  assert.deepEqual([readiness.status, JSON.parse(readiness.body).status], [503, 'starting']);
  assert.equal((await browser.ask('/health', { as: 'program' })).status, 200, 'it is alive');
  const login = await browser.ask('/auth/login');
  assert.deepEqual([login.status, codeOfPage(login), headerOf(login, 'retry-after')], [503, 'idp_unavailable', '5']);
  assert.equal((await browser.verify({ as: 'fetch' })).status, 401);
}

async function assertSignsIn(provider: ScriptedProvider, server: TestServer): Promise<void> {
  const browser = createBrowser(server);
  assert.equal((await browser.signIn(provider)).status, 302);
  assert.equal((await browser.verify({ as: 'fetch' })).status, 200);
  assertNoSecrets(provider, server, { received: [] });
}

describe('a start without the provider', { concurrency: 4 }, () => {
  test('serves, is not ready, and recovers by itself when discovery answers', () =>
    withProvider(
      ({ front }) => front.down(),
      async (provider, server) => {
        await assertNotReady(server);
        await provider.front.up();
        await server.whenReady();
        await assertSignsIn(provider, server);
      },
      { expectedErrors: ['idp_unavailable'] },
    ));

  const faults: readonly (readonly [string, RegExp, (provider: ScriptedProvider) => Behaviour | Promise<Behaviour>])[] =
    [
      ['that resets the connection', /idp_unavailable/, () => reset()],
      ['that answers nothing', /service_timeout/, () => hang()],
      ['of more than 1 MiB', /idp_bad_response/, () => fill(1_048_577)],
      [
        'that is HTML',
        /content-type|RESPONSE_IS_NOT_JSON/i,
        () => answer(200, { 'content-type': 'text/html' }, '<h1>'),
      ],
      ['that is truncated', /parse/i, () => answer(200, { 'content-type': 'application/json' }, '{"issuer":')],
      ['that redirects', /status code/i, () => answer(302, { location: '/elsewhere' }, '')],
      ['of another issuer', /https:\/\/other\.example\.test/, metadataWith({ issuer: 'https://other.example.test' })],
      ['without an issuer', /issuer/, metadataWith({ issuer: undefined })],
      ['without a token endpoint', /no usable token_endpoint/, metadataWith({ token_endpoint: undefined })],
      ['whose jwks_uri is no URL', /no usable jwks_uri/, metadataWith({ jwks_uri: 'jwks' })],
      [
        'with plain http',
        /token_endpoint .*is not https/,
        metadataWith({ token_endpoint: 'http://idp.example.test/t' }),
      ],
      [
        'with http to a look-alike of loopback',
        /is not https/,
        metadataWith({ jwks_uri: 'http://127.evil.test/jwks' }),
      ],
      [
        'that demands PAR',
        /no pushed_authorization_request_endpoint/,
        metadataWith({ require_pushed_authorization_requests: true }),
      ],
    ];
  for (const [name, reason, behaviour] of faults) {
    test(`metadata ${name}: the log says why, and it recovers by itself`, () =>
      withProvider(
        async (provider) => provider.front.on(WELL_KNOWN, await behaviour(provider)),
        async (provider, server) => {
          const line = () => server.log.find(({ msg }) => msg === METADATA_LINE);
          await until(() => line() !== undefined, 'a line about the metadata');
          assert.match(JSON.stringify(line()), reason);
          await assertNotReady(server);
          assert.deepEqual(provider.front.requests('/elsewhere'), []);
          provider.front.off(WELL_KNOWN);
          await server.whenReady();
          await assertSignsIn(provider, server);
        },
        { expectedErrors: ['idp_unavailable'] },
      ));
  }

  test('an issuer with a slash more is refused with the spelling to copy', () =>
    withProvider(
      async (provider) =>
        provider.front.on(WELL_KNOWN, answerJson(await provider.metadata({ issuer: `${provider.issuer}/` }))),
      async (provider, server) => {
        await until(() => server.log.some(({ msg }) => msg === METADATA_LINE), 'a line about the metadata');
        const text = JSON.stringify(server.log.find(({ msg }) => msg === METADATA_LINE));
        assert.ok(text.includes(`${provider.issuer}/`), text);
        assert.match(text, /copy the provider's spelling/);
      },
    ));

  test('an optional endpoint that is no URL counts as absent: sign-in and sign-out work', () =>
    withProvider(
      async (provider) =>
        provider.front.on(
          WELL_KNOWN,
          answerJson(await provider.metadata({ end_session_endpoint: 'nowhere', revocation_endpoint: null })),
        ),
      async (provider, server) => {
        await server.whenReady();
        const browser = createBrowser(server);
        assert.equal((await browser.signIn(provider)).status, 302);
        const farewell = await browser.ask('/auth/logout');
        assert.equal(farewell.status, 200);
        assert.match(farewell.body, /<h1>Signed out<\/h1>/);
        assert.equal(browser.cookies.has('bff_session'), false);
      },
    ));
});

test('a server that stops while metadata is being read asks for it no more', () =>
  withProvider(
    ({ front }) => front.on(WELL_KNOWN, hang()),
    async (provider, server) => {
      await until(() => provider.front.pending() === 1, 'a metadata request under way');
      await server.close();
      const asked = provider.front.requests(WELL_KNOWN).length;
      const lines = server.log.length;
      await new Promise((resolve) => setTimeout(resolve, 800));
      assert.deepEqual([provider.front.requests(WELL_KNOWN).length, server.log.length], [asked, lines]);
    },
  ));

test('an outage of the whole provider harms no live session and needs no restart', async () => {
  const lab = await startProviderLab({ expectedErrors: ['idp_unavailable'] });
  const { provider, server } = lab;
  try {
    const [stays, leaves] = [(await lab.signIn()).browser, (await lab.signIn()).browser];
    await provider.front.down();
    for (let i = 0; i < 3; i++) assert.equal((await stays.verify({ as: 'fetch' })).status, 200);
    const session = await stays.ask('/api/auth/session', { as: 'fetch' });
    assert.equal(JSON.parse(session.body).authenticated, true);
    await server.whenReady(200);
    const refused = await lab.attempt({});
    await assertRefused(lab, refused, 'idp_unavailable');
    const farewell = await leaves.ask('/auth/logout');
    assert.equal(farewell.status, 200, 'signing out does not wait for the provider');
    assert.equal((await leaves.verify({ as: 'fetch' })).status, 401);
    await provider.front.up();
    assert.equal((await lab.signIn()).response.status, 302);
    assert.equal((await stays.verify({ as: 'fetch' })).status, 200);
    assertNoSecrets(provider, server, refused.browser);
  } finally {
    await lab.close();
  }
});

function metadataWith(different: Readonly<Record<string, unknown>>) {
  return async (provider: ScriptedProvider): Promise<Behaviour> => answerJson(await provider.metadata(different));
}
