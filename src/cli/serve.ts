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
import { startSupervisor } from '../supervisor.ts';
import { type CliIo, EXIT } from './io.ts';

const USAGE = `usage: sallyport serve [--config DIR]

Runs the server with the configuration in DIR (default ./config) until SIGINT or SIGTERM.
SIGHUP reads the configuration again; a faulty one changes nothing.
Exit code 0: stopped; 1: could not start; 78: the configuration has problems; 2: wrong usage.
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

/** What runs until a signal comes: this process alone, or workers. */
type Service = {
  /** @throws Error that says why the version was not taken */
  reload(config: Config, snapshot: ConfigSnapshot): Promise<void>;
  close(): Promise<void>;
  /** End at once, whatever is under way. */
  kill(): Promise<void>;
};

/**
 * `sallyport serve`: run until a signal asks to stop, then drain. A second signal ends at once; SIGHUP reloads.
 * @returns the exit code: 0, 1 (could not start), 2 (usage) or 78 (configuration).
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
  // Signals are heard from here on: a stop during the start is a stop, too, and SIGHUP never ends the process.
  const stopped = nextSignal();
  let reloads = Promise.resolve();
  let reload = (): Promise<void> => Promise.resolve();
  const onHangUp = (): void => {
    reloads = reloads.then(() => reload());
  };
  process.on('SIGHUP', onHangUp);
  try {
    const service = await startService(config, snapshot, log);
    reload = () => reloadFrom(source, config, service, log);
    log.info({ signal: await stopped }, 'stopping');
    process.removeListener('SIGHUP', onHangUp);
    process.on('SIGHUP', () => undefined);
    await Promise.race([reloads.then(() => service.close()), nextSignal().then(() => service.kill())]);
    return EXIT.ok;
  } catch (error) {
    log.fatal({ err: error }, 'could not start');
    return EXIT.failed;
  }
}

async function startService(config: Config, snapshot: ConfigSnapshot, log: Logger): Promise<Service> {
  const workers = countWorkers(config);
  if (workers > 1) return startSupervisor({ config, snapshot, workers, log });
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

function nextSignal(): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
}
