import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Redis } from 'iovalkey';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import type { SessionStore } from '../../src/core/store.ts';
import { getPart } from './parts.ts';
import { findFreePorts } from './ports.ts';
import type { TestCertificates } from './redis-tls.ts';
import { until } from './until.ts';

/** How a test server is started. */
export type RedisOptions = {
  /** Serve TLS alone, and ask clients for a certificate. */
  readonly tls?: TestCertificates;
  /** ACL rules, one user each, as after `user` in redis.conf; the default user is then switched off. */
  readonly acl?: readonly string[];
  /** Free loopback port if absent. */
  readonly port?: number;
  /** Keep the data over `restart()`. */
  readonly persist?: boolean;
  /** Further arguments of redis-server. */
  readonly extra?: readonly string[];
};

/** A running redis-server on loopback. */
export type TestRedis = {
  readonly port: number;
  /** Without credentials. */
  readonly url: string;
  /** Complete settings for this server, with what the test wants different. */
  settings(different?: Partial<RedisSettings>): RedisSettings;
  /** A plain client of the library's, for looking at the server from outside. Close it with `disconnect()`. */
  connect(credentials?: Pick<RedisSettings, 'username' | 'password'>): Redis;
  stop(): Promise<void>;
  /** End it without a word, as a machine that fails. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Stop, start on the same port. */
  restart(): Promise<void>;
  /** Stop and remove all files. */
  remove(): Promise<void>;
};

/**
 * Start a real redis-server on loopback in a temporary directory, and wait until it serves. A test asks for the part
 * first: `skipWithout('redis-server')`.
 */
export async function startRedis(options: RedisOptions = {}): Promise<TestRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-redis-'));
  const port = options.port ?? (await findFreePorts(1));
  let child: ChildProcess | undefined;
  const start = async () => {
    child = await spawnRedis(serverArguments(options, port, directory));
  };
  const stop = async (signal?: 'SIGKILL') => {
    await stopProcess(child, signal);
    child = undefined;
  };
  await start();
  return {
    port,
    url: `${options.tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`,
    settings: (different = {}) => ({ ...settingsFor(port, options.tls), ...different }),
    connect: (credentials) => new Redis(clientOptions(port, options.tls, credentials)),
    start,
    stop: () => stop(),
    kill: () => stop('SIGKILL'),
    restart: async () => {
      await stop();
      await start();
    },
    remove: async () => {
      await stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Wait until the store has a working connection; throws after `deadlineMs`. */
export async function whenReachable(store: SessionStore, deadlineMs = 10_000): Promise<void> {
  await until(async () => store.status().reachable, 'the store is reachable', deadlineMs);
}

function serverArguments(options: RedisOptions, port: number, directory: string): string[] {
  const { tls, acl = [], extra = [], persist = false } = options;
  const files = tls?.files;
  return [
    ...['--bind', '127.0.0.1', '--dir', directory, '--save', '', '--daemonize', 'no'],
    ...['--appendonly', persist ? 'yes' : 'no', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction'],
    ...(files === undefined
      ? ['--port', String(port)]
      : ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'yes', '--tls-ca-cert-file', files.ca]),
    ...(files === undefined ? [] : ['--tls-cert-file', files.serverCert, '--tls-key-file', files.serverKey]),
    ...acl.flatMap((rule) => ['--user', ...rule.split(' ')]),
    ...(acl.length === 0 ? [] : ['--user', 'default', 'off']),
    ...extra,
  ];
}

async function spawnRedis(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(getPart('redis-server'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  child.once('exit', () => process.removeListener('exit', onExit));
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line.includes('Ready to accept connections')) {
      child.stdout.resume();
      child.stderr.resume();
      return child;
    }
  }
  throw new Error(`redis-server did not start:\n${lines.join('\n')}`);
}

async function stopProcess(child: ChildProcess | undefined, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

function settingsFor(port: number, tls: TestCertificates | undefined): RedisSettings {
  const { ca, clientCert: cert, clientKey: key } = tls ?? {};
  return {
    host: '127.0.0.1',
    port,
    db: 0,
    username: undefined,
    password: undefined,
    tls: tls === undefined ? undefined : { ca, cert, key, serverName: undefined },
    keyPrefix: 'sp:',
    connectTimeoutMs: 2_000,
    // Wide, because the tests share few cores; the fault tests set their own.
    commandTimeoutMs: 5_000,
    topology: undefined,
    waitReplicas: undefined,
  };
}

function clientOptions(
  port: number,
  tls: TestCertificates | undefined,
  credentials: Pick<RedisSettings, 'username' | 'password'> | undefined,
) {
  const { username, password } = credentials ?? {};
  return {
    host: '127.0.0.1',
    port,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: { ca: tls.ca, cert: tls.clientCert, key: tls.clientKey } }),
  };
}
