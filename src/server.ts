import { App } from './core/app.ts';
import { type AppServices, verifyServicesOf } from './core/app-answers.ts';
import type { Http2App } from './core/app-http2.ts';
import type { Config } from './core/config/types.ts';
import { createGeneration, type Generation } from './generation.ts';
import type { Ground } from './parts.ts';

/** A running server. */
export type RunningServer = {
  readonly publicPort: number;
  readonly verifyPort: number | undefined;
  readonly verifyH2Port: number | undefined;
  readonly adminPort: number | undefined;
  /** What /readyz says (D-43). */
  readiness(): { readonly ready: boolean; readonly body: object };
  /** Counters as plain data, for the sum over all workers. */
  snapshot(): Promise<readonly object[]>;
  /**
   * Make everything of another version of the configuration, beside the one that serves. Listeners, their addresses
   * and connections stay as they are. Where this version was ready, the other must become so, too.
   * @param config with the listeners of this one, see pinListeners.
   * @throws Error if the version cannot be made or does not get ready; nothing has changed then.
   */
  prepare(config: Config): Promise<PreparedReload>;
  /**
   * Accept no more connections, after the time not ready (D-22); those that are open are served as before. Who leaves
   * several processes does this in all of them before it closes one: a client that is sent away by the first must not
   * come to one that closes its port next, together with the connections that wait there.
   * @param isUrgent at once.
   */
  stopAccepting(isUrgent?: boolean): Promise<void>;
  /** Drain and stop: stopAccepting, then the rest within the drain deadline (D-22). */
  close(): Promise<void>;
};

/** A version of the configuration that is ready to serve. One of the two is called, once. */
export type PreparedReload = {
  /** Serve it from the next request on; requests under way end with the version that they began with. */
  commit(): void;
  /** Forget it. */
  abort(): Promise<void>;
};

/** How listeners are bound. */
export type BindOptions = {
  /** Other processes of ours accept on the same ports (D-22). */
  readonly isShared: boolean;
};

type Apps = {
  readonly public: App;
  readonly verify: App | undefined;
  readonly verifyH2: Http2App | undefined;
  readonly admin: App | undefined;
};

const DRAIN_POLL_MS = 20;
/** Connections without a request for this long while draining are closed; others are told with their next answer. */
const DRAIN_QUIET_MS = 250;
/** How long a new version may take to reach its store and its providers. */
const RELOAD_READY_MS = 5_000;
/** Versions that are kept for requests under way, the oldest of which may be streams without an end. */
const OLD_GENERATIONS_MAX = 4;

/** Wire the whole program and bind its listeners (see cli/serve.ts). */
export async function createServer(ground: Ground, { isShared }: BindOptions): Promise<RunningServer> {
  const { log } = ground;
  const generations = new Generations(createGeneration(ground));
  const apps = await createApps(generations.current);
  const stop = async (): Promise<void> => {
    for (const app of listed(apps)) {
      app.stopListening();
      app.close();
    }
    await generations.close();
  };
  let accepting: Promise<void> | undefined;
  const stopAccepting = async (isUrgent = false): Promise<void> => {
    accepting ??= becomeUnready(generations);
    if (!isUrgent) await accepting;
    for (const app of listed(apps)) app.stopListening();
  };
  try {
    const ports = await bind(apps, ground.config, isShared);
    log.info({ ...ports, files: ground.config.files }, 'listening');
    return {
      ...ports,
      readiness: () => generations.current.readiness.read(),
      snapshot: () => generations.current.parts.app.metrics.snapshot(),
      prepare: (config) => prepare({ ...ground, config }, apps, generations),
      stopAccepting,
      async close() {
        if (accepting === undefined) await stopAccepting();
        await drain(apps, generations);
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The version that serves, and older ones that still have requests under way. */
class Generations {
  current: Generation;
  readonly #old = new Set<Generation>();

  constructor(first: Generation) {
    this.current = first;
  }

  /** Make `next` the one that serves. Older ones end with their last request. */
  replace(next: Generation): void {
    this.#old.add(this.current);
    this.current = next;
    next.parts.activate();
    for (const old of this.#old) void this.#endWhenIdle(old);
  }

  /** A version that never served, or serves no more. */
  async end(generation: Generation): Promise<void> {
    this.#old.delete(generation);
    await generation.close([this.current, ...this.#old]);
  }

  async close(): Promise<void> {
    for (const old of [...this.#old]) await this.end(old);
    await this.current.close([]);
  }

  async #endWhenIdle(old: Generation): Promise<void> {
    const isKept = (): boolean => this.#old.has(old) && this.#old.size <= OLD_GENERATIONS_MAX;
    while (old.parts.app.flight.count > 0 && isKept()) await sleep(DRAIN_POLL_MS);
    if (this.#old.has(old)) await this.end(old);
  }
}

async function prepare(ground: Ground, apps: Apps, generations: Generations): Promise<PreparedReload> {
  const { current } = generations;
  const next = createGeneration(ground, current);
  const deadline = performance.now() + RELOAD_READY_MS;
  const mustBeReady = current.readiness.read().ready;
  while (mustBeReady && !next.readiness.read().ready) {
    if (performance.now() > deadline) {
      const state = JSON.stringify(next.readiness.read().body);
      await generations.end(next);
      throw new Error(`the new version does not get ready: ${state}`);
    }
    await sleep(DRAIN_POLL_MS);
  }
  const { config, log } = ground;
  return {
    commit() {
      log.level = config.log.level;
      const { app: services } = next.parts;
      apps.public.replace({ ...services, keepsFields: true }, next.public);
      const { verify, verifyH2 } = config.listen;
      if (verify !== undefined) apps.verify?.replace(verifyServicesOf(services, verify), next.verify);
      if (verifyH2 !== undefined) {
        apps.verifyH2?.replace(verifyServicesOf(services, verifyH2), next.verifyH2, verifyH2.tls);
      }
      apps.admin?.replace(services, next.admin);
      generations.replace(next);
    },
    abort: () => generations.end(next),
  };
}

async function createApps(first: Generation): Promise<Apps> {
  const { app: services } = first.parts;
  const { verify, verifyH2, admin } = services.config.listen;
  return {
    public: new App({ ...services, keepsFields: true }, first.public),
    verify: verify && new App(verifyServicesOf(services, verify), first.verify),
    verifyH2: verifyH2 && (await createHttp2App(services, verifyH2, first)),
    admin: admin && new App(services, first.admin, true),
  };
}

/** Loaded only here: node:http2 is a twentieth of a start. */
async function createHttp2App(
  services: AppServices,
  listen: NonNullable<Config['listen']['verifyH2']>,
  first: Generation,
): Promise<Http2App> {
  const { Http2App } = await import('./core/app-http2.ts');
  return new Http2App(verifyServicesOf(services, listen), first.verifyH2, listen.tls);
}

function listed(apps: Apps): readonly (App | Http2App)[] {
  return [apps.public, apps.verify, apps.verifyH2, apps.admin].filter((app) => app !== undefined);
}

async function bind(apps: Apps, { listen }: Config, isShared: boolean) {
  const on = (app: App | Http2App | undefined, at: { address: string; port: number } | undefined) =>
    at === undefined ? undefined : app?.listen(at.address, at.port, isShared);
  return {
    publicPort: await apps.public.listen(listen.public.address, listen.public.port, isShared),
    verifyPort: await on(apps.verify, listen.verify),
    verifyH2Port: await on(apps.verifyH2, listen.verifyH2),
    adminPort: await on(apps.admin, listen.admin),
  };
}

async function becomeUnready({ current }: Generations): Promise<void> {
  current.readiness.drain();
  await sleep(current.parts.app.config.shutdown.unreadyMs);
}

async function drain(apps: Apps, { current }: Generations): Promise<void> {
  const { config, metrics } = current.parts.app;
  for (const app of listed(apps)) app.leave();
  const deadline = performance.now() + config.shutdown.drainMs;
  const { hot } = metrics;
  let [quietSince, requests] = [performance.now(), hot.requests];
  while (hot.connections + hot.serviceWebSockets > 0 && performance.now() < deadline) {
    if (hot.inFlight > 0 || hot.webSockets > 0 || hot.requests !== requests || apps.verifyH2?.isBusy) {
      [quietSince, requests] = [performance.now(), hot.requests];
    }
    if (performance.now() - quietSince >= DRAIN_QUIET_MS) return;
    await sleep(DRAIN_POLL_MS);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
