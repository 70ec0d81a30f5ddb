import { randomBytes } from 'node:crypto';
import { Agent, get } from 'node:http';
import type { TestContext } from 'node:test';
import { createKeyRing } from '../../src/core/crypto.ts';
import type { Session, Sessions } from '../../src/core/services.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { createSession, sessionsOver } from '../support/direct-sessions.ts';
import { asTraefik } from '../support/gateway.ts';
import { readMetric } from '../support/metrics.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';
import { spawnServe } from '../support/serve-process.ts';
import { startTcpFaultProxy, type TcpFaultProxy } from '../support/tcp-fault-proxy.ts';
import { PUBLIC_URL } from '../support/test-server.ts';

const SECRET = randomBytes(32);

/** A server process, and the proxy that breaks its connections to the store: that of invalidations alone, or all. */
export type Server = {
  readonly channel: TcpFaultProxy;
  /** Its public listener. */
  readonly port: number;
  /** Ask verify for a session: the status. */
  verify(handle: string): Promise<number>;
  /** A number of its /metrics, see `readMetric`. */
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
  const ring = createKeyRing([{ id: 'k1', secret: SECRET }]);
  const sessionsOf = (absoluteMs: number): Sessions =>
    sessionsOver({ store, ring, settings: { absoluteMs }, tombstoneTtlMs: 1_000 });
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
  const principal = { subject, ...(typeof issuer === 'string' ? { issuer } : {}) };
  const sid = hasSid ? randomBytes(12).toString('base64url') : undefined;
  return { ...(await createSession(sessions, principal, sid)), endedAt: undefined };
}

async function startProcess(redis: TestRedis, options: CoherenceOptions): Promise<Server> {
  const channel = await startTcpFaultProxy(redis.port, options.breaksAll === true ? undefined : 'TRACKING');
  const settings = {
    keys: { seal: [{ id: 'k1', secret: SECRET.toString('base64url') }] },
    store: {
      kind: 'redis',
      redis: { url: `redis://127.0.0.1:${channel.port}`, command_timeout: options.commandTimeout },
      l1: options.l1,
    },
    log: { level: 'info', access: 'none' },
  };
  const process = spawnServe({ settings, idp: options.idp });
  await process.logged('listening');
  const { public: port, verify, admin } = process.ports();
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  return {
    channel,
    port,
    verify: (handle) => ask(agent, verify, handle),
    metric: (name) => readMetric(admin, name),
    async stop() {
      agent.destroy();
      process.signal('SIGTERM');
      await process.ended;
      await process.remove();
      await channel.close();
    },
  };
}

function ask(agent: Agent, port: number, handle: string): Promise<number> {
  const headers = {
    cookie: `bff_session=${handle}`,
    ...asTraefik(PUBLIC_URL, '/api/things'),
  };
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path: '/auth/verify', agent, headers }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    });
    request.once('error', reject);
  });
}

/** Say how long it took, ms each, in the output of the test. */
export function reportDelays(t: TestContext, what: string, delays: readonly number[]): void {
  const sorted = delays.toSorted((a, b) => a - b);
  const at = (part: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!.toFixed(1);
  t.diagnostic(`${what}: ${sorted.length} sessions, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`);
}
