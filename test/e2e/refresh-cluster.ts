import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { Redis } from 'iovalkey';
import {
  type DemoProvider,
  startDemoProvider,
  type TokenAnswer,
  type TokenOutcome,
} from '../../src/cli/demo/provider.ts';
import { type ChildServer, startChildServer } from '../support/child-server.ts';
import { asTraefik } from '../support/gateway.ts';
import { findFreePorts } from '../support/ports.ts';
import type { CookieJar } from '../support/provider.ts';
import { startRedis } from '../support/redis.ts';
import { signIn } from '../support/signed-in.ts';
import { defaultSettings } from '../support/test-server.ts';

/** An answer of a server. */
export type ClusterAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string };

/** Three server processes over one Redis, and a real provider that rotates refresh tokens and detects reuse. */
export type RefreshCluster = {
  readonly servers: readonly ChildServer[];
  readonly redis: Redis;
  readonly provider: DemoProvider;
  /** Refresh grants that the provider answered itself, in order. */
  readonly refreshes: readonly { readonly status: number; readonly accessToken: unknown }[];
  /** What every later token request meets: undefined = the provider itself. */
  onToken: () => Promise<TokenAnswer | undefined> | TokenAnswer | undefined;
  /** `expires_in` of what is issued from now on, s. */
  expiresInS: number;
  signIn(username: 'alice' | 'bob'): Promise<CookieJar>;
  /** Ask verify of one server as a gateway would. */
  verify(server: number, jar: CookieJar): Promise<ClusterAnswer>;
  /** Send any request to one server. */
  ask(server: number, jar: CookieJar, path: string, init?: AskOptions): Promise<ClusterAnswer>;
  close(): Promise<void>;
};

/** What a cluster's configuration has besides. */
export type ClusterFiles = { readonly idp?: Readonly<Record<string, unknown>>; readonly routes?: object | undefined };

/** How a request differs from a plain GET. */
export type AskOptions = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
};

/** What the processes share. */
export type ClusterStore = {
  /** `store` of settings.yaml. */
  readonly settings: object;
  connect(): Redis;
  remove(): Promise<void>;
};

/**
 * Start a cluster.
 * @param settings over the usual ones.
 * @param callMs total deadline of calls to the provider; a lease lasts 5 s longer.
 * @param given the store, which the cluster removes; a Redis of its own if absent.
 * @param more members of the provider in idps.yaml, and routes.yaml.
 */
export async function startCluster(
  settings: Readonly<Record<string, unknown>> = {},
  callMs = 1_000,
  given?: ClusterStore,
  more: ClusterFiles = {},
): Promise<RefreshCluster> {
  const redis = given ?? (await startOwnStore());
  const port = await findFreePorts(1);
  const secret = randomBytes(24).toString('base64url');
  const refreshes: { status: number; accessToken: unknown }[] = [];
  const state = { onToken: (() => undefined) as RefreshCluster['onToken'], expiresInS: 3_600 };
  const provider = await startDemoProvider({
    clients: [{ client_id: 'bff', client_secret: secret, redirect_uris: [`http://localhost:${port}/auth/callback`] }],
    onTokenRequest: () => state.onToken(),
    onTokenResponse: (outcome) => noteOutcome(outcome, refreshes, state.expiresInS),
  });
  const usual = configuration(redis, port, provider, secret, settings, callMs);
  const main = { ...usual.idps.providers.main, ...more.idp };
  const files = { ...usual, idps: { ...usual.idps, providers: { main } }, routes: more.routes };
  // The address of the first one is in the configuration of all.
  const starting = [port, 0, 0].map((own) => {
    const listen = { public: { address: '127.0.0.1', port: own }, admin: { address: '127.0.0.1', port: 0 } };
    return startChildServer(files.idps, { ...files.settings, listen }, files.routes);
  });
  const servers = await Promise.all(starting).catch(async (error: unknown) => {
    for (const started of await Promise.allSettled(starting)) {
      if (started.status === 'fulfilled') await started.value.close();
    }
    await Promise.all([provider.close(), redis.remove()]);
    throw error;
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 250 });
  const host = `localhost:${port}`;
  const ask: RefreshCluster['ask'] = (server, jar, path, init = {}) =>
    send(agent, servers[server]?.ports.public ?? 0, host, jar, path, init);
  return Object.assign(state, {
    servers,
    redis: redis.connect(),
    provider,
    refreshes,
    signIn: (username: 'alice' | 'bob') => signIn(`http://${host}`, username),
    ask,
    verify: (server: number, jar: CookieJar) =>
      ask(server, jar, '/auth/verify', { headers: asTraefik(`http://${host}`, '/page') }),
    async close(this: RefreshCluster) {
      this.redis.disconnect();
      agent.destroy();
      for (const server of servers) await server.close();
      await provider.close();
      await redis.remove();
    },
  });
}

async function startOwnStore(): Promise<ClusterStore> {
  const redis = await startRedis();
  const settings = { kind: 'redis', redis: { url: redis.url, command_timeout: '5s' } };
  return { settings, connect: () => redis.connect(), remove: redis.remove };
}

/** The access token that verify answered with; empty if it did not. */
export function tokenOf({ headers }: ClusterAnswer): string {
  return String(headers['authorization'] ?? '').replace('Bearer ', '');
}

/** Whatever the answers were, none of them was a reuse: the provider would have refused it and ended the grant. */
export function assertNoReuse({ refreshes }: Pick<RefreshCluster, 'refreshes'>): void {
  assert.deepEqual(
    refreshes.filter(({ status }) => status !== 200),
    [],
    'the provider refused a refresh token',
  );
}

function noteOutcome(
  { grantType, status, body }: TokenOutcome,
  refreshes: { status: number; accessToken: unknown }[],
  expiresInS: number,
): void {
  if (status === 200) body['expires_in'] = expiresInS;
  if (grantType === 'refresh_token') refreshes.push({ status, accessToken: body['access_token'] });
}

function configuration(
  store: ClusterStore,
  port: number,
  provider: DemoProvider,
  secret: string,
  settings: Readonly<Record<string, unknown>>,
  callMs: number,
) {
  return {
    settings: {
      // The keys are those of all.
      ...defaultSettings(),
      sites: { main: { public_url: `http://localhost:${port}` } },
      insecure_http: true,
      store: store.settings,
      log: { level: 'warn', access: 'none' },
      ...settings,
    },
    idps: {
      version: 1,
      providers: {
        main: {
          issuer: provider.issuer,
          client_id: 'bff',
          client_auth: { secret },
          scopes: ['openid', 'profile', 'email'],
          timeout: { connect: '500ms', total: `${callMs}ms` },
        },
      },
    },
  };
}

function send(
  agent: Agent,
  port: number,
  host: string,
  jar: CookieJar,
  path: string,
  { method = 'GET', headers = {}, signal }: AskOptions,
): Promise<ClusterAnswer> {
  const cookie = [...jar.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        agent,
        host: '127.0.0.1',
        port,
        path,
        method,
        headers: { host, cookie, ...headers },
        ...(signal === undefined ? {} : { signal }),
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const body = Buffer.concat(chunks).toString('utf8');
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}
