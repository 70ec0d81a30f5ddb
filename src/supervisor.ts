import { type AddressInfo, createServer } from 'node:net';
import type { ConfigSnapshot } from './core/config/snapshot.ts';
import type { Config } from './core/config/types.ts';
import type { Listen } from './core/config/types-listen.ts';
import type { Logger } from './core/log.ts';
import { type AdminServer, startAdminServer } from './supervisor-admin.ts';
import { WorkerLink } from './worker-link.ts';
import { WorkerMetrics } from './worker-metrics.ts';
import { WorkerPool } from './worker-pool.ts';
import type { WorkerPorts } from './worker-protocol.ts';

/** Several worker processes that accept on the same ports. */
export type Supervisor = {
  readonly ports: WorkerPorts & { readonly admin: number | undefined };
  /** Let all workers change to another version, or none (D-43). @throws Error that says why none did */
  reload(config: Config, snapshot: ConfigSnapshot): Promise<void>;
  /** Drain all workers, then end (D-22). */
  close(): Promise<void>;
  /** End all workers at once. */
  kill(): Promise<void>;
};

/** What a supervisor starts with. */
export type SupervisorOptions = {
  readonly config: Config;
  readonly snapshot: ConfigSnapshot;
  /** Two or more. */
  readonly workers: number;
  readonly log: Logger;
};

const PREPARE_MS = 15_000;
const COMMIT_MS = 5_000;
const ASK_MS = 2_000;
/** Beyond the time not ready: closing ports. */
const LEAVE_SLACK_MS = 2_000;
/** Beyond the drain deadline: closing stores and sockets. */
const CLOSE_SLACK_MS = 5_000;

/** Find the ports free, start the workers, serve metrics and readiness of all. @throws Error if one of these fails */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { config, log, workers } = options;
  const ports = await choosePorts(config);
  const reloads = { done: 0, refused: 0 };
  const metrics: WorkerMetrics = new WorkerMetrics({
    workers: () => ({ configured: workers, up: pool.up }),
    restarts: () => pool.restarts,
    reloads,
  });
  const onEnd = (index: number): void => {
    metrics.end(index).catch((error: unknown) => log.error({ err: error, worker: index }, 'its counters are lost'));
  };
  const fork = (): WorkerLink => new WorkerLink();
  const pool: WorkerPool = new WorkerPool({ size: workers, ports, log, fork, onEnd }, options.snapshot);
  const state = createState(pool, workers);
  const admin = await startAdmin(config, state, pool, metrics);
  try {
    await pool.start();
  } catch (error) {
    await admin?.close();
    throw error;
  }
  log.info({ ...withSuffix(ports), adminPort: admin?.port, workers, files: config.files }, 'listening');
  let current = config;
  return {
    ports: { ...ports, admin: admin?.port },
    async reload(next, snapshot) {
      try {
        await reloadAll(pool, snapshot);
      } catch (error) {
        reloads.refused += 1;
        throw error;
      }
      reloads.done += 1;
      current = next;
    },
    async close() {
      state.isDraining = true;
      const { unreadyMs, drainMs } = current.shutdown;
      const leaveMs = unreadyMs + LEAVE_SLACK_MS;
      await pool.close({ leaveMs, deadlineMs: leaveMs + drainMs + CLOSE_SLACK_MS });
      await admin?.close();
    },
    kill: () => pool.kill(),
  };
}

/** First everybody makes the version ready; only when all have, everybody serves it. */
async function reloadAll(pool: WorkerPool, snapshot: ConfigSnapshot): Promise<void> {
  try {
    await pool.callAll('prepare', snapshot, PREPARE_MS);
  } catch (error) {
    await pool.tryAll('abort', null, COMMIT_MS);
    throw error;
  }
  // A worker that starts from here on must not come up with the old version; one that dies now starts with the new.
  pool.use(snapshot);
  for (const { index, problem } of await pool.tryAll('commit', null, COMMIT_MS)) {
    // It came up in between, or hangs: a new one begins with the new version.
    if (problem !== undefined) pool.replace(index);
  }
}

type State = { isDraining: boolean; wasReady: boolean; read(): Promise<{ ready: boolean; body: object }> };

/** Ready once all workers were; from then on while one of them is: a restart must not take the others away (D-43). */
function createState(pool: WorkerPool, workers: number): State {
  const state: State = {
    isDraining: false,
    wasReady: false,
    async read() {
      const answers = await pool.tryAll('readiness', null, ASK_MS);
      const ready = answers.filter(({ result }) => result?.ready === true).length;
      if (ready === workers) state.wasReady = true;
      const isReady = !state.isDraining && state.wasReady && ready > 0;
      const status = state.isDraining ? 'draining' : isReady ? 'ready' : 'starting';
      const list = answers.map(({ index, result, problem }) => ({ worker: index, ...(result?.body ?? { problem }) }));
      return { ready: isReady, body: { status, workers: { configured: workers, ready }, list } };
    },
  };
  return state;
}

function startAdmin(
  config: Config,
  state: State,
  pool: WorkerPool,
  metrics: WorkerMetrics,
): Promise<AdminServer> | undefined {
  const { admin } = config.listen;
  if (admin === undefined) return undefined;
  const exposition = async (): Promise<string> => {
    await pool.tryAll('snapshot', null, ASK_MS, (index, snapshot) => metrics.note(index, snapshot));
    return metrics.exposition();
  };
  return startAdminServer(admin, {
    readiness: () => state.read(),
    metrics: config.metrics.enabled ? exposition : undefined,
  });
}

/**
 * Bind each port alone, and let it go: the native core's shared listening would join whoever else listens there (D-22).
 * @throws Error for an address that is taken or not ours.
 */
async function choosePorts({ listen }: Config): Promise<WorkerPorts> {
  const probe = (at: Listen | undefined) => at && probePort(at);
  return {
    public: await probePort(listen.public),
    verify: await probe(listen.verify),
    verifyH2: await probe(listen.verifyH2),
  };
}

function probePort({ address, port }: Listen): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause) =>
      reject(new Error(`cannot listen on ${address}:${port}: the address is taken or not ours`, { cause })),
    );
    server.listen({ host: address, port, exclusive: true }, () => {
      const { port: free } = server.address() as AddressInfo;
      server.close(() => resolve(free));
    });
  });
}

function withSuffix(ports: WorkerPorts) {
  return { publicPort: ports.public, verifyPort: ports.verify, verifyH2Port: ports.verifyH2 };
}
