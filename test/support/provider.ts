import { createHash, randomBytes } from 'node:crypto';
import type { DemoClient } from '../../src/cli/demo/provider-config.ts';

/** A browser's cookie memory for one test: by name, without paths, which suffices for a single host. */
export type CookieJar = { readonly cookies: Map<string, string> };

/** An empty jar. */
export function createCookieJar(): CookieJar {
  return { cookies: new Map() };
}

/** One request that sends and keeps the jar's cookies and never follows a redirect. */
export async function fetchWithJar(jar: CookieJar, url: string | URL, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const cookie = [...jar.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  if (cookie !== '') {
    headers.set('cookie', cookie);
  }
  const response = await fetch(url, { ...init, headers, redirect: 'manual' });
  for (const line of response.headers.getSetCookie()) {
    keepCookie(jar, line);
  }
  return response;
}

function keepCookie(jar: CookieJar, line: string): void {
  const [pair = '', ...attributes] = line.split(';');
  const name = pair.slice(0, pair.indexOf('=')).trim();
  const value = pair.slice(pair.indexOf('=') + 1).trim();
  const expires = attributes.find((attribute) => attribute.trim().toLowerCase().startsWith('expires='));
  const ended = expires !== undefined && Date.parse(expires.slice(expires.indexOf('=') + 1)) <= 0;
  if (ended || value === '') {
    jar.cookies.delete(name);
  } else {
    jar.cookies.set(name, value);
  }
}

/**
 * Walks the demo provider's pages as a user would, from an authorization URL until a redirect leaves the issuer:
 * signs in with `username` and `password` when asked, and agrees when asked. Returns the URL it was sent to.
 * Errors: when a page is neither, or after 12 steps.
 */
export async function signInAtProvider(
  jar: CookieJar,
  authorizationUrl: string | URL,
  username: string,
  password: string,
): Promise<URL> {
  const issuer = new URL(authorizationUrl).origin;
  let url = new URL(authorizationUrl);
  let response = await fetchWithJar(jar, url);
  for (let step = 0; step < 12; step++) {
    const location = response.headers.get('location');
    if (location !== null) {
      url = new URL(location, url);
      if (url.origin !== issuer) {
        return url;
      }
      response = await fetchWithJar(jar, url);
      continue;
    }
    const action = / action="(\/interaction\/[^"]+\/(?:login|confirm))"/.exec(await response.text())?.[1];
    if (response.status !== 200 || action === undefined) {
      throw new Error(`provider answered ${response.status} without a form to go on with`);
    }
    const body = action.endsWith('/login') ? new URLSearchParams({ username, password }) : new URLSearchParams();
    url = new URL(action, issuer);
    response = await fetchWithJar(jar, url, { method: 'POST', body });
  }
  throw new Error('provider did not return to the client within 12 steps');
}

/** A PKCE verifier and its S256 challenge (RFC 7636 §4). */
export function createPkce(): { verifier: string; challenge: string } {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}

/** A confidential test client (client_secret_basic) with one redirect address. */
export function createTestClient(redirectUri = 'http://127.0.0.1:1/callback'): DemoClient & { client_secret: string } {
  return {
    client_id: 'test-client',
    client_secret: randomBytes(24).toString('base64url'),
    token_endpoint_auth_method: 'client_secret_basic',
    redirect_uris: [redirectUri],
    post_logout_redirect_uris: ['http://127.0.0.1:1/bye'],
  };
}
