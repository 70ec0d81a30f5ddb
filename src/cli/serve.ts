import { parseArgs } from 'node:util';
import { type Clock, systemClock } from '../core/clock.ts';
import { ConfigError, loadConfig } from '../core/config/load.ts';
import type { Config } from '../core/config/types.ts';
import { createLog, type Logger } from '../core/log.ts';
import type { RunningServer } from '../server.ts';
import { type CliIo, EXIT } from './io.ts';

const USAGE = `usage: sallyport serve [--config DIR]

Runs the server with the configuration in DIR (default ./config) until SIGINT or SIGTERM.
Exit code 0: stopped; 1: could not start; 78: the configuration has problems; 2: wrong usage.
`;

/**
 * Start every listener of a configuration in this process. Installs no signal handlers.
 * @throws Error if an address is taken.
 */
export async function startServer(options: { config: Config; log: Logger; clock?: Clock }): Promise<RunningServer> {
  const { config, log, clock = systemClock } = options;
  // Read by the native core when it is loaded, and only then (GATEWAYS §6): set before the first import of it.
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] = String(config.limits.headerBytes);
  const { createServer } = await import('../server.ts');
  return createServer({ config, log, clock }, { isShared: false });
}

/**
 * `sallyport serve`: run until a signal asks to stop, then drain. A second signal ends at once.
 * @returns the exit code: 0, 1 (could not start), 2 (usage) or 78 (configuration).
 */
export async function runServe(argv: readonly string[], io: CliIo): Promise<number> {
  const directory = configDirectory(argv);
  if (directory === undefined) {
    io.stderr(USAGE);
    return EXIT.usage;
  }
  let config: Config;
  try {
    config = loadConfig({ directory, environment: io.environment });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    io.stderr(`${error.format()}\n${error.message}\n`);
    return EXIT.config;
  }
  const log = createLog(config.log);
  for (const warning of config.warnings) log.warn({ warning }, 'configuration');
  // Signals are heard from here on: a stop during the start is a stop, too.
  const stopped = nextSignal();
  try {
    const server = await startServer({ config, log });
    log.info({ signal: await stopped }, 'stopping');
    await Promise.race([server.close(), nextSignal()]);
    return EXIT.ok;
  } catch (error) {
    log.fatal({ err: error }, 'could not start');
    return EXIT.failed;
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
