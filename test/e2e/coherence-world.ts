import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/core/clock.ts';
import { createKeyRing } from '../../src/core/crypto.ts';
import type { Session, Sessions } from '../../src/core/services.ts';
import { createSessions } from '../../src/core/sessions.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { hotOf } from '../core/world.ts';
import { NO_IDENTITY } from '../support/identity.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';
import { startTcpFaultProxy, type TcpFaultProxy } from '../support/tcp-fault-proxy.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/sallyport.js', import.meta.url));
const SECRET = randomBytes(32);

/** A server process, and the proxy that breaks its connections to the store: that of invalidations alone, or all. */
export type Server = {
  readonly channel: TcpFaultProxy;
  /** Its public listener. */
  readonly port: number;
  /** Ask verify for a session: the status. */
  verify(handle: string): Promise<number>;
  /** A metric of the process, 0 if absent. */
  metric(name: string): Promise<number>;
  stop(): Promise<void>;
};

/** A session and what is known of its end. */
export type Subject = {
  readonly handle: string;
  readonly session: Session;
  /** When its end was acknowledged, ms since the epoch; undefined = alive. */
  endedAt: number | undefined;
};

/** One Redis, server processes beside it, and sessions made and ended from a further process (this one). */
export type CoherenceWorld = {
  readonly redis: TestRedis;
  readonly servers: readonly Server[];
  readonly sessions: Sessions;
  /** Sessions of one user each, unless a user is given; with a provider session each, if asked for. */
  create(count: number, lives?: { user?: string; absoluteMs?: number; sids?: boolean }): Promise<Subject[]>;
  close(): Promise<void>;
};

/** How the processes of a world are set up. */
export type CoherenceOptions = {
  readonly processes: number;
  /** `store.l1` of settings.yaml. */
  readonly l1: Readonly<Record<string, string>>;
  readonly commandTimeout: string;
  /** Further keys of the provider's entry in idps.yaml. */
  readonly idp?: Readonly<Record<string, unknown>>;
  /** The proxy's faults concern every connection to the store, not the invalidations alone. */
  readonly breaksAll?: boolean;
};

/** Start Redis and the server processes. */
export async function openCoherence(options: CoherenceOptions): Promise<CoherenceWorld> {
  const redis = await startRedis();
  const servers: Server[] = [];
  for (let index = 0; index < options.processes; index += 1) servers.push(await startProcess(redis, options));
  const store = createValkeyStore({ redis: redis.settings() });
  await whenReachable(store);
  const sessionsOf = (absoluteMs: number): Sessions =>
    createSessions({
      store,
      ring: createKeyRing([{ id: 'k1', secret: SECRET }]),
      clock: systemClock,
      settings: {
        idleMs: Math.min(1_800_000, absoluteMs),
        absoluteMs,
        maxPerUser: 0,
        checkSlides: true,
        exposedClaims: [],
      },
      identity: NO_IDENTITY,
      tombstoneTtlMs: 1_000,
      onBackgroundError: () => {},
    });
  const sessions = sessionsOf(3_600_000);
  let users = 0;
  return {
    redis,
    servers,
    sessions,
    create: (number, { user, absoluteMs, sids = false } = {}) => {
      const maker = absoluteMs === undefined ? sessions : sessionsOf(absoluteMs);
      return Promise.all(
        Array.from({ length: number }, () =>
          createOne(maker, user ?? `user-${users++}`, options.idp?.['issuer'], sids),
        ),
      );
    },
    async close() {
      await Promise.all(servers.map((server) => server.stop()));
      await store.close();
      await redis.remove();
    },
  };
}

async function createOne(sessions: Sessions, subject: string, issuer: unknown, hasSid: boolean): Promise<Subject> {
  const now = Date.now();
  const { createdAt: _c, idleMs: _i, absoluteAt: _a, indexKeyId: _k, ...hot } = hotOf();
  const created = await sessions.create({
    hot: {
      ...hot,
      principal: { ...hot.principal, subject, ...(typeof issuer === 'string' ? { issuer } : {}) },
      tokenExpiresAt: now + 3_600_000,
      authTime: now,
      sid: hasSid ? randomBytes(12).toString('base64url') : undefined,
    },
    cold: { refreshToken: undefined, idToken: undefined },
    startedAt: now,
  });
  assert.ok(created);
  return { ...created, endedAt: undefined };
}

async function startProcess(redis: TestRedis, options: CoherenceOptions): Promise<Server> {
  const channel = await startTcpFaultProxy(redis.port, options.breaksAll === true ? undefined : 'TRACKING');
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-coherence-'));
  const anywhere = { address: '127.0.0.1', port: 0 };
  const settings = {
    version: 1,
    sites: { main: { public_url: 'https://app.example.test' } },
    listen: { public: anywhere, verify: anywhere, admin: anywhere },
    workers: 1,
    trusted_proxies: ['127.0.0.1/32'],
    keys: { seal: [{ id: 'k1', secret: SECRET.toString('base64url') }] },
    store: {
      kind: 'redis',
      redis: { url: `redis://127.0.0.1:${channel.port}`, command_timeout: options.commandTimeout },
      l1: options.l1,
    },
    shutdown: { unready: '0s', drain: '1s' },
  };
  const provider = {
    issuer: 'https://idp.example.invalid',
    client_id: 'x',
    client_auth: { secret: 'a-secret-of-the-world-0001' },
    ...options.idp,
  };
  writeFileSync(join(directory, 'settings.yaml'), JSON.stringify(settings));
  writeFileSync(join(directory, 'idps.yaml'), JSON.stringify({ version: 1, providers: { main: provider } }));
  const child = spawn(process.execPath, [LAUNCHER, 'serve', '--config', directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const { publicPort, verifyPort, adminPort } = await listening(child);
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  return {
    channel,
    port: publicPort,
    verify: (handle) => ask(agent, verifyPort, handle),
    metric: async (name) => {
      const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
      return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
    },
    async stop() {
      agent.destroy();
      child.kill('SIGTERM');
      await once(child, 'exit');
      process.removeListener('exit', kill);
      await channel.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

type Ports = { readonly publicPort: number; readonly verifyPort: number; readonly adminPort: number };

async function listening(child: ChildProcess): Promise<Ports> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    lines.push(line);
    if (!line.includes('"listening"')) continue;
    child.stdout!.resume();
    return JSON.parse(line) as Ports;
  }
  throw new Error(`the server did not start:\n${lines.join('\n')}`);
}

function ask(agent: Agent, port: number, handle: string): Promise<number> {
  const headers = {
    cookie: `bff_session=${handle}`,
    'x-forwarded-method': 'GET',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'app.example.test',
    'x-forwarded-uri': '/api/things',
  };
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path: '/auth/verify', agent, headers }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    });
    request.once('error', reject);
  });
}
