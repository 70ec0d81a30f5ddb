import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertRefused, codeOfPage, type ProviderLab, startProviderLab } from '../faults/provider-lab.ts';
import { callbackTarget, cookieChanges, createBrowser, headerOf } from '../support/raw-client.ts';
import { signIdToken } from '../support/scripted-provider.ts';

const FORM = 'application/x-www-form-urlencoded';

describe('a provider that answers by a form (response_mode form_post)', () => {
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab({ idp: { response_mode: 'form_post' } });
  });
  after(() => lab.close());

  /** Post the answer as a page of the provider does: from another site, without the Lax cookies. */
  async function post(browser: ReturnType<typeof createBrowser>, body: string, type = FORM) {
    return browser.ask('/auth/callback', {
      method: 'POST',
      body,
      headers: [
        ['content-type', type],
        ['origin', lab.provider.issuer],
      ],
    });
  }

  async function begin(browser = createBrowser(lab.server)) {
    const login = await browser.ask('/auth/login');
    const url = new URL(headerOf(login, 'location') ?? '');
    const [state, nonce] = [url.searchParams.get('state') ?? '', url.searchParams.get('nonce') ?? ''];
    const id_token = await signIdToken(lab.provider, lab.keys.ec, nonce);
    const code = lab.provider.codeFor({ nonce, patch: { id_token } });
    const answer = new URL(callbackTarget(lab.provider, state, code), 'https://x.test').search.slice(1);
    return { browser, login, url, answer };
  }

  test('is asked for the form; the transaction cookie goes along with a foreign POST', async () => {
    const { login, url } = await begin();
    assert.equal(url.searchParams.get('response_mode'), 'form_post');
    assert.match(headerOf(login, 'set-cookie') ?? '', /^__Host-bff_tx_.*; Secure; SameSite=None$/);
  });

  test('signs in by POST, with a redirect that the browser follows by GET', async () => {
    const { browser, answer } = await begin();
    const done = await post(browser, answer);
    assert.equal(done.status, 303, done.body);
    assert.ok(cookieChanges(done).set.includes('bff_session'));
    assert.equal((await browser.verify({ as: 'fetch' })).status, 200);
  });

  test('ends the session that the browser had, although its cookie does not come along', async () => {
    const browser = createBrowser(lab.server);
    assert.equal((await post(browser, (await begin(browser)).answer)).status, 303);
    const old = browser.cookies.get('bff_session') ?? assert.fail('signed in');
    const { answer } = await begin(browser);
    browser.cookies.delete('bff_session');
    assert.equal((await post(browser, answer)).status, 303);
    assert.equal((await browser.verify({ as: 'fetch' })).status, 200);
    const thief = createBrowser(lab.server);
    thief.cookies.set('bff_session', old);
    assert.equal((await thief.verify({ as: 'fetch' })).status, 401);
  });

  test('takes no GET, no code in the query, and no second use', async () => {
    const { browser, answer } = await begin();
    const got = await browser.ask(`/auth/callback?${answer}`);
    assert.deepEqual([got.status, headerOf(got, 'allow')], [405, 'POST']);
    const inQuery = await browser.ask(`/auth/callback?${answer}`, {
      method: 'POST',
      body: '',
      headers: [['content-type', FORM]],
    });
    assert.equal(codeOfPage(inQuery), 'callback_invalid');
    assert.equal((await post(browser, answer)).status, 303);
    assert.notEqual((await post(createBrowser(lab.server), answer)).status, 303, 'another browser has no transaction');
  });

  test('an error by form ends on the page', async () => {
    const { browser, url } = await begin();
    const body = new URLSearchParams({
      error: 'access_denied',
      state: url.searchParams.get('state') ?? '',
      iss: lab.provider.issuer,
    });
    await assertRefused(lab, { browser, response: await post(browser, body.toString()) }, 'login_denied');
  });
});

describe('signing up', () => {
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab({ metadata: () => ({ prompt_values_supported: ['none', 'login', 'create'] }) });
  });
  after(() => lab.close());

  test('/auth/register is a login with prompt=create, whatever its query says', async () => {
    const response = await createBrowser(lab.server).ask('/auth/register?prompt=none&login_hint=new%40example.test');
    assert.equal(response.status, 302);
    const { searchParams } = new URL(headerOf(response, 'location') ?? '');
    assert.deepEqual([searchParams.get('prompt'), searchParams.get('login_hint')], ['create', 'new@example.test']);
  });

  test('a provider that lists its prompts without it has no sign-up', async () => {
    const other = await startProviderLab({ metadata: () => ({ prompt_values_supported: ['none', 'login'] }) });
    try {
      assert.equal(codeOfPage(await createBrowser(other.server).ask('/auth/register')), 'not_found');
    } finally {
      await other.close();
    }
  });

  for (const [name, value] of [
    ['prompt', 'none login'],
    ['prompt', 'please'],
    ['max_age', '-1'],
    ['max_age', '1e3'],
    ['ui_locales', 'de<script>'],
    ['acr_values', 'gold\u00e9'],
    ['login_hint', 'a\r\nb'],
  ] as const) {
    test(`/auth/login refuses ${name}=${JSON.stringify(value)}`, async () => {
      const response = await createBrowser(lab.server).ask(`/auth/login?${new URLSearchParams({ [name]: value })}`);
      assert.equal(codeOfPage(response), 'bad_request');
    });
  }
});
