import { durationMs } from '../schema/units.ts';
import { isLoopbackHost } from '../schema/web.ts';
import type { RedisNodeSettings, RedisSettings } from '../types-store.ts';
import { type CompileContext, compileTls } from './context.ts';

type Redis = NonNullable<CompileContext['settings']['sections']['store']>['redis'];
type RedisUrl = {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
};
type Path = readonly (string | number)[];

const BASE = ['store', 'redis'];
const EXPECTED = 'redis://[user:password@]host[:port][/db] or rediss://…';
const REDIS_PORT = 6_379;
const SENTINEL_PORT = 26_379;

/** Compile how the store's servers are found and talked to; undefined = problems were reported. */
export function compileRedis(context: CompileContext, redis: Redis): RedisSettings | undefined {
  refuseForeignKeys(context, redis);
  if (redis.mode === 'single') return compileSingle(context, redis);
  return redis.mode === 'sentinel' ? compileSentinel(context, redis) : compileCluster(context, redis);
}

/** Keys of another mode would be silently without effect. */
function refuseForeignKeys({ settings }: CompileContext, redis: Redis): void {
  const owners = { url: 'single', sentinels: 'sentinel', seed_urls: 'cluster' } as const;
  for (const [key, mode] of Object.entries(owners) as [keyof typeof owners, string][]) {
    if (redis[key] === undefined || redis[key] === '' || redis.mode === mode) continue;
    settings.fail([...BASE, key], `belongs to mode: ${mode}, but mode is ${redis.mode}`, 'one mode', 'remove the line');
  }
}

function compileSingle(context: CompileContext, redis: Redis): RedisSettings | undefined {
  const path = [...BASE, 'url'];
  if (redis.url === undefined) return missing(context, path, EXPECTED);
  const url = readUrl(context, path, redis.url, REDIS_PORT);
  return url && { ...compileNode(context, redis, url), ...common(redis), topology: undefined };
}

function compileSentinel(context: CompileContext, redis: Redis): RedisSettings | undefined {
  const { sentinels } = redis;
  if (sentinels === undefined) return missing(context, [...BASE, 'sentinels'], '{master: NAME, urls: [redis://…]}');
  const path = [...BASE, 'sentinels', 'urls'];
  const urls = readUrls(context, path, sentinels.urls, SENTINEL_PORT);
  const first = urls?.[0];
  if (urls === undefined || first === undefined) return undefined;
  const tls = compileTls(context, context.settings, [...BASE, 'tls'], redis.tls ?? {});
  const nodes = urls.map(
    ({ secure, db: _, ...url }): RedisNodeSettings => ({
      ...url,
      db: 0,
      tls: secure ? tls : undefined,
      ...timing(redis),
    }),
  );
  // Sentinels and servers may differ: the servers speak TLS where it is configured or where all sentinels do.
  const secure = redis.tls !== undefined || urls.every((url) => url.secure);
  if (!secure) warnPlain(context, path, urls);
  const { username, password } = redis;
  return {
    ...{ host: first.host, port: first.port, db: 0, username, password, tls: secure ? tls : undefined },
    ...timing(redis),
    ...common(redis),
    topology: { mode: 'sentinel', master: sentinels.master, sentinels: nodes },
  };
}

function compileCluster(context: CompileContext, redis: Redis): RedisSettings | undefined {
  const path = [...BASE, 'seed_urls'];
  if (redis.seed_urls === undefined) return missing(context, path, 'a list of redis:// or rediss:// URLs');
  const urls = readUrls(context, path, redis.seed_urls, REDIS_PORT);
  const first = urls?.[0];
  if (urls === undefined || first === undefined) return undefined;
  const differs = (url: RedisUrl): boolean =>
    url.secure !== first.secure || url.username !== first.username || url.password !== first.password;
  if (urls.some(differs)) {
    const fix = 'write them alike, or use username and password';
    context.settings.fail(path, 'the URLs differ in scheme, user or password', 'the same for all', fix);
  }
  const seeds = urls.map(({ host, port }) => ({ host, port }));
  return { ...compileNode(context, redis, first), ...common(redis), topology: { mode: 'cluster', seeds } };
}

function missing({ settings }: CompileContext, path: Path, expected: string): undefined {
  settings.fail(path, 'is missing', expected, 'add the line');
  return undefined;
}

function compileNode(context: CompileContext, redis: Redis, url: RedisUrl): RedisNodeSettings {
  const { settings } = context;
  const { tls, username, password } = redis;
  const path = [...BASE, redis.mode === 'single' ? 'url' : 'seed_urls'];
  if (!url.secure && Object.keys(tls ?? {}).length > 0)
    settings.fail([...BASE, 'tls'], 'tls with a redis:// URL', 'rediss://', 'change the URL or remove tls');
  if (!url.secure) warnPlain(context, path, [url]);
  for (const [key, own, inUrl] of [
    ['username', username, url.username],
    ['password', password, url.password],
  ] as const) {
    if (own !== undefined && inUrl !== undefined)
      settings.fail([...BASE, key], `${key} is in the URL too`, 'one of the two', 'remove the line');
  }
  return {
    host: url.host,
    port: url.port,
    db: url.db,
    username: username ?? url.username,
    password: password ?? url.password,
    tls: url.secure ? compileTls(context, settings, [...BASE, 'tls'], tls ?? {}) : undefined,
    ...timing(redis),
  };
}

function warnPlain({ settings }: CompileContext, path: Path, urls: readonly RedisUrl[]): void {
  if (urls.every(({ host }) => isLoopbackHost(host))) return;
  settings.warn(path, 'redis:// to another machine is not encrypted; use rediss://');
}

function timing(redis: Redis): Pick<RedisNodeSettings, 'keyPrefix' | 'connectTimeoutMs' | 'commandTimeoutMs'> {
  return {
    keyPrefix: redis.key_prefix,
    connectTimeoutMs: durationMs(redis.connect_timeout),
    commandTimeoutMs: durationMs(redis.command_timeout),
  };
}

function common({ wait_replicas: { count, timeout } }: Redis): Pick<RedisSettings, 'waitReplicas'> {
  return { waitReplicas: count === 0 ? undefined : { count, timeoutMs: durationMs(timeout) } };
}

/** URLs of sentinels or seeds: each names a server, none a database. */
function readUrls(
  context: CompileContext,
  path: Path,
  texts: readonly string[],
  defaultPort: number,
): readonly RedisUrl[] | undefined {
  const urls = texts.map((text, index) => readUrl(context, [...path, index], text, defaultPort));
  for (const [index, url] of urls.entries()) {
    if (url === undefined || url.db === 0) continue;
    context.settings.fail([...path, index], 'the URL names a database', 'a URL without a path', 'remove the path');
  }
  return urls.every((url) => url !== undefined) ? urls : undefined;
}

function readUrl(context: CompileContext, path: Path, text: string, defaultPort: number): RedisUrl | undefined {
  const url = URL.canParse(text) ? parse(new URL(text), defaultPort) : undefined;
  if (url !== undefined) return url;
  const fix = 'correct the URL; escape special characters of the password as %XX';
  context.settings.fail(path, '{value} is not a usable Redis URL', EXPECTED, fix);
  return undefined;
}

function parse(url: URL, defaultPort: number): RedisUrl | undefined {
  const [, db] = /^\/?(\d{1,5})?$/.exec(url.pathname) ?? [undefined, 'none'];
  const known = url.protocol === 'redis:' || url.protocol === 'rediss:';
  if (!known || url.hostname === '' || db === 'none' || url.search !== '' || url.hash !== '') return undefined;
  const username = decode(url.username);
  const password = decode(url.password);
  if (username === undefined || password === undefined) return undefined;
  return {
    secure: url.protocol === 'rediss:',
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? defaultPort : Number(url.port),
    db: Number(db ?? 0),
    username: username || undefined,
    password: password || undefined,
  };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // A lone % in the password: the caller says how to write it.
    return undefined;
  }
}
