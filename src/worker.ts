import { startServer, watchDefects } from './cli/serve.ts';
import { type ConfigSnapshot, loadSnapshot } from './core/config/snapshot.ts';
import type { Config } from './core/config/types.ts';
import { createLog } from './core/log.ts';
import { pinListeners } from './reload.ts';
import { applyScheduling } from './scheduling.ts';
import type { PreparedReload, RunningServer } from './server.ts';
import type { CallMessage, ReplyMessage, WorkerCalls, WorkerPorts } from './worker-protocol.ts';

type Environment = Readonly<Record<string, string | undefined>>;
type Calls = { readonly [M in keyof WorkerCalls]: (...argument: Parameters<WorkerCalls[M]>) => Promise<unknown> };

/** A worker that got SIGTERM itself closes its ports and waits this long for the supervisor, which may have got it, too. */
const TOGETHER_MS = 1_000;

/**
 * Run as a worker of a supervisor (D-22) until it says `drain`, goes away, or this process gets SIGTERM. What a
 * terminal sends to the whole group (SIGINT, SIGHUP) is the supervisor's to answer. Without a supervisor the ports are
 * closed at once: another one cannot start before.
 * @param send the channel to the supervisor.
 * @returns the exit code.
 */
export async function runWorker(environment: Environment, send: (message: ReplyMessage) => void): Promise<number> {
  const worker = new Worker(environment);
  const asked = new Promise<void>((resolve) => {
    process.once('disconnect', () => void worker.leave(true).then(resolve));
    process.once('SIGTERM', () => void worker.leave().then(() => setTimeout(resolve, TOGETHER_MS)));
    worker.onDrain(resolve);
  });
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('message', ({ id, method, argument }: CallMessage) => {
    const call = worker.calls[method] as (argument: unknown) => Promise<unknown>;
    call(argument).then(
      (result) => send({ id, result: result ?? null }),
      (error: unknown) => send({ id, problem: error instanceof Error ? error.message : 'unknown problem' }),
    );
  });
  await asked;
  await worker.close();
  return 0;
}

class Worker {
  readonly calls: Calls;
  readonly #environment: Environment;
  #server: RunningServer | undefined;
  #config: Config | undefined;
  #prepared: { readonly config: Config; readonly reload: PreparedReload } | undefined;
  #drain: () => void = () => undefined;

  constructor(environment: Environment) {
    this.#environment = environment;
    this.calls = {
      start: ({ index, snapshot, ports }) => this.#start(index, snapshot, ports),
      prepare: (snapshot) => this.#prepare(snapshot),
      commit: async () => this.#commit(),
      abort: async () => this.#abort(),
      readiness: async () => this.#server?.readiness() ?? { ready: false, body: { status: 'starting' } },
      snapshot: async () => this.#server?.snapshot() ?? [],
      leave: () => this.leave(),
      drain: async () => this.#drain(),
    };
  }

  onDrain(drain: () => void): void {
    this.#drain = drain;
  }

  /** Accept no more connections. @param isUrgent at once, and not after the time not ready. */
  async leave(isUrgent = false): Promise<void> {
    await this.#server?.stopAccepting(isUrgent);
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  async #start(index: number, snapshot: ConfigSnapshot, ports: WorkerPorts): Promise<void> {
    const config = onPorts(loadSnapshot(snapshot, this.#environment), ports);
    const log = createLog(config.log).child({ worker: index });
    watchDefects(log);
    applyScheduling(config, log);
    this.#server = await startServer({ config, log, isShared: true });
    this.#config = config;
  }

  async #prepare(snapshot: ConfigSnapshot): Promise<void> {
    if (this.#server === undefined || this.#config === undefined) throw new Error('the worker has not started yet');
    await this.#abort();
    const config = pinListeners(this.#config, loadSnapshot(snapshot, this.#environment));
    this.#prepared = { config, reload: await this.#server.prepare(config) };
  }

  #commit(): void {
    if (this.#prepared === undefined) throw new Error('nothing is prepared');
    this.#prepared.reload.commit();
    this.#config = this.#prepared.config;
    this.#prepared = undefined;
  }

  async #abort(): Promise<void> {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    await prepared?.reload.abort();
  }
}

/** The supervisor has chosen the ports, and answers operators itself. */
function onPorts(config: Config, ports: WorkerPorts): Config {
  const { listen } = config;
  return {
    ...config,
    listen: {
      public: { ...listen.public, port: ports.public },
      verify: listen.verify && { ...listen.verify, port: ports.verify ?? 0 },
      verifyH2: listen.verifyH2 && { ...listen.verifyH2, port: ports.verifyH2 ?? 0 },
      admin: undefined,
    },
  };
}
