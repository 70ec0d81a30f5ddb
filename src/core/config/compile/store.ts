import { durationMs, sizeBytes } from '../schema/units.ts';
import { isLoopbackHost } from '../schema/web.ts';
import type { L1Settings, RedisSettings, StoreSettings } from '../types-store.ts';
import { type CompileContext, compileTls } from './context.ts';

type Store = NonNullable<CompileContext['settings']['sections']['store']>;
const URL_PATH = ['store', 'redis', 'url'];
const EXPECTED = 'redis://[user:password@]host[:port][/db] or rediss://…';

/** Compile where sessions live. An empty Redis URL means the memory store, with a warning (D-26). */
export function compileStore(context: CompileContext): StoreSettings | undefined {
  const { settings } = context;
  const { store, workers } = settings.sections;
  if (store === undefined) return undefined;
  const common = { retryAfterMs: durationMs(store.retry_after), l1: compileL1(store.l1) };
  const memory: StoreSettings = { kind: 'memory', ...common };
  const empty = store.kind === 'redis' && store.redis.url === '';
  if (empty) settings.warn(URL_PATH, 'empty: sessions live in memory and end with the process');
  if (store.kind === 'memory' || empty) {
    if (workers !== undefined && workers !== 1) {
      const problem = `the memory store serves one process, but workers is ${workers}`;
      settings.fail(['store', 'kind'], problem, 'redis', 'use a Redis store or set workers: 1');
    }
    return memory;
  }
  if (store.redis.url === undefined) {
    settings.fail(URL_PATH, 'is missing', EXPECTED, 'add the line');
    return memory;
  }
  const redis = compileRedis(context, store, store.redis.url);
  return redis === undefined ? memory : { kind: 'redis', ...common, redis };
}

function compileL1(l1: Store['l1']): L1Settings | undefined {
  if (l1.mode === 'none') return undefined;
  return {
    maxEntries: l1.max_entries,
    maxBytes: sizeBytes(l1.max_bytes),
    heartbeatMs: durationMs(l1.heartbeat),
  };
}

function compileRedis(context: CompileContext, store: Store, text: string): RedisSettings | undefined {
  const { settings } = context;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const parts = url === undefined ? undefined : readParts(url);
  if (url === undefined || parts === undefined) {
    settings.fail(
      URL_PATH,
      '{value} is not a usable Redis URL',
      EXPECTED,
      'correct the URL; escape special characters of the password as %XX',
    );
    return undefined;
  }
  const secure = url.protocol === 'rediss:';
  const { tls, username, password } = store.redis;
  if (!secure && Object.keys(tls ?? {}).length > 0)
    settings.fail(['store', 'redis', 'tls'], 'tls with a redis:// URL', 'rediss://', 'change the URL or remove tls');
  if (!secure && !isLoopbackHost(url.hostname))
    settings.warn(URL_PATH, 'redis:// to another machine is not encrypted; use rediss://');
  for (const [key, own, inUrl] of [
    ['username', username, parts.username],
    ['password', password, parts.password],
  ] as const) {
    if (own !== undefined && inUrl !== undefined)
      settings.fail(['store', 'redis', key], `${key} is in the URL too`, 'one of the two', 'remove the line');
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    db: parts.db,
    username: username ?? parts.username,
    password: password ?? parts.password,
    tls: secure ? compileTls(context, settings, ['store', 'redis', 'tls'], tls ?? {}) : undefined,
    keyPrefix: store.redis.key_prefix,
    connectTimeoutMs: durationMs(store.redis.connect_timeout),
    commandTimeoutMs: durationMs(store.redis.command_timeout),
  };
}

function readParts(url: URL): { username: string | undefined; password: string | undefined; db: number } | undefined {
  const [, db] = /^\/?(\d{1,5})?$/.exec(url.pathname) ?? [undefined, 'none'];
  const known = url.protocol === 'redis:' || url.protocol === 'rediss:';
  if (!known || url.hostname === '' || db === 'none' || url.search !== '' || url.hash !== '') return undefined;
  const username = decode(url.username);
  const password = decode(url.password);
  if (username === undefined || password === undefined) return undefined;
  return { username: username || undefined, password: password || undefined, db: Number(db ?? 0) };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // A lone % in the password: the caller says how to write it.
    return undefined;
  }
}
