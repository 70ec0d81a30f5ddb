import { Redis, type RedisOptions, ReplyError } from 'iovalkey';
import type { RedisNodeSettings } from './config/types-store.ts';
import { SallyportError } from './errors.ts';
import { NOT_MASTER } from './resp-connection.ts';
import { KEEP_ALIVE_MS, RECONNECT_MAX_MS, reconnectDelayMs, tlsOptions } from './resp-socket.ts';
import { parseRedirect, type StoreRedirect } from './store-slots.ts';
import { type StoreFaults, socketFault } from './store-valkey-faults.ts';
import { SCRIPTS } from './store-valkey-scripts.ts';

/** The client library's commands, as those who send them see it. */
export type RedisCommands = Redis;

/** How long a half-closed connection may linger before it is cut. */
const DISCONNECT_MS = 50;

/** Whom a connection tells about itself. */
export type ConnectionEvents = {
  readonly faults: StoreFaults;
  /** The server must be a master: it is one of several that can take each other's place (D-20). */
  readonly isMember: boolean;
  /** Commands can be sent (again). */
  onUp(): void;
  /** The server is no longer the master: whatever else is connected to it should look for the new one. */
  onDemoted(): void;
};

/**
 * One connection to one Redis or Valkey server, kept up in the background. Nothing is queued while it is down, nothing
 * is ever sent twice, and each command has a deadline: whatever goes wrong is SallyportError `store_unavailable`,
 * whose detail names the server and a code, never a command's arguments (they hold the password and sealed tokens).
 */
export class ValkeyConnection {
  readonly #settings: RedisNodeSettings;
  readonly #events: ConnectionEvents;
  readonly #redis: Redis;
  #usable = false;
  #closed = false;
  /** Answers received, late ones included: shows whether a silent connection is dead or just slow. */
  #replies = 0;
  #attempts = 0;
  #readonlyAt = Number.NEGATIVE_INFINITY;
  #fault = 'connecting';

  constructor(settings: RedisNodeSettings, events: ConnectionEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#redis = new Redis({
      ...connectionOptions(settings),
      retryStrategy: () => this.#nextAttemptMs(),
      reconnectOnError: (error) => this.#isDemoted(error),
    });
    for (const [name, lua] of Object.entries(SCRIPTS)) this.#redis.defineCommand(name, { numberOfKeys: 1, lua });
    this.#redis.on('ready', () => void this.#shakeHands());
    this.#redis.on('close', () => {
      if (this.#usable) this.#fault = 'connection_closed';
      this.#usable = false;
    });
    this.#redis.on('error', (error: unknown) => this.#report(codeOf(error)));
  }

  /**
   * Send one command. Throws `store_unavailable` at once while there is no usable connection, and StoreRedirect if a
   * server of a Cluster names another one.
   */
  async run<T>(send: (redis: Redis) => Promise<T>): Promise<T> {
    if (!this.#usable) throw this.#unavailable(this.#fault);
    return this.#within(send);
  }

  /** Whether a command can be sent now. */
  get isUp(): boolean {
    return this.#usable;
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
      if (this.#events.isMember) await this.#checkRole();
    } catch (error) {
      if (error instanceof SallyportError) this.#report(this.#fault);
      this.#drop(stream);
      return;
    }
    if (this.#closed || this.#redis.stream !== stream || stream.destroyed) return;
    this.#usable = true;
    this.#attempts = 0;
    this.#events.onUp();
  }

  async #checkRole(): Promise<void> {
    const [role] = await this.#within((redis) => redis.role());
    if (String(role) !== 'master') throw this.#unavailable(NOT_MASTER);
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
        settle(() => reject(readRedirect(error) ?? this.#unavailable(codeOf(error))));
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
    const delayMs = reconnectDelayMs(this.#attempts);
    this.#attempts += 1;
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
    this.#events.onDemoted();
    return true;
  }

  #report(fault: string): void {
    this.#fault = fault;
    if (!this.#closed) this.#events.faults.report(fault);
  }

  #unavailable(fault: string): SallyportError {
    if (!this.#closed) this.#fault = fault;
    return this.#events.faults.unavailable(fault);
  }
}

function connectionOptions(settings: RedisNodeSettings): RedisOptions {
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

function readRedirect(error: unknown): StoreRedirect | undefined {
  return error instanceof ReplyError ? parseRedirect((error as Error).message) : undefined;
}

/** The code of a failure: Redis's error prefix, the system's or OpenSSL's code, else the kind of error. */
function codeOf(error: unknown): string {
  if (!(error instanceof ReplyError)) return socketFault(error);
  return /^[A-Z]+/.exec((error as Error).message)?.[0] ?? 'ERR';
}
