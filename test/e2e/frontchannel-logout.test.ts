// Front-channel logout: by iss and sid, in a frame of the provider's page, where no cookie of ours comes along.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type ProviderLab, startProviderLab } from '../faults/provider-lab.ts';
import { launchBrowser } from '../support/browser.ts';
import { skipWithout } from '../support/parts.ts';
import { callbackTarget, createBrowser, headerOf, type TestBrowser } from '../support/raw-client.ts';
import { signIdToken } from '../support/scripted-provider.ts';
import { startTestServer } from '../support/test-server.ts';

describe('front-channel logout', () => {
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab({ settings: { logout: { frontchannel: true } } });
  });
  after(() => lab.close());

  async function signIn(sid: string): Promise<TestBrowser> {
    const { browser, response } = await lab.attempt({
      patch: async ({ provider, keys, nonce }) => ({ id_token: await signIdToken(provider, keys.ec, nonce, { sid }) }),
    });
    assert.equal(response.status, 302, response.body);
    return browser;
  }

  async function isSignedIn(browser: TestBrowser): Promise<boolean> {
    return (await browser.verify({ as: 'fetch' })).status === 200;
  }

  /** As the frame of a browser that withholds our cookies. */
  function load(params: Readonly<Record<string, string>>, headers: readonly (readonly [string, string])[] = []) {
    return createBrowser(lab.server).ask(`/auth/frontchannel-logout?${new URLSearchParams(params)}`, {
      headers: [['sec-fetch-dest', 'iframe'], ...headers],
    });
  }

  test('ends the sessions of that provider session, without any cookie, and says so to that provider alone', async () => {
    const [one, other] = [await signIn('front-1'), await signIn('front-2')];
    const response = await load({ iss: lab.provider.issuer, sid: 'front-1' });
    assert.equal(response.status, 200);
    assert.match(headerOf(response, 'content-security-policy') ?? '', frameAncestors(lab.provider.issuer));
    assert.equal(headerOf(response, 'cache-control'), 'no-store');
    assert.equal(headerOf(response, 'x-frame-options'), undefined);
    assert.equal(headerOf(response, 'set-cookie'), undefined);
    assert.deepEqual([await isSignedIn(one), await isSignedIn(other)], [false, true]);
    const event = lab.server.log.find((line) => line['event'] === 'logout_frontchannel');
    assert.deepEqual([event?.['audit'], event?.['count'], event?.['idp']], [true, 1, 'main']);
  });

  test('an unknown sid is answered alike, and ends nothing', async () => {
    const browser = await signIn('front-3');
    const [unknown, known] = [
      await load({ iss: lab.provider.issuer, sid: 'never-seen' }),
      await load({ iss: lab.provider.issuer, sid: 'front-4' }),
    ];
    assert.deepEqual([unknown.status, unknown.body], [200, known.body]);
    assert.equal(await isSignedIn(browser), true);
  });

  test('what is no sid of a provider of ours is refused, and the page can be framed by nobody', async () => {
    const browser = await signIn('front-5');
    const { issuer: iss } = lab.provider;
    const bad: readonly Readonly<Record<string, string>>[] = [
      {},
      { iss },
      { sid: 'front-5' },
      { iss: 'https://evil.test', sid: 'front-5' },
      { iss: `${iss}/`, sid: 'front-5' },
      { iss, sid: '*' },
      { iss, sid: 'front-5 ' },
      { iss, sid: '' },
    ];
    for (const params of bad) {
      const response = await load(params);
      assert.equal(response.status, 400, JSON.stringify(params));
      assert.match(headerOf(response, 'content-security-policy') ?? '', frameAncestors("'none'"));
    }
    assert.equal((await load({ iss, sid: 'front-5' }, [['sec-purpose', 'prefetch']])).status, 400);
    const repeated = `/auth/frontchannel-logout?iss=${encodeURIComponent(iss)}&sid=front-5&sid=front-5`;
    assert.equal((await createBrowser(lab.server).ask(repeated)).status, 400);
    assert.equal(
      (await createBrowser(lab.server).ask('/auth/frontchannel-logout', { method: 'POST', body: '' })).status,
      405,
    );
    assert.equal(await isSignedIn(browser), true);
  });

  test('a login under way is refused, also after more unknown sids than are remembered', async () => {
    const finish = async (sid: string, before: () => Promise<unknown>): Promise<number> => {
      const browser = createBrowser(lab.server);
      const { state, nonce } = await browser.beginLogin();
      await before();
      const patch = { id_token: await signIdToken(lab.provider, lab.keys.ec, nonce, { sid }) };
      return (await browser.ask(callbackTarget(lab.provider, state, lab.provider.codeFor({ nonce, patch })))).status;
    };
    const { issuer: iss } = lab.provider;
    assert.equal(await finish('front-late', () => load({ iss, sid: 'front-late' })), 400);
    // A session of that sid lives: whoever names it is believed, whatever strangers send meanwhile.
    const browser = await signIn('front-real');
    const flood = Array.from({ length: 60 }, (_, index) => load({ iss, sid: `flood-${index}` }));
    await Promise.all(flood);
    assert.equal(await finish('front-real', () => load({ iss, sid: 'front-real' })), 400);
    assert.equal(await isSignedIn(browser), false);
  });
});

test('without logout.frontchannel the address does not exist', async () => {
  const server = await startTestServer({
    idps: {
      version: 1,
      providers: {
        main: {
          issuer: 'https://idp.example.invalid',
          client_id: 'x',
          client_auth: { secret: 'a-secret-long-enough' },
        },
      },
    },
  });
  try {
    const response = await createBrowser(server).ask('/auth/frontchannel-logout?iss=x&sid=y');
    assert.equal(response.status, 404);
  } finally {
    await server.close();
  }
});

describe('in Chromium', { skip: skipWithout('chromium'), timeout: 60_000 }, () => {
  test('the page opens in a frame of the provider, and in no other', async () => {
    const pages = await Promise.all([startFramePage(), startFramePage()]);
    const [provider, stranger] = pages;
    const server = await startTestServer({
      settings: {
        sites: { main: { public_url: 'http://localhost', origins: [] } },
        insecure_http: true,
        logout: { frontchannel: true },
      },
      idps: {
        version: 1,
        providers: {
          main: {
            issuer: provider.origin,
            client_id: 'x',
            client_auth: { secret: 'a-secret-long-enough' },
            endpoints: {
              authorization: `${provider.origin}/a`,
              token: `${provider.origin}/t`,
              jwks: `${provider.origin}/j`,
            },
          },
        },
      },
    });
    const browser = await launchBrowser({ hostRules: `MAP localhost:80 127.0.0.1:${server.ports.public}` });
    try {
      const target = `http://localhost/auth/frontchannel-logout?${new URLSearchParams({ iss: provider.origin, sid: 's' })}`;
      const shown = async (origin: string): Promise<string> => {
        const { page } = await browser.newPage();
        await page.goto(`${origin}/?${encodeURIComponent(target)}`);
        const frame = page.frames()[1];
        const text = await frame?.locator('body').innerText({ timeout: 5_000 });
        return text ?? '';
      };
      assert.match(await shown(provider.origin), /You are signed out here/);
      assert.doesNotMatch(await shown(stranger.origin), /signed out/);
    } finally {
      await browser.close();
      await server.close();
      for (const page of pages) await page.close();
    }
  });
});

/** A page whose query is the address that it shows in a frame. */
async function startFramePage() {
  const server = createServer((request, response) => {
    const target = decodeURIComponent((request.url ?? '').split('?')[1] ?? '').replaceAll('&', '&amp;');
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html><iframe src="${target}"></iframe>`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close(): Promise<void> {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function frameAncestors(value: string): RegExp {
  return new RegExp(`(?:^|; )frame-ancestors ${value.replaceAll('.', '[.]')}(?: [^;]*)?(?:;|$)`);
}
