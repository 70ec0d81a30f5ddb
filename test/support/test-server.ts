import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { startServer } from '../../src/cli/serve.ts';
import type { Clock } from '../../src/core/clock.ts';
import { loadConfig } from '../../src/core/config/load.ts';
import type { Config } from '../../src/core/config/types.ts';
import { createLog } from '../../src/core/log.ts';
import type { RunningServer } from '../../src/server.ts';
import { readMetric } from './metrics.ts';
import type { MisbehavingService } from './misbehaving-service.ts';
import { until } from './until.ts';

/** Public URL, and the one foreign origin that may read answers. */
export const PUBLIC_URL = 'https://app.example.test';
export const SPA_ORIGIN = 'https://spa.example.test';

/** A clock that a test moves by hand on top of the real one. */
export type MovableClock = Clock & { advance(ms: number): void };

/** Create such a clock. */
export function createMovableClock(): MovableClock {
  let offsetMs = 0;
  return {
    now: () => Date.now() + offsetMs,
    advance(ms) {
      offsetMs += ms;
    },
  };
}

/** A parsed log line. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly level: string };

/** What a test server is started with. Objects are merged into the defaults, member by member. */
export type TestServerOptions = {
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly idps: object;
  readonly routes?: object;
  readonly environment?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  /** What the server calls: no connection to these may be left when it has stopped. */
  readonly peers?: readonly MisbehavingService[];
  /** Codes whose error-level lines belong to the test. */
  readonly expectedErrors?: readonly string[];
};

/** A server in this process, on free ports, with its log. */
export type TestServer = {
  readonly ports: {
    readonly public: number;
    readonly verify: number;
    readonly verifyH2?: number;
    readonly admin: number;
  };
  readonly log: readonly LogLine[];
  /** A number of /metrics, see `readMetric`. */
  metric(name: string): Promise<number>;
  /** Resolves once /readyz of the admin listener answers `status`. @throws Error after 10 s */
  whenReady(status?: 200 | 503): Promise<void>;
  /** Change to another version of the configuration without a stop. */
  reload(change: (config: Config) => Config): Promise<void>;
  /** Stop, and check that nothing is left behind; the second call awaits the first. */
  close(): Promise<void>;
};

/** Write a configuration, load it, start the server and capture its log. @throws ConfigError */
export async function startTestServer(options: TestServerOptions): Promise<TestServer> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-e2e-'));
  writeFileSync(join(directory, 'settings.yaml'), JSON.stringify(merge(defaultSettings(), options.settings ?? {})));
  writeFileSync(join(directory, 'idps.yaml'), JSON.stringify(options.idps));
  if (options.routes !== undefined) writeFileSync(join(directory, 'routes.yaml'), JSON.stringify(options.routes));
  const log: LogLine[] = [];
  const rejections: unknown[] = [];
  const note = (reason: unknown): void => void rejections.push(reason);
  process.on('unhandledRejection', note);
  try {
    const config = loadConfig({ directory, environment: options.environment ?? {} });
    const server = await startServer({
      config,
      log: createLog({ level: 'debug' }, captureInto(log)),
      ...(options.clock === undefined ? {} : { clock: options.clock }),
    });
    const ports = portsOf(server);
    let closing: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      await stopAndCheck(server, ports.admin, options, { log, rejections });
      process.removeListener('unhandledRejection', note);
      rmSync(directory, { recursive: true, force: true });
    };
    return {
      ports,
      log,
      metric: (name) => readMetric(ports.admin, name),
      whenReady: (status = 200) =>
        until(
          async () => (await fetch(`http://127.0.0.1:${ports.admin}/readyz`)).status === status,
          `/readyz ${status}`,
        ),
      async reload(change) {
        (await server.prepare(change(config))).commit();
      },
      close() {
        closing ??= stop();
        return closing;
      },
    };
  } catch (error) {
    process.removeListener('unhandledRejection', note);
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** settings.yaml of the tests: one https site, three listeners on free ports, the memory store, everything logged. */
export function defaultSettings(): Readonly<Record<string, unknown>> {
  const anywhere = { address: '127.0.0.1', port: 0 };
  return {
    version: 1,
    sites: { main: { public_url: PUBLIC_URL, origins: [SPA_ORIGIN] } },
    listen: { public: anywhere, verify: anywhere, admin: anywhere },
    trusted_proxies: ['127.0.0.1/32'],
    keys: { seal: [{ id: 'k1', secret: randomBytes(32).toString('base64url') }] },
    shutdown: { unready: '0s', drain: '3s' },
    log: { level: 'debug', access: 'all' },
  };
}

/** What was left behind fails the test: open requests, sockets, rejections nobody handled, error lines nobody expected. */
async function stopAndCheck(
  server: RunningServer,
  adminPort: number,
  options: TestServerOptions,
  { log, rejections }: { readonly log: readonly LogLine[]; readonly rejections: readonly unknown[] },
): Promise<void> {
  // The request for the metrics is itself in flight.
  const settled = until(
    async () => (await readMetric(adminPort, 'sallyport_requests_in_flight')) === 1,
    'no open request',
  );
  const problem = await settled.then(
    () => undefined,
    (error: unknown) => error,
  );
  await server.close();
  if (problem !== undefined) throw problem;
  await until(() => (options.peers ?? []).every((peer) => peer.open() === 0), 'no outbound connection left');
  assert.deepEqual(rejections, [], 'unhandled rejections');
  const unexpected = log.filter(
    ({ level, msg }) =>
      level === 'fatal' || (level === 'error' && !(options.expectedErrors ?? []).includes(String(msg))),
  );
  assert.deepEqual(unexpected, [], 'unexpected error lines');
}

function portsOf({ publicPort, verifyPort = 0, verifyH2Port = 0, adminPort = 0 }: RunningServer): TestServer['ports'] {
  return { public: publicPort, verify: verifyPort, verifyH2: verifyH2Port, admin: adminPort };
}

function captureInto(lines: LogLine[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString('utf8').split('\n')) if (line !== '') lines.push(JSON.parse(line) as LogLine);
      done();
    },
  });
}

function merge(
  base: Readonly<Record<string, unknown>>,
  over: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(over)) {
    const below = merged[name];
    merged[name] = isMap(below) && isMap(value) ? merge(below, value) : value;
  }
  return merged;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
