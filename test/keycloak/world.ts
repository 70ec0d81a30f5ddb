import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { LIMITS } from '../../src/core/limits.ts';
import { asTraefik } from '../support/gateway.ts';
import { signInAtKeycloak, type TestKeycloak } from '../support/keycloak.ts';
import { type KeycloakClient, ROLES_IN_ID_TOKEN } from '../support/keycloak-realm.ts';
import { findFreePorts } from '../support/ports.ts';
import { type CookieJar, createCookieJar, fetchWithJar } from '../support/provider.ts';
import {
  createMovableClock,
  type MovableClock,
  startTestServer,
  type TestServer,
  type TestServerOptions,
} from '../support/test-server.ts';
import { until } from '../support/until.ts';

/** How a suite gets at the one running Keycloak: it is there once tests run, not yet while they are registered. */
export type GetKeycloak = () => TestKeycloak;

/** A server on plain http loopback that signs people in at Keycloak with a client of its own. */
export type KeycloakWorld = {
  readonly base: string;
  readonly keycloak: TestKeycloak;
  readonly server: TestServer;
  /** The server's clock; Keycloak's is the real one. */
  readonly clock: MovableClock;
  readonly clientId: string;
  /** Keycloak's own id of the client, for its Admin API. */
  readonly clientUuid: string;
  /** Begin a sign-in and return the jar and where the browser is sent. */
  begin(query?: string): Promise<{ readonly jar: CookieJar; readonly location: URL }>;
  /** Sign a person in, with `at` as the browser's cookies at Keycloak; returns the jar with the session cookie. */
  signIn(username: 'alice' | 'bob', at?: CookieJar, query?: string): Promise<CookieJar>;
  /** Ask verify as a gateway would; `query` is what its rule asks for. */
  verify(jar: CookieJar, uri?: string, headers?: Readonly<Record<string, string>>, query?: string): Promise<Response>;
  /** Ask an address of our own as a script of ours does. */
  ask(jar: CookieJar, path: string, method?: string): Promise<Response>;
  /** Ask for a new access token, with the clock moved on so far that one may be had. */
  renew(jar: CookieJar): Promise<Response>;
  /** How often Keycloak has noted an event of this client. */
  countEvents(type: string): Promise<number>;
  /** Wait for one. @throws Error after 5 s */
  whenEvent(type: string): Promise<void>;
  close(): Promise<void>;
};

/** What differs from the usual world. Everything is merged over it, one level deep. */
export type KeycloakWorldOptions = {
  readonly client?: Partial<KeycloakClient>;
  /** The same, for what names addresses of the server; its attributes are added to the usual ones. */
  readonly clientOf?: (base: string) => Partial<KeycloakClient>;
  /** The provider in idps.yaml. */
  readonly provider?: Readonly<Record<string, unknown>>;
  /** The rest of idps.yaml. */
  readonly idps?: Readonly<Record<string, unknown>>;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly expectedErrors?: readonly string[];
} & Pick<TestServerOptions, 'routes' | 'environment'>;

/** Add a client to Keycloak, start a server for it, and wait until people can sign in. */
export async function startKeycloakWorld(
  keycloak: TestKeycloak,
  options: KeycloakWorldOptions = {},
): Promise<KeycloakWorld> {
  const port = await findFreePorts(1);
  const base = `http://localhost:${port}`;
  const clientId = `bff-${randomBytes(6).toString('hex')}`;
  const secret = randomBytes(24).toString('base64url');
  const ofServer = options.clientOf?.(base);
  const clientUuid = await keycloak.addClient({
    clientId,
    secret,
    redirectUris: [`${base}/auth/callback`],
    protocolMappers: [ROLES_IN_ID_TOKEN],
    ...options.client,
    ...ofServer,
    attributes: { 'post.logout.redirect.uris': `${base}/*`, ...options.client?.attributes, ...ofServer?.attributes },
  });
  const { routes, environment, expectedErrors } = options;
  const clock = createMovableClock();
  const server = await startTestServer({
    settings: {
      sites: { main: { public_url: base, origins: [] } },
      insecure_http: true,
      ...options.settings,
      listen: { ...(options.settings?.['listen'] as object | undefined), public: { address: '127.0.0.1', port } },
    },
    idps: {
      version: 1,
      ...options.idps,
      providers: {
        main: {
          issuer: keycloak.issuer,
          client_id: clientId,
          client_auth: { secret },
          scopes: ['openid', 'profile', 'email'],
          // Where a test looks at the request, it is in the address.
          par: 'never',
          ...options.provider,
        },
      },
    },
    ...(routes === undefined ? {} : { routes }),
    ...(environment === undefined ? {} : { environment }),
    clock,
    ...(expectedErrors === undefined ? {} : { expectedErrors }),
  });
  await server.whenReady();
  const countEvents: KeycloakWorld['countEvents'] = async (type) => {
    const answer = await keycloak.admin(`/events?type=${type}&client=${clientId}&max=1000`);
    return ((await answer.json()) as unknown[]).length;
  };
  const whenEvent: KeycloakWorld['whenEvent'] = (type) =>
    until(async () => (await countEvents(type)) > 0, `${type} at Keycloak`);
  return {
    base,
    keycloak,
    server,
    countEvents,
    whenEvent,
    clock,
    clientId,
    clientUuid,
    ...createActions(base, server, clock),
  };
}

type Actions = Pick<KeycloakWorld, 'begin' | 'signIn' | 'verify' | 'ask' | 'renew' | 'close'>;

function createActions(base: string, server: TestServer, clock: MovableClock): Actions {
  const begin: KeycloakWorld['begin'] = async (query = 'return_to=%2Fpage') => {
    const jar = createCookieJar();
    const begun = await fetchWithJar(jar, `${base}/auth/login?${query}`);
    assert.equal(begun.status, 302, await begun.text());
    return { jar, location: new URL(begun.headers.get('location') ?? '') };
  };
  const ask: KeycloakWorld['ask'] = (jar, path, method = 'GET') =>
    fetchWithJar(jar, `${base}${path}`, { method, headers: { origin: base, 'x-csrf': '1' } });
  return {
    begin,
    async signIn(username, at = createCookieJar(), query) {
      const { jar, location } = await begin(query);
      const { url, form } = await signInAtKeycloak(at, location, username);
      // Keycloak is not our site, so the browser would say so of the form it sends.
      const post = form && { method: 'POST', body: form, headers: { origin: location.origin } };
      const finished = await fetchWithJar(jar, url, post ?? {});
      assert.deepEqual([finished.status, await finished.text()], [form === undefined ? 302 : 303, '']);
      assert.equal(finished.headers.get('location'), '/page');
      return jar;
    },
    verify: (jar, uri = '/page', headers = {}, query = '') =>
      fetchWithJar(jar, `http://127.0.0.1:${server.ports.verify}/auth/verify?${query}`, {
        headers: { ...asTraefik(base, uri), ...headers },
      }),
    ask,
    renew(jar) {
      clock.advance(LIMITS.refreshForcedIntervalMs);
      return ask(jar, '/auth/refresh', 'POST');
    },
    close: () => server.close(),
  };
}
