import { parseArgs } from 'node:util';
import { type Clock, systemClock } from '../core/clock.ts';
import { ConfigError } from '../core/config/load.ts';
import { type ConfigSnapshot, loadAndRecord } from '../core/config/snapshot.ts';
import type { Config } from '../core/config/types.ts';
import { createLog, type Logger } from '../core/log.ts';
import { countWorkers } from '../core/workers.ts';
import { findRestartKeys, pinListeners } from '../reload.ts';
import { applyScheduling } from '../scheduling.ts';
import type { RunningServer } from '../server.ts';
import { type CliIo, EXIT } from './io.ts';

const USAGE = `usage: sallyport serve [--config DIR]

Runs the server with the configuration in DIR (default ./config) until SIGINT or SIGTERM.
SIGHUP reads the configuration again; a faulty one changes nothing.
Exit code 0: stopped; 1: could not start, or a defect was met; 78: the configuration has problems; 2: wrong usage.
`;

/**
 * Start every listener of a configuration in this process. Installs no signal handlers.
 * @param options.isShared other processes of ours accept on the same ports (D-22).
 * @throws Error if an address is taken.
 */
export async function startServer(options: {
  config: Config;
  log: Logger;
  clock?: Clock;
  isShared?: boolean;
}): Promise<RunningServer> {
  const { config, log, clock = systemClock, isShared = false } = options;
  // Read by the native core when it is loaded, and only then (GATEWAYS §6): set before the first import of it.
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] = String(config.limits.headerBytes);
  const { createServer } = await import('../server.ts');
  return createServer({ config, log, clock }, { isShared });
}

/** Whatever ends this process unasked is said in the log, too, and not on standard error alone. */
export function watchDefects(log: Logger): void {
  process.on('uncaughtExceptionMonitor', (error, origin) =>
    log.fatal({ err: error, origin }, 'a defect ends the process'),
  );
}

/** The launcher passes on what its whole group got anyway: so soon after the first a signal is the same one again. */
const SAME_SIGNAL_MS = 500;

/** What runs until a signal comes: this process alone, or workers. */
type Service = {
  /** @throws Error that says why the version was not taken */
  reload(config: Config, snapshot: ConfigSnapshot): Promise<void>;
  close(): Promise<void>;
  /** End at once, whatever is under way. */
  kill(): Promise<void>;
};

/**
 * `sallyport serve`: run until a signal asks to stop, then drain. A second signal later on ends at once; SIGHUP reloads.
 * @returns the exit code: 0, 1 (could not start, or a defect), 2 (usage) or 78 (configuration).
 */
export async function runServe(argv: readonly string[], io: CliIo): Promise<number> {
  const directory = configDirectory(argv);
  if (directory === undefined) {
    io.stderr(USAGE);
    return EXIT.usage;
  }
  const source = { directory, environment: io.environment };
  let first: ReturnType<typeof loadAndRecord>;
  try {
    first = loadAndRecord(source);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    io.stderr(`${error.format()}\n${error.message}\n`);
    return EXIT.config;
  }
  const { config, snapshot } = first;
  const log = createLog(config.log);
  for (const warning of config.warnings) log.warn({ warning }, 'configuration');
  watchDefects(log);
  // Signals are heard from here on: a stop during the start is a stop, too, and SIGHUP never ends the process.
  const stop = hearStops();
  let reloads = Promise.resolve();
  let reload = (): Promise<void> => Promise.resolve();
  const onHangUp = (): void => {
    reloads = reloads.then(() => reload());
  };
  process.on('SIGHUP', onHangUp);
  let service: Service | undefined;
  try {
    // Workers that are still starting end when this process does.
    service = await Promise.race([startService(config, snapshot, log), stop.second.then(() => undefined)]);
  } catch (error) {
    // A signal to the whole group ends workers that cannot hear it yet.
    const signal = stop.signal();
    if (signal === undefined) log.fatal({ err: error }, 'could not start');
    else log.info({ signal, err: error }, 'stopped during the start');
    return signal === undefined ? EXIT.failed : EXIT.ok;
  }
  if (service === undefined) return EXIT.ok;
  reload = () => reloadFrom(source, config, service, log);
  log.info({ signal: await stop.first }, 'stopping');
  // From now on it is heard and means nothing.
  reload = () => Promise.resolve();
  return endService(service, reloads, stop.second, log);
}

async function endService(
  service: Service,
  reloads: Promise<void>,
  second: Promise<string>,
  log: Logger,
): Promise<number> {
  try {
    await Promise.race([reloads.then(() => service.close()), second.then(() => service.kill())]);
    return EXIT.ok;
  } catch (error) {
    log.fatal({ err: error }, 'could not stop in order');
    await service.kill();
    return EXIT.failed;
  }
}

async function startService(config: Config, snapshot: ConfigSnapshot, log: Logger): Promise<Service> {
  const workers = countWorkers(config);
  if (workers > 1) {
    const { startSupervisor } = await import('../supervisor.ts');
    return startSupervisor({ config, snapshot, workers, log });
  }
  applyScheduling(config, log);
  const server = await startServer({ config, log });
  let running = config;
  return {
    async reload(next) {
      const pinned = pinListeners(running, next);
      (await server.prepare(pinned)).commit();
      running = pinned;
    },
    close: () => server.close(),
    // The process ends with this command.
    kill: async () => undefined,
  };
}

/** Take the files as they are now; whatever is wrong with them is logged, and the running version goes on (D-43). */
async function reloadFrom(
  source: { readonly directory: string; readonly environment: CliIo['environment'] },
  bound: Config,
  service: Service,
  log: Logger,
): Promise<void> {
  try {
    const { config, snapshot } = loadAndRecord(source);
    for (const warning of config.warnings) log.warn({ warning }, 'configuration');
    const restart = findRestartKeys(bound, config);
    if (restart.length > 0) log.warn({ keys: restart }, 'reload: these keys wait for a restart');
    await service.reload(config, snapshot);
    log.level = config.log.level;
    log.info({ version: snapshot.version, files: config.files }, 'reloaded');
  } catch (error) {
    const problems = error instanceof ConfigError ? error.format().split('\n') : undefined;
    const detail = problems === undefined ? { err: error } : { problems };
    log.error(detail, 'reload refused: the running configuration stays');
  }
}

function configDirectory(argv: readonly string[]): string | undefined {
  try {
    const { values } = parseArgs({ args: [...argv], options: { config: { type: 'string', default: './config' } } });
    return values.config;
  } catch {
    // parseArgs throws on anything it does not know; the usage text says what there is.
    return undefined;
  }
}

/** Who asks to stop. The listeners stay: between two of them a signal would end the process as the system does. */
function hearStops(): { first: Promise<string>; second: Promise<string>; signal(): string | undefined } {
  const [first, second] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  let signal: string | undefined;
  let signalledAt = 0;
  const onSignal = (name: string): void => {
    if (signal === undefined) {
      signal = name;
      signalledAt = performance.now();
      first.resolve(name);
    } else if (performance.now() - signalledAt >= SAME_SIGNAL_MS) second.resolve(name);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return { first: first.promise, second: second.promise, signal: () => signal };
}
