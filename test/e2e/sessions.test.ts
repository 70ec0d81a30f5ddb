// A user's own sessions: listed and ended by their owner, as JSON, as a page without script, and in two real browsers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { RawResponse } from '../../scripts/attacks/raw-client.ts';
import { type ProviderLab, startProviderLab } from '../faults/provider-lab.ts';
import { cookieChanges, headerOf, type TestBrowser } from '../support/raw-client.ts';
import { signIdToken } from '../support/scripted-provider.ts';
import { PUBLIC_URL, SPA_ORIGIN } from '../support/test-server.ts';

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const PROOF = [['x-csrf', '1'] as const, ['origin', PUBLIC_URL] as const];

type Listed = {
  readonly id: string;
  readonly current: boolean;
  readonly created_at: string;
  readonly last_seen_at: string;
  readonly expires_at: string;
  readonly device: string;
  readonly address: string;
  readonly idp: string;
  readonly site: string;
};

describe('the sessions of a user', () => {
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab({ settings: { session: { max_per_user: 4 } } });
  });
  after(() => lab.close());

  async function signIn(sub: string, userAgent = FIREFOX): Promise<TestBrowser> {
    const { browser, response } = await lab.attempt(
      {
        patch: async ({ provider, keys, nonce }) => ({
          id_token: await signIdToken(provider, keys.ec, nonce, { sub, preferred_username: `name-of-${sub}` }),
        }),
      },
      { headers: [['user-agent', userAgent]] },
    );
    assert.equal(response.status, 302, response.body);
    return browser;
  }

  async function list(browser: TestBrowser): Promise<readonly Listed[]> {
    const response = await browser.ask('/auth/sessions', { as: 'fetch' });
    assert.equal(response.status, 200, response.body);
    return (JSON.parse(response.body) as { sessions: Listed[] }).sessions;
  }

  const isSignedIn = async (browser: TestBrowser) => (await browser.verify({ as: 'fetch' })).status === 200;

  const revoke = (browser: TestBrowser, id: string): Promise<RawResponse> =>
    browser.ask(`/auth/sessions/${id}`, { method: 'DELETE', as: 'fetch', headers: PROOF });

  test('are listed with device, address and times; the caller is marked; nothing secret is in it', async () => {
    const one = await signIn('u-list');
    const two = await signIn('u-list', 'curl/8.9.1');
    await signIn('u-other');
    const response = await two.ask('/auth/sessions', { as: 'fetch' });
    assert.equal(headerOf(response, 'cache-control'), 'no-store');
    const sessions = await list(two);
    assert.deepEqual(sessions.map(({ device }) => device).toSorted(), ['Firefox on Linux', 'curl']);
    assert.deepEqual(
      sessions.filter(({ current }) => current).map(({ device }) => device),
      ['curl'],
    );
    for (const { id, created_at, last_seen_at, expires_at, address, idp, site } of sessions) {
      assert.match(id, /^[A-Za-z0-9_-]{22}$/);
      assert.deepEqual([address, idp, site], ['127.0.0.1', 'main', 'main']);
      assert.ok(
        Date.parse(created_at) <= Date.parse(last_seen_at) && Date.parse(last_seen_at) < Date.parse(expires_at),
      );
    }
    for (const browser of [one, two]) {
      for (const value of browser.cookies.values())
        assert.ok(!response.body.includes(value), 'a cookie is in the list');
    }
    const verified = await one.verify({ as: 'fetch' });
    assert.ok(
      sessions.some(({ id }) => id === headerOf(verified, 'x-auth-session')),
      'the id that services see',
    );
  });

  test('one ends by its id: that one alone, at once, with an audit event', async () => {
    const [one, two] = [await signIn('u-revoke'), await signIn('u-revoke')];
    const other = (await list(one)).find(({ current }) => !current)?.id ?? '';
    const response = await revoke(one, other);
    assert.deepEqual([response.status, response.body], [204, '']);
    assert.deepEqual([await isSignedIn(one), await isSignedIn(two)], [true, false]);
    assert.equal((await list(one)).length, 1);
    const event = lab.server.log.find((line) => line['event'] === 'session_revoked' && line['session'] === other);
    assert.deepEqual([event?.['audit'], event?.['subject'], event?.['reason']], [true, 'u-revoke', 'by_user']);
    assert.equal((await revoke(one, other)).status, 404, 'it is gone');
  });

  test('ids of other users and of nobody are the same 404, and end nothing', async () => {
    const [mine, theirs] = [await signIn('u-mine'), await signIn('u-theirs')];
    const id = (await list(theirs))[0]?.id ?? '';
    for (const wrong of [id, 'A'.repeat(22), 'x', '..', '%2e%2e', `${id}/x`, '']) {
      const response = await revoke(mine, wrong);
      assert.ok([400, 404].includes(response.status), `${wrong}: ${response.status}`);
    }
    assert.equal(await isSignedIn(theirs), true);
  });

  test('the own one ends as a sign-out: its cookie goes, its tokens are revoked', async () => {
    const browser = await signIn('u-own');
    const id = (await list(browser))[0]?.id ?? '';
    const before = lab.provider.front.requests('/revoke').length;
    const response = await revoke(browser, id);
    assert.equal(response.status, 204);
    assert.ok(cookieChanges(response).expired.length > 0, 'the cookie is expired');
    assert.equal(await isSignedIn(browser), false);
    await settled(() => lab.provider.front.requests('/revoke').length >= before + 2);
  });

  test('nobody ends one without a session, an allowed origin and the CSRF header', async () => {
    const [browser, victim] = [await signIn('u-csrf'), await signIn('u-csrf')];
    const id = (await list(browser)).find(({ current }) => !current)?.id ?? '';
    const bad: readonly (readonly (readonly [string, string])[])[] = [
      [['origin', PUBLIC_URL]],
      [
        ['x-csrf', '1'],
        ['origin', 'https://evil.test'],
        ['sec-fetch-site', 'cross-site'],
      ],
      [
        ['x-csrf', '1'],
        ['origin', 'null'],
      ],
    ];
    for (const headers of bad) {
      const response = await browser.ask(`/auth/sessions/${id}`, { method: 'DELETE', as: 'fetch', headers });
      assert.equal(response.status, 403, JSON.stringify(headers));
    }
    const form = {
      method: 'POST',
      body: `session=${id}`,
      headers: [['content-type', 'application/x-www-form-urlencoded']],
    } as const;
    assert.equal((await browser.ask('/auth/sessions', form)).status, 403, 'a form without the token');
    assert.equal(await isSignedIn(victim), true);
    browser.cookies.clear();
    const response = await revoke(browser, id);
    assert.equal(response.status, 401);
    assert.equal(await isSignedIn(victim), true);
  });

  test('without a session they are 401, with a way to sign in; scripts from elsewhere may not read them', async () => {
    const browser = await signIn('u-read');
    const foreign = await browser.ask('/auth/sessions', {
      as: 'fetch',
      headers: [
        ['origin', 'https://evil.test'],
        ['sec-fetch-site', 'cross-site'],
      ],
    });
    assert.deepEqual([foreign.status, headerOf(foreign, 'access-control-allow-origin')], [403, undefined]);
    const listed = await browser.ask('/auth/sessions', { as: 'fetch', headers: [['origin', SPA_ORIGIN]] });
    assert.deepEqual([listed.status, headerOf(listed, 'access-control-allow-origin')], [200, SPA_ORIGIN]);
    browser.cookies.clear();
    const json = await browser.ask('/auth/sessions', { as: 'fetch' });
    assert.equal(json.status, 401);
    assert.match(
      json.body,
      /"code":"authentication_required".*"login_url":"https:\/\/app\.example\.test\/auth\/login"/,
    );
    const page = await browser.ask('/auth/sessions');
    assert.equal(page.status, 401);
    assert.match(page.body, /Sign in again/);
  });

  test('the page shows them and ends them by plain forms', async () => {
    const [one, two, three] = [await signIn('u-page'), await signIn('u-page'), await signIn('u-page', '<b>x</b>')];
    const page = await one.ask('/auth/sessions');
    assert.equal(page.status, 200);
    assert.match(headerOf(page, 'content-security-policy') ?? '', /script-src 'none'/);
    assert.match(page.body, /Signed in as name-of-u-page\./);
    assert.equal(page.body.match(/<li>/g)?.length, 3);
    assert.equal(page.body.match(/<em>this browser<\/em>/g)?.length, 1);
    assert.ok(!page.body.includes('<b>'), 'nothing of a User-Agent is markup');
    const token =
      /action="\/auth\/sessions"><input type="hidden" name="csrf_token" value="([^"]+)"/.exec(page.body)?.[1] ?? '';
    const id = (await list(one)).find(({ current }) => !current)?.id ?? '';
    const post = (body: string) =>
      one.ask('/auth/sessions', {
        method: 'POST',
        body,
        headers: [
          ['content-type', 'application/x-www-form-urlencoded'],
          ['origin', 'null'],
        ],
      });
    const done = await post(`csrf_token=${token}&session=${id}`);
    assert.deepEqual([done.status, headerOf(done, 'location')], [303, `${PUBLIC_URL}/auth/sessions`]);
    assert.equal((await list(one)).length, 2);
    assert.equal((await post(`csrf_token=${token}&session=${id}`)).status, 404);
    assert.equal((await post(`csrf_token=${token}x&others=true`)).status, 403);
    assert.equal((await post(`csrf_token=${token}&others=true`)).status, 303);
    assert.deepEqual([await isSignedIn(one), await isSignedIn(two), await isSignedIn(three)], [true, false, false]);
  });

  test('a fifth one ends the oldest, where four are allowed', async () => {
    const browsers = [];
    for (let index = 0; index < 5; index += 1) browsers.push(await signIn('u-many'));
    const live = await Promise.all(browsers.map(isSignedIn));
    assert.deepEqual(live, [false, true, true, true, true]);
  });
});

async function settled(isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!isTrue()) {
    assert.ok(performance.now() < deadline, 'it does not come');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
