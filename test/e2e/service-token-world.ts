import { randomBytes } from 'node:crypto';
import { type DemoProvider, startDemoProvider } from '../../src/cli/demo/provider.ts';
import { type ExchangeProvider, startExchangeProvider } from '../support/exchange-provider.ts';
import { asTraefik } from '../support/gateway.ts';
import { findFreePorts } from '../support/ports.ts';
import { type CookieJar, createCookieJar, fetchWithJar } from '../support/provider.ts';
import { signIn } from '../support/signed-in.ts';
import { createMovableClock, type MovableClock, startTestServer, type TestServer } from '../support/test-server.ts';
import { startTokenService, type TokenService } from '../support/token-service.ts';

/** Audiences of the services, each by the source of its tokens. */
export const AUDIENCES = {
  crud: 'https://crud.example.test',
  analytics: 'https://analytics.example.test',
  pdp: 'https://pdp.example.test',
  legacy: 'legacy-api',
} as const;

/** A service of the world. */
export type Name = keyof typeof AUDIENCES | 'own';

/** Sallyport before five services that check their tokens, at a provider with resource indicators and exchange. */
export type TokenWorld = {
  readonly base: string;
  readonly provider: DemoProvider;
  readonly exchange: ExchangeProvider;
  readonly server: TestServer;
  readonly services: Readonly<Record<Name, TokenService>>;
  readonly clock: MovableClock;
  signIn(username: 'alice' | 'bob'): Promise<CookieJar>;
  /** Ask a service through the proxy: `/<service>/…`. */
  ask(jar: CookieJar, path: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** Ask verify as a gateway would. */
  verify(jar: CookieJar, query: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  close(): Promise<void>;
};

/** What differs from the usual world. */
export type TokenWorldOptions = {
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Merged over the service of the same name. */
  readonly services?: Readonly<Record<string, object>>;
  readonly routes?: readonly object[];
  /** Merged over the provider of idps.yaml. */
  readonly idp?: Readonly<Record<string, unknown>>;
  readonly expectedErrors?: readonly string[];
  readonly accessTokenSeconds?: number;
};

/** Start a world. */
export async function startTokenWorld(options: TokenWorldOptions = {}): Promise<TokenWorld> {
  const port = await findFreePorts(1);
  const base = `http://localhost:${port}`;
  const secret = randomBytes(24).toString('base64url');
  const grants = ['authorization_code', 'refresh_token', 'client_credentials'];
  const provider = await startDemoProvider({
    clients: [
      { client_id: 'bff', client_secret: secret, redirect_uris: [`${base}/auth/callback`], grant_types: grants },
    ],
    ...(options.accessTokenSeconds === undefined ? {} : { ttl: { accessTokenSeconds: options.accessTokenSeconds } }),
  });
  const exchange = await startExchangeProvider(provider);
  const services = await startServices(provider, exchange);
  const clock = createMovableClock();
  const close = async (): Promise<void> => {
    for (const service of Object.values(services)) await service.close();
    await exchange.close();
    await provider.close();
  };
  let server: TestServer;
  try {
    server = await startTestServer({
      ...configurationOf(options, { port, base, secret, provider, exchange, services }),
      clock,
      ...(options.expectedErrors === undefined ? {} : { expectedErrors: options.expectedErrors }),
    });
    await server.whenReady();
  } catch (error) {
    await close();
    throw error instanceof Error && 'format' in error ? new Error((error.format as () => string)()) : error;
  }
  return {
    base,
    provider,
    exchange,
    server,
    services,
    clock,
    signIn: (username) => signIn(base, username),
    ask: (jar, path, headers = {}) => fetchWithJar(jar, `${base}${path}`, { headers }),
    verify: (jar, query, headers = {}) =>
      fetchWithJar(jar, `http://127.0.0.1:${server.ports.verify}/auth/verify${query}`, {
        headers: { ...asTraefik(base, '/page'), ...headers },
      }),
    async close() {
      await server.close();
      await close();
    },
  };
}

type Made = {
  readonly port: number;
  readonly base: string;
  readonly secret: string;
  readonly provider: DemoProvider;
  readonly exchange: ExchangeProvider;
  readonly services: TokenWorld['services'];
};

async function startServices(provider: DemoProvider, exchange: ExchangeProvider): Promise<TokenWorld['services']> {
  const start = (audience: string, scope?: string) =>
    startTokenService((token) => exchange.verify(token, audience), scope);
  return {
    crud: await start(AUDIENCES.crud, 'api.read'),
    analytics: await start(AUDIENCES.analytics, 'api.read'),
    pdp: await start(AUDIENCES.pdp),
    legacy: await start(AUDIENCES.legacy),
    own: await start(provider.audience ?? ''),
  };
}

/** The sources as routes.yaml spells them. */
const SERVICES: Readonly<Record<Name, object>> = {
  crud: { audience: AUDIENCES.crud, scopes: ['api.read', 'api.write'], token: { source: 'exchange' } },
  analytics: {
    audience: AUDIENCES.analytics,
    scopes: ['api.read'],
    require_any: ['api.read', 'api.write'],
    token: { source: 'refresh' },
  },
  pdp: { audience: AUDIENCES.pdp, scopes: ['api.read'], token: { source: 'client_credentials', idp: 'main' } },
  legacy: { audience: AUDIENCES.legacy, token: { source: 'exchange' } },
  own: { token: { source: 'session' } },
};

function configurationOf(options: TokenWorldOptions, made: Made) {
  const { port, base, secret, provider, exchange, services } = made;
  const main = {
    issuer: provider.issuer,
    endpoints: exchange.endpoints,
    client_id: 'bff',
    client_auth: { secret },
    scopes: ['openid', 'profile', 'email', 'api.read', 'api.write'],
    audiences: { request: [provider.audience, AUDIENCES.analytics], accept: [] },
    timeout: { connect: '1s', total: '2s' },
    ...options.idp,
  };
  const accepted = { issuer: provider.issuer, provider: 'main', audiences: [provider.audience], algs: ['RS256'] };
  const names = Object.keys(SERVICES) as Name[];
  const routes = names.map((name) => ({ id: name, paths: [`/${name}/*`], target_service: name }));
  return {
    settings: {
      sites: { main: { public_url: base, origins: [] } },
      insecure_http: true,
      listen: { public: { address: '127.0.0.1', port } },
      ...options.settings,
    },
    idps: {
      version: 1,
      default: 'main',
      providers: { main },
      bearer: { enabled: true, issuers: [accepted] },
    },
    routes: {
      version: 1,
      services: Object.fromEntries(
        [...names, ...Object.keys(options.services ?? {})].map((name) => [
          name,
          { urls: [services[name as Name]?.url ?? ''], ...SERVICES[name as Name], ...options.services?.[name] },
        ]),
      ),
      routes: [...routes, ...(options.routes ?? [])],
    },
  };
}

/** A browser without a session. */
export const NOBODY = createCookieJar();

/** The object that an answer holds. */
export async function json(response: Response): Promise<Readonly<Record<string, unknown>>> {
  return (await response.json()) as Record<string, unknown>;
}
