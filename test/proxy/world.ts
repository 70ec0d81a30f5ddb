import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type DemoProvider, type DemoProviderOptions, startDemoProvider } from '../../src/cli/demo/provider.ts';
import { startServer } from '../../src/cli/serve.ts';
import { loadConfig } from '../../src/core/config/load.ts';
import { createLog } from '../../src/core/log.ts';
import type { RunningServer } from '../../src/server.ts';
import { readMetric } from '../support/metrics.ts';
import { findFreePorts } from '../support/ports.ts';
import { createCookieJar, createTestClient, signInAtProvider } from '../support/provider.ts';
import { until } from '../support/until.ts';

/** What a test puts behind Sallyport: routes.yaml as data. */
export type ProxyWorldOptions = {
  readonly services: Readonly<Record<string, object>>;
  readonly routes: readonly object[];
  /** Merged over the settings of every world. */
  readonly settings?: object;
  /** Lifetime of access tokens in seconds. */
  readonly accessTokenTtlS?: number;
  /** Changes the provider. */
  readonly provider?: Partial<DemoProviderOptions>;
};

/** A running Sallyport with a real provider beside it. */
export type ProxyWorld = {
  readonly port: number;
  readonly origin: string;
  /** Parsed log lines. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  /** Value of the Cookie header of a new session of `alice` or `bob`. */
  signIn(user: 'alice' | 'bob'): Promise<string>;
  /** Move Sallyport's clock forward. */
  advanceMs(ms: number): void;
  /** A number of /metrics, see `readMetric`. */
  metric(name: string): Promise<number>;
  /** The client at the provider, as Sallyport knows it. */
  readonly client: { readonly client_id: string; readonly client_secret: string };
  readonly issuer: string;
  close(): Promise<void>;
};

/** Start Sallyport on a free port of loopback with the services and routes of a test. */
export async function startProxyWorld(options: ProxyWorldOptions): Promise<ProxyWorld> {
  const port = await findFreePorts(1);
  const origin = `http://127.0.0.1:${port}`;
  const client = createTestClient(`${origin}/auth/callback`);
  const provider = await startDemoProvider({
    clients: [client],
    ...(options.accessTokenTtlS === undefined ? {} : { ttl: { accessTokenSeconds: options.accessTokenTtlS } }),
    ...options.provider,
  });
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-proxy-'));
  const log: Record<string, unknown>[] = [];
  let offsetMs = 0;
  let server: RunningServer;
  try {
    await writeConfig(directory, options, { port, origin, provider, client });
    server = await startServer({
      config: loadConfig({ directory, environment: {} }),
      log: createLog({ level: 'debug' }, collect(log)),
      clock: { now: () => Date.now() + offsetMs },
    });
  } catch (error) {
    await provider.close();
    throw error instanceof Error && 'format' in error ? new Error((error.format as () => string)()) : error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  await until(async () => (await call({ port, path: '/readyz' })).status === 200, 'the server is ready');
  return {
    port,
    origin,
    log,
    client,
    issuer: provider.issuer,
    signIn: (user) => signIn(port, user),
    advanceMs: (ms) => {
      offsetMs += ms;
    },
    metric: (name) => readMetric(server.adminPort ?? 0, name),
    async close() {
      await server.close();
      await provider.close();
    },
  };
}

type Made = {
  readonly port: number;
  readonly origin: string;
  readonly provider: DemoProvider;
  readonly client: { readonly client_id: string; readonly client_secret: string };
};

// JSON is YAML: the files are written as data.
async function writeConfig(directory: string, options: ProxyWorldOptions, made: Made): Promise<void> {
  const settings = {
    version: 1,
    sites: {
      main: { public_url: made.origin, origins: ['https://listed.example.test'] },
      second: { public_url: `http://localhost:${made.port}` },
    },
    listen: { public: { address: '127.0.0.1', port: made.port }, admin: { address: '127.0.0.1', port: 0 } },
    insecure_http: true,
    keys: { seal: [{ id: 'k1', secret: randomBytes(32).toString('base64url') }] },
    store: { kind: 'memory' },
    identity_headers: {
      Authorization: { token: 'matched' },
      'X-User-Id': { principal: 'user_id' },
      'X-User-Roles': { principal: 'roles', join: ',' },
      'X-Auth-Session': { session: 'public_id' },
    },
    shutdown: { unready: '0s', drain: '1s' },
    ...options.settings,
  };
  const idps = {
    version: 1,
    default: 'main',
    providers: {
      main: {
        issuer: made.provider.issuer,
        client_id: made.client.client_id,
        client_auth: { method: 'client_secret_basic', secret: made.client.client_secret },
        scopes: 'openid profile email api.read',
        claims: { user_id: ['/sub'], username: ['/preferred_username'], roles: ['/roles'] },
      },
    },
  };
  // The demo provider signs its access tokens for this audience.
  const accepted = {
    issuer: made.provider.issuer,
    provider: 'main',
    audiences: [made.provider.audience],
    algs: ['RS256'],
  };
  const bearer = { enabled: true, issuers: [accepted] };
  const routes = { version: 1, services: options.services, routes: options.routes };
  for (const [name, value] of Object.entries({ settings, idps: { ...idps, bearer }, routes })) {
    await writeFile(join(directory, `${name}.yaml`), JSON.stringify(value), { mode: 0o600 });
  }
}

function collect(lines: Record<string, unknown>[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString('utf8').split('\n')) if (line !== '') lines.push(JSON.parse(line));
      done();
    },
  });
}

/** A browser's way through the login; its own requests are plain ones, because global fetch says it is a script. */
async function signIn(port: number, user: string): Promise<string> {
  const login = await call({ port, path: '/auth/login' });
  if (login.status !== 302) throw new Error(`/auth/login answered ${login.status}: ${login.body}`);
  const transaction = (login.headers['set-cookie'] ?? []).map((line) => line.split(';')[0]).join('; ');
  const callback = await signInAtProvider(createCookieJar(), login.headers.location ?? '', user, user);
  const answer = await call({
    port,
    path: `${callback.pathname}${callback.search}`,
    headers: { cookie: transaction },
  });
  const lines = answer.headers['set-cookie'] ?? [];
  const session = lines.find((line) => /^bff_session=[^;]/.test(line));
  if (session === undefined) throw new Error(`the callback answered ${answer.status}: ${answer.body}`);
  return session.split(';')[0] as string;
}

/** A service behind Sallyport. */
export type TestService = {
  readonly url: string;
  readonly port: number;
  /** Every request it received, oldest first; headers raw. */
  readonly seen: IncomingMessage[];
  /** The last request. */
  last(): IncomingMessage;
  close(): Promise<void>;
};

/** Start a service on a free port of loopback; `tls` makes it https. */
export async function startService(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  tls?: ServerOptions,
): Promise<TestService> {
  const seen: IncomingMessage[] = [];
  const listener = (incoming: IncomingMessage, response: ServerResponse): void => {
    seen.push(incoming);
    handler(incoming, response);
  };
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.requestTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    seen,
    last() {
      const last = seen.at(-1);
      if (last === undefined) throw new Error('the service received nothing');
      return last;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** One request of a test. */
export type TestCall = {
  readonly port: number;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | readonly string[];
  readonly body?: string | Buffer;
};

/** An answer read to its end. */
export type TestAnswer = {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
};

/** Send a request on a connection of its own and read the answer. Rejects if it is cut. */
export function call({ port, path, method = 'GET', headers = {}, body }: TestCall): Promise<TestAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: '127.0.0.1',
      port,
      path,
      method,
      headers: headers as Record<string, string>,
      agent: false,
    });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          rawHeaders: response.rawHeaders,
          body: Buffer.concat(chunks),
        }),
      );
    });
    outgoing.end(body);
  });
}

/** The problem code of an error answer. */
export function codeOf(answer: TestAnswer): string {
  return String((JSON.parse(answer.body.toString('utf8')) as { code?: unknown }).code);
}
