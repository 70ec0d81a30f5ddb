import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { createLog } from '../../src/core/log.ts';
import type { PeerPlay } from './peers.ts';
import { type Exchange, exchange, type ListenFor, requestBytes } from './raw-client.ts';

/** What distinguishes one server instance of the test world from another. */
export type InstanceSpec = {
  /** Complete trusted list, loopback players included (see peers.ts). */
  readonly trustedProxies: readonly string[];
  readonly listener: PeerPlay['listener'];
  readonly cookieName: string;
  /** The site of `*.apps.example.test` beside the app host. */
  readonly tenants: boolean;
  /** Tokens of the main provider are bound to keys. */
  readonly dpop?: boolean;
  /** The main provider is asked for UserInfo, too. */
  readonly userinfo?: boolean;
  /** Undefined = memory store. */
  readonly redisUrl: string | undefined;
  /** Accepted signatures of bearer tokens; absent = no bearer tokens. */
  readonly bearerAlgs?: readonly string[];
  /** Allowed foreign origins of the app host's site; absent = none. */
  readonly origins?: readonly string[];
  /** What verify answers for a path of no route; absent = any session passes. */
  readonly unmatched?: 'session' | 'deny';
  /** Absent = `header`. */
  readonly csrfMode?: 'header' | 'token';
  /** The telemetry sink, for versions that have one. */
  readonly telemetry?: boolean;
  /** All of routes.yaml; absent = the sample table of SECURITY section 0, every route to one service. */
  readonly routes?: object;
};

/** Where the instance finds the parts that it talks to. */
export type InstanceParts = {
  readonly idpUrl: string;
  readonly secondIdpUrl: string;
  readonly echoUrl: string;
};

/** A running Sallyport with its captured log. */
export type Instance = {
  readonly spec: InstanceSpec;
  /** Send raw bytes from a loopback address. */
  send(bytes: Buffer | readonly Buffer[], from: string, listen?: Partial<ListenFor>): Promise<Exchange>;
  /** Parsed log lines since the last `forgetLog`. */
  readonly logLines: readonly Readonly<Record<string, unknown>>[];
  forgetLog(): void;
  /** Move the instance's clock forward. */
  advanceMs(ms: number): void;
  close(): Promise<void>;
};

/** Public URLs of the two sites; everything absolute comes from them. */
export const MAIN_URL = 'https://app.example.test';
export const TENANTS_URL = 'https://tenants.apps.example.test';
/** Issuers of the two providers. */
export const ISSUER = 'https://idp.example.test';
export const SECOND_ISSUER = 'https://idp2.example.test';
/** Audience of bearer tokens for us. */
export const AUDIENCE = 'https://bff.example.test';
const IDENTITY = {
  Authorization: { token: 'matched' },
  'X-User-Id': { principal: 'user_id' },
  'X-User-Username': { principal: 'username' },
  'X-User-Email': { principal: 'email' },
  'X-User-Role': { principal: 'roles', pick: 'first' },
  'X-User-Roles': { principal: 'roles', join: ',' },
  'X-Auth-Session': { session: 'public_id' },
};
/** Header names that an allow answer carries. */
export const IDENTITY_HEADERS: readonly string[] = Object.keys(IDENTITY).map((name) => name.toLowerCase());
/** Total deadline of a provider call, ms; a hanging provider must be answered for within it. */
export const IDP_TIMEOUT_MS = 1_500;

const LISTEN_ADDRESS = { v4: '127.0.0.1', v6: '::1', mapped: '::ffff:127.0.0.1' } as const;
const CONNECT_HOST = { v4: '127.0.0.1', v6: '::1', mapped: '127.0.0.1' } as const;
const READY_DEADLINE_MS = 10_000;
const READY_POLL_MS = 20;
const DEFAULT_LISTEN: ListenFor = { answers: 'one', method: 'GET', deadlineMs: 4_000, quietMs: 250 };

/** The configuration was refused before anything was sent; the message holds the findings. */
export class InstanceRefused extends Error {}

/** Write a configuration, load it and start the server in this process. @throws InstanceRefused */
export async function startInstance(spec: InstanceSpec, parts: InstanceParts): Promise<Instance> {
  // Loaded at first use: reading attack files and families without a runner need no server.
  const [{ loadConfig }, { createLog }, { startServer }] = await Promise.all([
    import('../../src/core/config/load.ts'),
    import('../../src/core/log.ts'),
    import('../../src/cli/serve.ts'),
  ]);
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-attacks-'));
  writeConfig(directory, spec, parts);
  const logLines: Record<string, unknown>[] = [];
  let offsetMs = 0;
  const clock = { now: (): number => Date.now() + offsetMs };
  const server = await startServer({
    config: await load(loadConfig, directory),
    log: captureLog(createLog, logLines),
    clock,
  });
  await waitUntilReady(server.adminPort);
  return {
    spec,
    send: (bytes, from, listen = {}) =>
      exchange({ host: CONNECT_HOST[spec.listener], port: server.publicPort, localAddress: from }, bytes, {
        ...DEFAULT_LISTEN,
        ...listen,
      }),
    logLines,
    forgetLog() {
      logLines.length = 0;
    },
    advanceMs(ms) {
      offsetMs += ms;
    },
    close: () => server.close(),
  };
}

/** Ready = store and provider metadata were reached once (D-43). @throws Error after READY_DEADLINE_MS */
async function waitUntilReady(adminPort: number | undefined): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS;
  const target = { host: '127.0.0.1', port: adminPort ?? 0, localAddress: '127.0.0.1' };
  const request = requestBytes('GET', '/readyz', [['host', 'localhost']]);
  for (;;) {
    const [response] = (await exchange(target, request, DEFAULT_LISTEN)).responses;
    if (response?.status === 200) return;
    if (performance.now() > deadline)
      throw new Error(`the server does not become ready: ${response?.body ?? 'no answer'}`);
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
}

async function load<C>(
  loadConfig: (options: { directory: string; environment: Record<string, string> }) => C | Promise<C>,
  directory: string,
): Promise<C> {
  try {
    return await loadConfig({ directory, environment: {} });
  } catch (error) {
    const { message, format } = error as Error & { format?: () => string };
    throw new InstanceRefused(format === undefined ? message : format.call(error), { cause: error });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function captureLog(create: typeof createLog, lines: Record<string, unknown>[]): ReturnType<typeof createLog> {
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString('utf8').split('\n')) {
        if (line !== '') lines.push(JSON.parse(line) as Record<string, unknown>);
      }
      done();
    },
  });
  return create({ level: 'info' }, sink);
}

function writeConfig(directory: string, spec: InstanceSpec, parts: InstanceParts): void {
  writeFileSync(join(directory, 'settings.yaml'), JSON.stringify(settings(spec), undefined, 2));
  writeFileSync(join(directory, 'idps.yaml'), JSON.stringify(idps(spec, parts), undefined, 2));
  writeFileSync(join(directory, 'routes.yaml'), JSON.stringify(spec.routes ?? sampleRoutes(parts), undefined, 2));
}

// JSON is YAML: the files are written as data, so no value of a case can change their structure.
function settings(spec: InstanceSpec): unknown {
  const main = { public_url: MAIN_URL, hosts: ['app.example.test'], idp: 'main', origins: spec.origins ?? [] };
  const tenants = {
    public_url: TENANTS_URL,
    hosts: ['tenants.apps.example.test', '*.apps.example.test'],
    cookie: { domain: 'apps.example.test' },
    idp: 'main',
  };
  return {
    version: 1,
    sites: spec.tenants ? { main, tenants } : { main },
    listen: {
      public: { address: LISTEN_ADDRESS[spec.listener], port: 0 },
      admin: { address: '127.0.0.1', port: 0 },
    },
    trusted_proxies: spec.trustedProxies,
    keys: { seal: [{ id: 'k1', secret: randomBytes(32).toString('base64url') }] },
    session: { cookie: { name: spec.cookieName } },
    store:
      spec.redisUrl === undefined
        ? { kind: 'memory' }
        : { kind: 'redis', redis: { mode: 'single', url: spec.redisUrl, connect_timeout: '1s' } },
    login: { return_to: { default: '/', origins: ['https://*.apps.example.test'] } },
    verify: { gateway: 'traefik', unmatched: spec.unmatched ?? 'session', csrf: 'origin' },
    identity_headers: IDENTITY,
    csrf: { mode: spec.csrfMode ?? 'header' },
    ...(spec.telemetry === true ? { telemetry_sink: { enabled: true } } : {}),
    shutdown: { unready: '0s', drain: '1s' },
    log: { level: 'info', access: 'all' },
  };
}

function idps({ bearerAlgs, dpop = false, userinfo = false }: InstanceSpec, parts: InstanceParts): unknown {
  const provider = (issuer: string, backchannelUrl: string): object => ({
    issuer,
    client_id: 'bff-client',
    client_auth: { method: 'client_secret_basic', secret: 'attack-world-client-secret-0001' },
    scopes: 'openid profile email',
    backchannel_url: backchannelUrl,
    allow_insecure_backchannel: true,
    timeout: { connect: '1s', total: `${IDP_TIMEOUT_MS}ms` },
    claims: {
      user_id: ['/sub'],
      username: ['/preferred_username'],
      email: ['/email'],
      email_verified: ['/email_verified'],
      roles: ['/roles'],
    },
  });
  return {
    version: 1,
    default: 'main',
    providers: {
      main: {
        ...provider(ISSUER, parts.idpUrl),
        ...(dpop ? { dpop: 'require' } : {}),
        ...(userinfo ? { userinfo } : {}),
      },
      idp2: provider(SECOND_ISSUER, parts.secondIdpUrl),
    },
    ...(bearerAlgs === undefined ? {} : { bearer: bearer(bearerAlgs) }),
  };
}

/** Both issuers give tokens for us, each by its own keys. */
function bearer(algs: readonly string[]): unknown {
  const entry = (issuer: string, provider: string): unknown => ({ issuer, provider, audiences: [AUDIENCE], algs });
  return { enabled: true, issuers: [entry(ISSUER, 'main'), entry(SECOND_ISSUER, 'idp2')] };
}

function sampleRoutes(parts: InstanceParts): unknown {
  const route = (id: string, path: string, rest: object): unknown => ({
    id,
    hosts: ['app.example.test'],
    paths: [path],
    target_service: 'echo',
    ...rest,
  });
  return {
    version: 1,
    services: { echo: { urls: [parts.echoUrl], token: { source: 'session' } } },
    routes: [
      route('public', '/api/public/*', { auth: 'none' }),
      route('users', '/api/users/*', { auth: 'session' }),
      route('files', '/api/files/*', { auth: 'session' }),
      route('admin', '/api/admin/*', { auth: 'session', roles: ['admin'] }),
    ],
  };
}
