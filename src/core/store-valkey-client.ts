import { Redis, type RedisOptions, ReplyError } from 'iovalkey';
import type { RedisSettings, TlsSettings } from './config/types.ts';
import { SallyportError } from './errors.ts';
import type { StoreStatus } from './store.ts';
import { SCRIPTS, type ScriptName } from './store-valkey-scripts.ts';

/** What a script of SCRIPTS can be given. */
export type ScriptArgument = string | number | Buffer;

/** What a script of SCRIPTS can answer. */
export type ScriptReply = string | number | (string | number)[];

const RECONNECT_FIRST_MS = 50;
const RECONNECT_MAX_MS = 1_000;
/** How long a half-closed connection may linger before it is cut. */
const DISCONNECT_MS = 50;
const KEEP_ALIVE_MS = 30_000;

/**
 * One connection to one Redis or Valkey server, kept up in the background. Nothing is queued while it is down, nothing
 * is ever sent twice, and each command has a deadline: whatever goes wrong is SallyportError `store_unavailable`,
 * whose detail names the server and a code, never a command's arguments (they hold the password and sealed tokens).
 */
export class ValkeyConnection {
  readonly #settings: RedisSettings;
  readonly #onError: (error: SallyportError) => void;
  readonly #redis: Redis;
  #usable = false;
  #reachedOnce = false;
  #closed = false;
  /** Answers received, late ones included: shows whether a silent connection is dead or just slow. */
  #replies = 0;
  #attempts = 0;
  #readonlyAt = Number.NEGATIVE_INFINITY;
  #fault = 'connecting';
  #reported: string | undefined;

  constructor(settings: RedisSettings, onError: (error: SallyportError) => void) {
    this.#settings = settings;
    this.#onError = onError;
    this.#redis = new Redis({
      ...connectionOptions(settings),
      retryStrategy: () => this.#nextAttemptMs(),
      reconnectOnError: (error) => this.#isDemoted(error),
    });
    for (const [name, script] of Object.entries(SCRIPTS)) {
      this.#redis.defineCommand(name, { numberOfKeys: script.keys, lua: script.lua });
    }
    this.#redis.on('ready', () => void this.#shakeHands());
    this.#redis.on('close', () => {
      if (this.#usable) this.#fault = 'connection_closed';
      this.#usable = false;
    });
    this.#redis.on('error', (error: unknown) => this.#report(codeOf(error)));
  }

  /** Send one command. Throws `store_unavailable` at once while there is no usable connection. */
  async run<T>(send: (redis: Redis) => Promise<T>): Promise<T> {
    if (!this.#usable) throw this.#unavailable(this.#fault);
    return this.#within(send);
  }

  /** Run one of our scripts (EVALSHA, with EVAL where the server does not know it yet). */
  async script(name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]): Promise<ScriptReply> {
    return this.run((redis) => {
      const commands = redis as unknown as Record<string, (...args: ScriptArgument[]) => Promise<ScriptReply>>;
      return commands[name]!(...keys, ...args);
    });
  }

  /** Whether a command can be sent now, and whether one ever succeeded. */
  status(): StoreStatus {
    return { reachable: this.#usable, reachedOnce: this.#reachedOnce };
  }

  /** Cut the connection; commands in flight fail. Leaves no socket and no timer. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#usable = false;
    this.#fault = 'closed';
    const stream = this.#redis.stream;
    this.#redis.disconnect();
    if (stream === undefined || stream.closed) return;
    await new Promise<void>((resolve) => {
      stream.once('close', () => resolve());
      stream.destroy();
    });
  }

  /**
   * iovalkey calls a connection ready before AUTH and SELECT are answered, and goes on in database 0 if SELECT is
   * refused. So the connection counts as usable only after an answer that came behind both.
   */
  async #shakeHands(): Promise<void> {
    const { stream } = this.#redis;
    const { db } = this.#settings;
    try {
      await this.#within(async (redis) => (db === 0 ? redis.ping() : redis.select(db)));
    } catch (error) {
      if (error instanceof SallyportError) this.#report(this.#fault);
      this.#drop(stream);
      return;
    }
    if (this.#closed || this.#redis.stream !== stream || stream.destroyed) return;
    this.#usable = true;
    this.#reachedOnce = true;
    this.#attempts = 0;
    this.#reported = undefined;
  }

  #within<T>(send: (redis: Redis) => Promise<T>): Promise<T> {
    const { stream } = this.#redis;
    const repliesBefore = this.#replies;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let isSettled = false;
    const expire = () => {
      if (isSettled) return;
      isSettled = true;
      reject(this.#unavailable('timeout'));
      // Not one answer during a whole deadline: the peer is gone without a word, and TCP would take minutes to say so.
      if (this.#replies === repliesBefore) this.#drop(stream);
    };
    // After a stall of our own event loop the timer fires before an answer that already waits in the socket is read.
    const timer = setTimeout(() => setImmediate(expire), this.#settings.commandTimeoutMs);
    const settle = (finish: () => void) => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      finish();
    };
    send(this.#redis).then(
      (value) => {
        this.#replies += 1;
        settle(() => resolve(value));
      },
      (error: unknown) => {
        if (error instanceof ReplyError) this.#replies += 1;
        settle(() => reject(this.#unavailable(codeOf(error))));
      },
    );
    return promise;
  }

  #drop(stream: Redis['stream'] | undefined): void {
    if (stream === undefined || this.#redis.stream !== stream) return;
    this.#usable = false;
    stream.destroy();
  }

  #nextAttemptMs(): number {
    const delayMs = Math.min(RECONNECT_FIRST_MS * 2 ** this.#attempts, RECONNECT_MAX_MS);
    this.#attempts = Math.min(this.#attempts + 1, 10);
    return delayMs;
  }

  /**
   * True for the answer of a server that is no longer the master: a new connection may reach the new one. At most once
   * a second, because reconnecting fails the reads that are in flight. The command itself is not sent again.
   */
  #isDemoted(error: Error): boolean {
    if (codeOf(error) !== 'READONLY') return false;
    const now = performance.now();
    if (now - this.#readonlyAt < RECONNECT_MAX_MS) return false;
    this.#readonlyAt = now;
    this.#report('READONLY');
    return true;
  }

  #report(fault: string): void {
    this.#fault = fault;
    if (this.#closed || this.#reported === fault) return;
    this.#reported = fault;
    this.#onError(this.#unavailable(fault));
  }

  #unavailable(fault: string): SallyportError {
    if (!this.#closed) this.#fault = fault;
    const { host, port } = this.#settings;
    return new SallyportError('store_unavailable', { detail: `redis ${host}:${port}: ${fault}` });
  }
}

function connectionOptions(settings: RedisSettings): RedisOptions {
  const { host, port, db, username, password, tls, connectTimeoutMs } = settings;
  return {
    host,
    port,
    db,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: tlsOptions(tls) }),
    connectTimeout: connectTimeoutMs,
    // 0 leaves IPv4 or IPv6 to Node; the fallback would retry an IPv4 name as IPv6.
    family: 0,
    familyFallback: { enabled: false },
    keepAlive: KEEP_ALIVE_MS,
    noDelay: true,
    disconnectTimeout: DISCONNECT_MS,
    lazyConnect: false,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    enableAutoPipelining: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  };
}

function tlsOptions(tls: TlsSettings): NonNullable<RedisOptions['tls']> {
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
  };
}

/** The code of a failure: Redis's error prefix, the system's or OpenSSL's code, else the kind of error. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error instanceof ReplyError) return /^[A-Z]+/.exec(error.message)?.[0] ?? 'ERR';
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' ? code : 'connection_closed';
}
