import assert from 'node:assert/strict';
import type { Page, Response } from 'playwright-core';
import type { DemoInfo } from '../../src/cli/demo/demo-start.ts';
import type { TestBrowser } from './browser.ts';
import { asTraefik } from './gateway.ts';

/** Everything that reached a browser: addresses, headers and bodies, for the search for secrets. */
export type Traffic = {
  readonly addresses: string[];
  readonly texts: string[];
  /** Waits until the bodies of all answers so far have been read. */
  settled(): Promise<void>;
};

/** Records what every page of a browser asks for and gets. */
export function recordTraffic(browser: TestBrowser): Traffic {
  const addresses: string[] = [];
  const texts: string[] = [];
  const pending = new Set<Promise<void>>();
  browser.context.on('request', (request) => addresses.push(request.url()));
  browser.context.on('response', (response) => {
    const reading = readResponse(response, texts).finally(() => pending.delete(reading));
    pending.add(reading);
  });
  return {
    addresses,
    texts,
    async settled() {
      await Promise.all(pending);
    },
  };
}

async function readResponse(response: Response, texts: string[]): Promise<void> {
  try {
    const headers = await response.allHeaders();
    texts.push(JSON.stringify(headers));
    if (response.status() < 300 || response.status() >= 400) texts.push((await response.body()).toString('utf8'));
  } catch {
    // A page that navigates away takes its unread answers with it.
  }
}

/** Fill in the provider's sign-in and consent pages, until the application's host is back. */
export async function signInAtProvider(page: Page, username: string, host = 'localhost'): Promise<void> {
  await page.locator('#username').fill(username);
  await page.locator('#password').fill(username);
  await page.locator('#sign-in').click();
  const allow = page.locator('#allow');
  await Promise.race([allow.waitFor(), page.waitForURL((url) => url.hostname === host)]);
  if (await allow.isVisible().catch(() => false)) await allow.click();
  await page.waitForURL((url) => url.hostname === host);
}

/** Ask verify as a gateway would, with the browser's own session cookie. */
export async function askVerify(browser: TestBrowser, info: DemoInfo): Promise<globalThis.Response> {
  const cookies = await browser.context.cookies(info.url);
  const header = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  return fetch(info.verify_url, {
    headers: { cookie: header, ...asTraefik(info.url, '/dashboard') },
    redirect: 'manual',
  });
}

/** Sign out by the application's button, through the interstitial and the provider, until a login begins again. */
export async function signOut(
  page: Page,
  info: DemoInfo,
  button: '#sign-out' | '#sign-out-everywhere',
): Promise<readonly string[]> {
  const seen: string[] = [];
  const note = (url: string): void => void seen.push(url);
  page.on('framenavigated', (frame) => frame === page.mainFrame() && note(frame.url()));
  page.on('request', (request) => request.isNavigationRequest() && note(request.url()));
  await page.goto(`${info.url}/`);
  await page.locator(button).click();
  await page.waitForURL((url) => url.origin === info.issuer);
  await page.locator('#sign-out').click();
  await page.locator('#username').waitFor();
  assert.ok(
    seen.some((url) => url.startsWith(`${info.url}/auth/login`)),
    'the provider leads back to /auth/login',
  );
  return seen;
}
