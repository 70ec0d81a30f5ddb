import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertNoSecrets, type LabOptions, type ProviderLab, startProviderLab } from '../faults/provider-lab.ts';
import {
  answerJson,
  type Behaviour,
  hang,
  type ReceivedRequest,
  reset,
  startMisbehavingService,
} from '../support/misbehaving-service.ts';
import { type Ask, headerOf, type TestBrowser } from '../support/raw-client.ts';
import { signIdToken } from '../support/scripted-provider.ts';
import { createMovableClock, type MovableClock, PUBLIC_URL } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const LIFE_S = 100;
/** What a script of ours sends with an unsafe request. */
const OWN: Ask = {
  as: 'fetch',
  method: 'POST',
  body: '',
  headers: [
    ['origin', PUBLIC_URL],
    ['x-csrf', '1'],
  ],
};

type Signed = {
  readonly lab: ProviderLab;
  readonly clock: MovableClock;
  readonly browser: TestBrowser;
  /** Refresh tokens that were sent so far. */
  sent(): (string | null)[];
  /** A token answer for this session. */
  answer(number: number, different?: Readonly<Record<string, unknown>>, claims?: object): Promise<object>;
};

async function withSession(
  run: (signed: Signed) => Promise<void>,
  options: LabOptions = {},
  refreshToken = 'rt-0-of-a-test',
): Promise<void> {
  const clock = createMovableClock();
  const lab = await startProviderLab({ ...options, clock });
  try {
    const { provider, keys } = lab;
    const { browser, response } = await lab.attempt({
      patch: async ({ nonce }) => ({
        id_token: await signIdToken(provider, keys.ec, nonce, { roles: ['editor'] }),
        access_token: 'at-0-of-a-test',
        expires_in: LIFE_S,
        refresh_token: refreshToken === '' ? undefined : refreshToken,
      }),
    });
    assert.equal(response.status, 302);
    await run({
      lab,
      clock,
      browser,
      sent: () => provider.front.requests('/token').slice(1).map(refreshTokenOf),
      answer: async (number, different = {}, claims = {}) => ({
        access_token: `at-${number}-of-a-test`,
        token_type: 'Bearer',
        expires_in: LIFE_S,
        refresh_token: `rt-${number}-of-a-test`,
        id_token: await signIdToken(provider, keys.ec, 'unused', { roles: ['admin'], ...claims }),
        ...different,
      }),
    });
    assertNoSecrets(provider, lab.server, { received: [] });
  } finally {
    await lab.close();
  }
}

const refreshTokenOf = ({ body }: ReceivedRequest): string | null => new URLSearchParams(body).get('refresh_token');
const tokenOf = (response: Parameters<typeof headerOf>[0]): string | undefined => headerOf(response, 'authorization');
const bodyOf = ({ body }: { readonly body: string }) => JSON.parse(body) as Record<string, unknown>;

describe('verify while a token ends', () => {
  test('near its end it is renewed in the background; after it the request waits; claims are those of the new ID token', () =>
    withSession(async ({ lab, clock, browser, sent, answer }) => {
      lab.provider.front.on('/token', answerJson(await answer(1)));
      const before = await browser.verify({ as: 'fetch' });
      assert.deepEqual([tokenOf(before), headerOf(before, 'x-user-roles')], ['Bearer at-0-of-a-test', 'editor']);
      clock.advance(60_000);
      assert.equal(tokenOf(await browser.verify({ as: 'fetch' })), 'Bearer at-0-of-a-test', 'nobody waits');
      await until(
        async () => tokenOf(await browser.verify({ as: 'fetch' })) === 'Bearer at-1-of-a-test',
        'the new one',
      );
      assert.equal(headerOf(await browser.verify({ as: 'fetch' }), 'x-user-roles'), 'admin');
      lab.provider.front.on('/token', answerJson(await answer(2)));
      clock.advance(LIFE_S * 1000);
      const waited = await browser.verify({ as: 'fetch' });
      assert.deepEqual([waited.status, tokenOf(waited)], [200, 'Bearer at-2-of-a-test']);
      assert.equal(headerOf(waited, 'set-cookie'), undefined, 'the cookie stays as it is');
      assert.deepEqual(sent(), ['rt-0-of-a-test', 'rt-1-of-a-test']);
    }));

  test('without a refresh token it is over with the token, as before', () =>
    withSession(
      async ({ clock, browser, sent }) => {
        clock.advance(LIFE_S * 1000);
        assert.equal((await browser.verify({ as: 'fetch' })).status, 401);
        const info = bodyOf(await browser.ask('/api/auth/session', { as: 'fetch' }));
        assert.equal(info['authenticated'], false);
        assert.deepEqual(sent(), []);
      },
      {},
      '',
    ));

  test('while the provider is away: identity without a token, or 503 where the settings say so', async () => {
    await withSession(async ({ lab, clock, browser }) => {
      lab.provider.front.on('/token', reset());
      clock.advance(LIFE_S * 1000);
      const response = await browser.verify({ as: 'fetch' });
      assert.deepEqual([response.status, tokenOf(response), headerOf(response, 'x-user-id')], [200, '', 'u-alice']);
    });
    await withSession(
      async ({ lab, clock, browser, answer }) => {
        lab.provider.front.on('/token', hang());
        clock.advance(LIFE_S * 1000);
        const refused = await browser.verify({ as: 'fetch', headers: [['origin', PUBLIC_URL]] });
        assert.deepEqual([refused.status, bodyOf(refused)['code']], [503, 'idp_unavailable']);
        assert.match(headerOf(refused, 'retry-after') ?? '', /^[1-9]$/);
        assert.equal(headerOf(refused, 'access-control-allow-origin'), PUBLIC_URL, 'a script may read it');
        lab.provider.front.on('/token', answerJson(await answer(1)));
        clock.advance(5_000);
        assert.equal((await browser.verify({ as: 'fetch' })).status, 200, 'recovery');
      },
      { settings: { verify: { expired_token: 'unavailable' } }, expectedErrors: ['idp_unavailable'] },
    );
  });

  test('the session check stays authenticated, and counts the session instead of the token', () =>
    withSession(async ({ lab, clock, browser, answer }) => {
      const info = async () => bodyOf(await browser.ask('/api/auth/session', { as: 'fetch' }));
      assert.equal((await info())['expires_in'], 1_800);
      lab.provider.front.on('/token', answerJson({}, 503));
      clock.advance(LIFE_S * 1000);
      assert.equal((await info())['authenticated'], true);
      lab.provider.front.on('/token', answerJson(await answer(1)));
      clock.advance(5_000);
      assert.equal((await info())['authenticated'], true);
      assert.equal(tokenOf(await browser.verify({ as: 'fetch' })), 'Bearer at-1-of-a-test');
    }));
});

describe('the proxy while a token ends', () => {
  test('a service gets the new token; while the provider is away 503 where it takes one, else the request goes on', async () => {
    const service = await startMisbehavingService(answerJson({ ok: true }));
    const routes = {
      version: 1,
      services: {
        taker: { urls: [service.url], token: { source: 'session' } },
        other: { urls: [service.url], token: { source: 'none' } },
      },
      routes: [
        { id: 'takes', paths: ['/api/takes'], target_service: 'taker', auth: 'session' },
        { id: 'other', paths: ['/api/other'], target_service: 'other', auth: 'session' },
      ],
    };
    const got = (path: string) =>
      service.requests(path).map(({ headers }) => [headers.authorization, headers['x-user-id']]);
    try {
      await withSession(
        async ({ lab, clock, browser, answer }) => {
          lab.provider.front.on('/token', answerJson({}, 503));
          clock.advance(LIFE_S * 1000);
          const refused = await browser.ask('/api/takes', { as: 'fetch' });
          assert.deepEqual([refused.status, bodyOf(refused)['code']], [503, 'idp_unavailable']);
          assert.match(headerOf(refused, 'retry-after') ?? '', /^[1-9]$/);
          assert.equal(headerOf(refused, 'set-cookie'), undefined, 'nobody is signed out');
          assert.equal((await browser.ask('/api/other', { as: 'fetch' })).status, 200);
          assert.deepEqual([got('/api/takes'), got('/api/other')], [[], [[undefined, 'u-alice']]]);
          lab.provider.front.on('/token', answerJson(await answer(1)));
          clock.advance(5_000);
          assert.equal((await browser.ask('/api/takes', { as: 'fetch' })).status, 200);
          assert.deepEqual(got('/api/takes'), [['Bearer at-1-of-a-test', 'u-alice']]);
          lab.provider.front.on('/token', answerJson({ error: 'invalid_grant' }, 400));
          clock.advance(LIFE_S * 1000);
          assert.equal((await browser.ask('/api/takes', { as: 'fetch' })).status, 401);
        },
        { routes, expectedErrors: ['idp_unavailable'] },
      );
    } finally {
      await service.close();
    }
  });
});

describe('a session ends', () => {
  const cases: readonly (readonly [string, string, (signed: Signed) => Promise<Behaviour>])[] = [
    ['when its refresh token is refused', 'invalid_grant', async () => answerJson({ error: 'invalid_grant' }, 400)],
    [
      'when the new ID token is of another subject',
      'subject_changed',
      async ({ answer }) => answerJson(await answer(1, {}, { sub: 'u-mallory' })),
    ],
  ];
  for (const [name, reason, behaviour] of cases) {
    test(`${name}: 401, the session is gone, and the audit says so`, () =>
      withSession(async (signed) => {
        const { lab, clock, browser } = signed;
        lab.provider.front.on('/token', await behaviour(signed));
        clock.advance(LIFE_S * 1000);
        const refused = await browser.verify({ as: 'fetch' });
        assert.deepEqual([refused.status, bodyOf(refused)['code']], [401, 'authentication_required']);
        const calls = signed.sent().length;
        assert.equal((await browser.verify({ as: 'fetch' })).status, 401);
        assert.equal(signed.sent().length, calls, 'it is not tried again');
        const line = lab.server.log.find(({ event }) => event === 'refresh_failed');
        assert.deepEqual([line?.['reason'], line?.['subject'], line?.['audit']], [reason, 'u-alice', true]);
        assert.equal(await lab.server.metric('sallyport_refreshes_total{idp="main",outcome="ended"}'), 1);
      }));
  }

  test('when login.allow lets the person in no longer', () =>
    withSession(
      async ({ lab, clock, browser, answer }) => {
        lab.provider.front.on('/token', answerJson(await answer(1)));
        clock.advance(LIFE_S * 1000);
        assert.equal((await browser.verify({ as: 'fetch' })).status, 401);
        const line = lab.server.log.find(({ event }) => event === 'refresh_denied');
        assert.equal(line?.['reason'], 'login.allow: role');
      },
      { settings: { login: { allow: { roles: ['editor'] } } } },
    ));
});

describe('an answer that cannot be used', () => {
  const cases: readonly (readonly [string, (signed: Signed) => Promise<Behaviour>, boolean])[] = [
    [
      'with an ID token of a stranger',
      async ({ lab, answer }) =>
        answerJson(await answer(1, { id_token: await signIdToken(lab.provider, lab.keys.stranger, 'x') })),
      true,
    ],
    [
      'with an ID token of another issuer',
      async ({ answer }) => answerJson(await answer(1, {}, { iss: 'https://evil.test' })),
      true,
    ],
    [
      'with an ID token for another client',
      async ({ answer }) => answerJson(await answer(1, {}, { aud: 'other' })),
      true,
    ],
    [
      'with an at_hash of another token',
      async ({ answer }) => answerJson(await answer(1, {}, { at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' })),
      true,
    ],
    [
      'with an access token that would break a header',
      async ({ answer }) => answerJson(await answer(1, { access_token: 'a\r\nb' })),
      true,
    ],
    ['of another token type', async ({ answer }) => answerJson(await answer(1, { token_type: 'mac' })), true],
    ['without an access token', async ({ answer }) => answerJson(await answer(1, { access_token: undefined })), true],
    [
      'with a refresh token that is no text',
      async ({ answer }) => answerJson(await answer(1, { refresh_token: 7 })),
      false,
    ],
    ['that is invalid_client', async () => answerJson({ error: 'invalid_client' }, 401), false],
    ['that is 429', async () => answerJson({ error: 'slow_down' }, 429), false],
    [
      'that is a redirect',
      async () => (_request, response) => void response.writeHead(302, { location: '/x' }).end(),
      false,
    ],
  ];
  for (const [name, behaviour, isRotated] of cases) {
    test(`${name}: nothing of it is used, the session stays, ${isRotated ? 'the new' : 'the old'} refresh token is sent next`, () =>
      withSession(async (signed) => {
        const { lab, clock, browser, answer, sent } = signed;
        lab.provider.front.on('/token', await behaviour(signed));
        clock.advance(LIFE_S * 1000);
        const stale = await browser.verify({ as: 'fetch' });
        assert.deepEqual([stale.status, tokenOf(stale), headerOf(stale, 'x-user-roles')], [200, '', 'editor']);
        lab.provider.front.on('/token', answerJson(await answer(2)));
        clock.advance(5_000);
        assert.equal(tokenOf(await browser.verify({ as: 'fetch' })), 'Bearer at-2-of-a-test');
        assert.equal(sent().at(-1), isRotated ? 'rt-1-of-a-test' : 'rt-0-of-a-test');
      }));
  }

  test('keys that cannot be had now: the tokens are used, the claims stay as they were', () =>
    withSession(async ({ lab, clock, browser, answer }) => {
      const { provider, keys } = lab;
      const id_token = await signIdToken(provider, { ...keys.ec, kid: 'not-published-yet' }, 'x', { roles: ['admin'] });
      provider.front.on('/jwks', reset());
      provider.front.on('/token', answerJson(await answer(1, { id_token })));
      clock.advance(LIFE_S * 1000);
      const response = await browser.verify({ as: 'fetch' });
      assert.deepEqual([tokenOf(response), headerOf(response, 'x-user-roles')], ['Bearer at-1-of-a-test', 'editor']);
    }));
});

describe('POST /auth/refresh', () => {
  test('renews now; says how long session and token have left; holds no token', () =>
    withSession(async ({ lab, clock, browser, answer, sent }) => {
      lab.provider.front.on('/token', answerJson(await answer(1)));
      clock.advance(20_000);
      const response = await browser.ask('/auth/refresh', OWN);
      assert.equal(response.status, 200);
      const { refreshed, expires_in, token_expires_in, ...rest } = bodyOf(response);
      assert.deepEqual([refreshed, expires_in], [true, 1_800]);
      assert.ok(Number(token_expires_in) > LIFE_S - 20 && Number(token_expires_in) <= LIFE_S);
      assert.deepEqual(Object.keys(rest), ['authenticated', 'absolute_expires_in']);
      assert.ok(!response.body.includes('of-a-test'));
      assert.equal(bodyOf(await browser.ask('/auth/refresh', OWN))['refreshed'], false, 'not again at once');
      assert.deepEqual(sent(), ['rt-0-of-a-test']);
    }));

  test('while the provider is away: 200 with the old token, and 503 once it has ended', () =>
    withSession(
      async ({ lab, clock, browser }) => {
        lab.provider.front.on('/token', answerJson({}, 503));
        clock.advance(20_000);
        assert.equal(bodyOf(await browser.ask('/auth/refresh', OWN))['refreshed'], false);
        clock.advance(LIFE_S * 1000);
        const refused = await browser.ask('/auth/refresh', OWN);
        assert.deepEqual([refused.status, bodyOf(refused)['code']], [503, 'idp_unavailable']);
      },
      { expectedErrors: ['idp_unavailable'] },
    ));

  test('is 401 without a session, and after a refusal', () =>
    withSession(async ({ lab, clock, browser }) => {
      lab.provider.front.on('/token', answerJson({ error: 'invalid_grant' }, 400));
      clock.advance(20_000);
      for (let i = 0; i < 2; i += 1) {
        const refused = await browser.ask('/auth/refresh', OWN);
        assert.deepEqual([refused.status, bodyOf(refused)['code']], [401, 'authentication_required']);
        assert.equal(bodyOf(refused)['login_url'], `${PUBLIC_URL}/auth/login`);
      }
    }));

  test('from elsewhere, without the header, or by another method it does nothing', () =>
    withSession(async ({ clock, browser, sent }) => {
      clock.advance(20_000);
      const cases: readonly (readonly [Ask, number])[] = [
        [
          {
            ...OWN,
            headers: [
              ['origin', 'https://evil.test'],
              ['x-csrf', '1'],
            ],
          },
          403,
        ],
        [{ ...OWN, headers: [['origin', PUBLIC_URL]] }, 403],
        [{ ...OWN, as: 'program', headers: [['x-csrf', '1']] }, 403],
        [{ as: 'fetch' }, 405],
        [{ ...OWN, method: 'PUT' }, 405],
      ];
      for (const [ask, status] of cases) assert.equal((await browser.ask('/auth/refresh', ask)).status, status);
      assert.deepEqual(sent(), []);
    }));
});
