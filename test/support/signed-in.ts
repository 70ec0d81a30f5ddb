import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type DemoProvider, type DemoProviderOptions, startDemoProvider } from '../../src/cli/demo/provider.ts';
import type { Clock } from '../../src/core/clock.ts';
import { asTraefik } from './gateway.ts';
import { findFreePorts } from './ports.ts';
import { type CookieJar, createCookieJar, fetchWithJar, signInAtProvider } from './provider.ts';
import { startTestServer, type TestServer } from './test-server.ts';

/** A server on plain http loopback with a real provider: what a person's browser talks to, without the browser. */
export type SignInWorld = {
  readonly base: string;
  readonly provider: DemoProvider;
  readonly server: TestServer;
  /** Everything the provider issued so far. */
  readonly issued: readonly Record<string, unknown>[];
  /** Sign a user in and return the jar that holds the session cookie. */
  signIn(username: 'alice' | 'bob', returnTo?: string, atProvider?: CookieJar): Promise<CookieJar>;
  /** Sign out at the provider itself, with the jar that was signed in there: it tells its clients. */
  signOutAtProvider(atProvider: CookieJar): Promise<void>;
  /** Ask verify as Traefik would, with the jar's cookies. */
  verify(jar: CookieJar, init?: { uri?: string; headers?: Record<string, string> }): Promise<Response>;
  close(): Promise<void>;
};

/** How the world differs from the usual one. */
export type SignInWorldOptions = {
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly provider?: Partial<DemoProviderOptions>;
  /** Members of the client's registration, given the server's address. */
  readonly client?: (base: string) => Readonly<Record<string, unknown>>;
  /** Keys of the provider's entry in idps.yaml. */
  readonly idp?: Readonly<Record<string, unknown>>;
  readonly routes?: object;
  readonly clock?: Clock;
  readonly expectedErrors?: readonly string[];
};

/** Start provider and server, and wait until people can sign in. */
export async function startSignInWorld(options: SignInWorldOptions = {}): Promise<SignInWorld> {
  const port = await findFreePorts(1);
  const base = `http://localhost:${port}`;
  const secret = randomBytes(24).toString('base64url');
  const issued: Record<string, unknown>[] = [];
  const provider = await startDemoProvider({
    clients: [
      {
        client_id: 'bff',
        client_secret: secret,
        redirect_uris: [`${base}/auth/callback`],
        post_logout_redirect_uris: [`${base}/auth/login`],
        backchannel_logout_uri: `${base}/auth/backchannel-logout`,
        backchannel_logout_session_required: true,
        ...options.client?.(base),
      },
    ],
    onTokenResponse: ({ body }) => void issued.push(body as Record<string, unknown>),
    ...options.provider,
  });
  const server = await startOrEnd(provider, () =>
    startTestServer({
      settings: {
        sites: { main: { public_url: base, origins: [] } },
        insecure_http: true,
        ...options.settings,
        listen: { ...(options.settings?.['listen'] as object | undefined), public: { address: '127.0.0.1', port } },
      },
      idps: {
        version: 1,
        providers: {
          main: {
            issuer: provider.issuer,
            client_id: 'bff',
            client_auth: { secret },
            scopes: ['openid', 'profile', 'email'],
            ...options.idp,
          },
        },
      },
      ...(options.clock === undefined ? {} : { clock: options.clock }),
      ...(options.routes === undefined ? {} : { routes: options.routes }),
      ...(options.environment === undefined ? {} : { environment: options.environment }),
      ...(options.expectedErrors === undefined ? {} : { expectedErrors: options.expectedErrors }),
    }),
  );
  return {
    base,
    provider,
    server,
    issued,
    signIn: (username, returnTo, atProvider) => signIn(base, username, returnTo, atProvider),
    signOutAtProvider: (atProvider) => signOutAtProvider(provider.issuer, atProvider),
    verify: (jar, init) => askVerify(server, base, jar, init),
    async close() {
      await server.close();
      await provider.close();
    },
  };
}

/** What does not come up must not leave its neighbours running: the test process would never end. */
async function startOrEnd(provider: DemoProvider, start: () => Promise<TestServer>): Promise<TestServer> {
  let server: TestServer | undefined;
  try {
    server = await start();
    await server.whenReady();
    return server;
  } catch (error) {
    await server?.close().catch(() => {});
    await provider.close();
    throw error;
  }
}

/** Sign a user in at a server and return the jar that holds the session cookie. */
export async function signIn(
  base: string,
  username: string,
  returnTo = '/',
  atProvider = createCookieJar(),
): Promise<CookieJar> {
  const jar = createCookieJar();
  const begun = await fetchWithJar(jar, `${base}/auth/login?return_to=${encodeURIComponent(returnTo)}`);
  assert.equal(begun.status, 302);
  const callback = await signInAtProvider(atProvider, begun.headers.get('location') ?? '', username, username);
  const finished = await fetchWithJar(jar, callback);
  assert.equal(finished.status, 302, await finished.text());
  assert.equal(finished.headers.get('location'), returnTo);
  return jar;
}

async function signOutAtProvider(issuer: string, jar: CookieJar): Promise<void> {
  const page = await (await fetchWithJar(jar, `${issuer}/session/end?client_id=bff`)).text();
  const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(page) ?? [];
  const body = new URLSearchParams({ xsrf, logout: 'yes' });
  const done = await fetchWithJar(jar, `${issuer}/session/end/confirm`, { method: 'POST', body });
  assert.ok(done.status < 400, `the provider answered ${done.status}`);
}

function askVerify(
  server: TestServer,
  base: string,
  jar: CookieJar,
  init: { uri?: string; headers?: Record<string, string> } = {},
): Promise<Response> {
  return fetchWithJar(jar, `http://127.0.0.1:${server.ports.verify}/auth/verify`, {
    headers: { ...asTraefik(base, init.uri ?? '/page'), ...init.headers },
  });
}
