// A provider that is away for a minute under load. The minute passes on the server's clock; a real outage of seconds
// in a cluster is in test/e2e/refresh-cluster.test.ts.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answer, answerJson, type ReceivedRequest, reset } from '../support/misbehaving-service.ts';
import { createBrowser, headerOf, type TestBrowser } from '../support/raw-client.ts';
import { signIdToken } from '../support/scripted-provider.ts';
import { createMovableClock } from '../support/test-server.ts';
import { until } from '../support/until.ts';
import { codeOfPage, type ProviderLab, startProviderLab } from './provider-lab.ts';

const SESSIONS = 20;
const OUTAGE_S = 60;
/** Of those whose token ends: long enough to be signed in, over when the outage begins. */
const SHORT_S = 70;

describe('a provider that is away for a minute', () => {
  const clock = createMovableClock();
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab({
      clock,
      idp: { timeout: { connect: '500ms', total: '2s' } },
      settings: { refresh: { lead: '0s', jitter: '0s', wait_max: '2s' }, session: { max_per_user: 0 } },
      expectedErrors: ['idp_unavailable', 'service_timeout'],
    });
  });
  after(() => lab.close());

  async function signIn(number: number, expiresInS: number): Promise<TestBrowser> {
    const { browser, response } = await lab.attempt({
      patch: async ({ provider, keys, nonce }) => ({
        id_token: await signIdToken(provider, keys.ec, nonce),
        access_token: `at-${number}-before`,
        refresh_token: `rt-${number}-0`,
        expires_in: expiresInS,
      }),
    });
    assert.equal(response.status, 302, response.body);
    return browser;
  }

  test('good tokens work, ended ones are answered without a token or wait, nobody is signed out, all recover by themselves', async () => {
    const good = await Promise.all(Array.from({ length: SESSIONS }, (_, index) => signIn(index, 86_400)));
    const ended = await Promise.all(Array.from({ length: SESSIONS }, (_, index) => signIn(100 + index, SHORT_S)));
    const { front } = lab.provider;
    const before = front.requests('/token').length;
    clock.advance(SHORT_S * 1_000);
    for (let second = 0; second < OUTAGE_S; second += 1) {
      front.on('/token', second % 2 === 0 ? reset() : answer(503, { 'retry-after': '1' }, 'busy'));
      const answers = await Promise.all([...good, ...ended].map((browser) => browser.verify({ as: 'fetch' })));
      for (const [index, { status, ...rest }] of answers.entries()) {
        const token = index < SESSIONS ? `Bearer at-${index}-before` : '';
        assert.deepEqual([status, headerOf({ status, ...rest }, 'authorization')], [200, token], `second ${second}`);
      }
      const refused = await ended[second % SESSIONS]?.ask('/auth/refresh', {
        as: 'fetch',
        method: 'POST',
        body: '',
        headers: [
          ['origin', 'https://app.example.test'],
          ['x-csrf', '1'],
        ],
      });
      assert.equal(refused?.status, 503, 'no 401: nobody is told to sign in again');
      clock.advance(1_000);
    }
    const calls = front.requests('/token').length - before;
    // Without breaker and back-off each of the twenty would ask each second.
    assert.ok(calls >= 10 && calls < 2 * OUTAGE_S, `${calls} calls in the outage`);
    await assertLoginsSaySo();

    front.on('/token', (request, response) => {
      const number = tokenOf(request).split('-')[1];
      answerJson({
        access_token: `at-${number}-after`,
        refresh_token: `rt-${number}-1`,
        token_type: 'Bearer',
        expires_in: 86_400,
      })(request, response);
    });
    const recovered = async (): Promise<boolean> => {
      clock.advance(1_000);
      const answers = await Promise.all(ended.map((browser) => browser.verify({ as: 'fetch' })));
      return answers.every(({ status, ...rest }, index) => {
        assert.equal(status, 200);
        return headerOf({ status, ...rest }, 'authorization') === `Bearer at-${100 + index}-after`;
      });
    };
    await until(recovered, 'everybody has a new token', 30_000);
    const sent = front
      .requests('/token')
      .slice(before)
      .map(tokenOf)
      .filter((token) => token !== '');
    assert.ok(
      sent.every((token) => token.endsWith('-0')),
      'no refresh token was spent twice',
    );
    front.off('/token');
    assert.equal((await lab.signIn()).response.status, 302);
    assert.equal(await lab.server.metric('sallyport_refreshes_in_flight'), 0);
    await until(async () => (await lab.server.metric('sallyport_outbound_sockets')) === 0, 'no socket is left', 15_000);
  });

  async function assertLoginsSaySo(): Promise<void> {
    lab.provider.front.on('/token', reset());
    const browser = createBrowser(lab.server);
    const { state, nonce } = await browser.beginLogin();
    const code = lab.provider.codeFor({ nonce });
    const query = new URLSearchParams({ code, state, iss: lab.provider.issuer });
    const response = await browser.ask(`/auth/callback?${query}`);
    assert.deepEqual([response.status, codeOfPage(response)], [503, 'idp_unavailable']);
    assert.match(headerOf(response, 'retry-after') ?? '', /^[1-9]\d*$/);
  }
});

const tokenOf = ({ body }: ReceivedRequest): string => new URLSearchParams(body).get('refresh_token') ?? '';
