import { parseArgs } from 'node:util';

/** What the command line of `sallyport demo` asked for. */
export type DemoOptions = {
  /** First of the consecutive ports it uses; users open this one. */
  readonly port: number;
  /** `redis://` or `rediss://` address of the session store; undefined = memory. */
  readonly redisUrl: string | undefined;
  /** False: Sallyport itself is the front door even where a Traefik could be had. */
  readonly traefik: boolean;
  /** One line of JSON when ready instead of text for people. */
  readonly json: boolean;
  /** Level of Sallyport's own log, which goes to standard error. */
  readonly logLevel: DemoLogLevel;
};

/** Log levels that the demo accepts. */
export type DemoLogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Parsed command line: run with options, show the help, or refuse with a reason. */
export type DemoCommand =
  | { readonly kind: 'run'; readonly options: DemoOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'refuse'; readonly reason: string };

/** Consecutive ports that one demo uses. */
export const DEMO_PORTS_COUNT = 9;

const PORT_DEFAULT = 9000;
const PORT_MAX = 65_535 - DEMO_PORTS_COUNT + 1;
const LOG_LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error', 'silent'] satisfies DemoLogLevel[];

/** The text of `sallyport demo --help`. */
export const DEMO_HELP = `Usage: sallyport demo [options]

Starts everything at once on loopback: an OpenID Provider, an application, two APIs, a dashboard, Sallyport
and, where its program can be found, Traefik in front. Nothing is kept after it ends.

Options:
  --port N           base port (default ${PORT_DEFAULT}); N to N+${DEMO_PORTS_COUNT - 1} are used, users open N
  --redis URL        keep sessions in Redis or Valkey (redis:// or rediss://; default: REDIS_URL, else memory)
  --no-traefik       Sallyport itself answers on the base port
  --json             print one line of JSON when ready
  --log-level LEVEL  debug, info, warn (default), error or silent; the log goes to standard error
  --help             show this text

Traefik is looked for in SALLYPORT_TRAEFIK, in .parts/ (npm scripts fetch it there), then on the PATH.
`;

/**
 * Reads the arguments after `sallyport demo`. Never throws: whatever is unknown, repeated in contradiction or out of
 * range comes back as a reason that names the option.
 */
export function parseDemoArguments(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): DemoCommand {
  try {
    const { values } = parseArgs({
      args: [...argv],
      strict: true,
      allowPositionals: false,
      options: {
        port: { type: 'string' },
        redis: { type: 'string' },
        'no-traefik': { type: 'boolean' },
        json: { type: 'boolean' },
        'log-level': { type: 'string' },
        help: { type: 'boolean' },
      },
    });
    if (values.help === true) {
      return { kind: 'help' };
    }
    const options = {
      port: parsePort(values.port),
      redisUrl: parseRedisUrl(values.redis, environment['REDIS_URL']),
      traefik: values['no-traefik'] !== true,
      json: values.json === true,
      logLevel: parseLogLevel(values['log-level']),
    };
    return { kind: 'run', options };
  } catch (error) {
    return { kind: 'refuse', reason: (error as Error).message };
  }
}

function parsePort(text: string | undefined): number {
  if (text === undefined) {
    return PORT_DEFAULT;
  }
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > PORT_MAX) {
    throw new RangeError(`--port must be a number from 1 to ${PORT_MAX}, got "${text}"`);
  }
  return port;
}

function parseRedisUrl(given: string | undefined, fallback: string | undefined): string | undefined {
  const text = given ?? fallback;
  if (text === undefined || (text === '' && given === undefined)) {
    return undefined;
  }
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '') {
    // The address may hold a password, so it is not repeated.
    throw new RangeError(`${given === undefined ? 'REDIS_URL' : '--redis'} must be a redis:// or rediss:// address`);
  }
  return text;
}

function parseLogLevel(text = 'warn'): DemoLogLevel {
  if (!LOG_LEVELS.includes(text)) {
    throw new RangeError(`--log-level must be one of ${LOG_LEVELS.join(', ')}, got "${text}"`);
  }
  return text as DemoLogLevel;
}
