import { parseArgs } from 'node:util';
import { ConfigError, loadConfig } from '../core/config/load.ts';
import type { Config } from '../core/config/types.ts';
import { type CliIo, EXIT } from './io.ts';

const USAGE = `usage: sallyport check [--config DIR]

Checks the configuration in DIR (default ./config) without starting anything.
Exit code 0: usable (warnings may be printed); 78: it has problems, one line each on standard error; 2: wrong usage.
`;

/**
 * `sallyport check`: load the configuration, print warnings and the SHA-256 of each file, or every problem.
 * @returns the exit code: 0, 78 (problems) or 2 (usage).
 */
export async function runCheck(argv: readonly string[], io: CliIo): Promise<number> {
  const options = parseOptions(argv);
  if (options === undefined) {
    io.stderr(USAGE);
    return EXIT.usage;
  }
  if (options.help) {
    io.stdout(USAGE);
    return EXIT.ok;
  }
  try {
    io.stdout(describe(loadConfig({ directory: options.config, environment: io.environment })));
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    io.stderr(`${error.format()}\n${error.message}\n`);
    return EXIT.config;
  }
}

function describe(config: Config): string {
  const warnings = config.warnings.map((warning) => `warning: ${warning}\n`);
  const files = config.files.map(({ name, sha256 }) => `${name} sha256:${sha256}\n`);
  return `${warnings.join('')}${files.join('')}ok\n`;
}

function parseOptions(argv: readonly string[]): { config: string; help: boolean } | undefined {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { config: { type: 'string', default: './config' }, help: { type: 'boolean', default: false } },
      allowPositionals: false,
    });
    return values;
  } catch {
    // parseArgs throws on anything it does not know; the usage text says what there is.
    return undefined;
  }
}
