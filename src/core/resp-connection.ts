import type { Socket } from 'node:net';
import type { RedisNodeSettings } from './config/types-store.ts';
import { encodeCommand, RespError, RespFramer, RespProtocolError, type RespValue, readReply } from './resp-codec.ts';
import { openSocket, reconnectDelayMs } from './resp-socket.ts';
import { socketFault } from './store-valkey-faults.ts';

/** Send one command and wait for its answer; rejects when the connection breaks. For handshakes. */
export type Ask = (args: readonly string[]) => Promise<RespValue>;

/** What a connection tells, and is told. */
export type RespConnectionOptions = {
  readonly redis: RedisNodeSettings;
  /** A larger reply ends the connection. */
  readonly replyMaxBytes: number;
  /** Read at once at most; absent: 16 KiB. */
  readonly readMaxBytes?: number;
  /** Said after AUTH and SELECT. The connection is up once it resolves; a rejection or a RespRefusal ends it. */
  greet(ask: Ask): Promise<void>;
  /** Up: from now on replies go to `onReply`. */
  onUp(): void;
  /** A reply that came while up. The bytes are valid until it returns. */
  onReply(bytes: Buffer, start: number): void;
  /** Was up and is not any more; nothing more comes of what was sent. */
  onDown(fault: string): void;
  /**
   * An attempt failed, or the connection broke otherwise than by being closed (a restart; the next attempt tells).
   * @param wasUp it broke: the next attempt is still to come.
   */
  onFault(fault: string, wasUp: boolean): void;
  /** Pause after a command of the handshake that the server does not know or allow; absent: as after any failure. */
  readonly refusedPauseMs?: number;
};

/** The server answered a command of the handshake with an error: asking again at once would not help. */
class RespRefusal extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const READ_MAX_BYTES = 16_384;
/** The server has ended a connection. */
export const CLOSED = 'connection_closed';
/** Codes that answer a command which the server does not know, or does not allow to this user. */
const REFUSALS: readonly string[] = ['ERR', 'NOPERM'];
/** What a handshake with a server ends with that is no master. */
export const NOT_MASTER = 'NOT_MASTER';

/** Whether an error code means that the server will not do this for us, now or later. */
export function isRefusal(code: string): boolean {
  return REFUSALS.includes(code);
}

/** Ends the handshake with RespRefusal NOT_MASTER unless the server is a master (D-20). */
export async function askWhetherMaster(ask: Ask): Promise<void> {
  const role = await ask(['ROLE']);
  if (!Array.isArray(role) || String(role[0]) !== 'master') throw new RespRefusal(NOT_MASTER);
}

type Attempt = {
  readonly socket: Socket;
  readonly framer: RespFramer;
  /** Those who wait for an answer of the handshake, first sent in front. */
  readonly waiting: PromiseWithResolvers<RespValue>[];
  timer: NodeJS.Timeout | undefined;
  isUp: boolean;
  wasUp: boolean;
  isRefused: boolean;
  fault: string;
};

/**
 * One connection of our own to a Redis or Valkey server, in RESP2, kept up in the background with a growing pause
 * between attempts. It counts as up only when the server answered AUTH, SELECT and the greeting. Connecting has the
 * deadline `connectTimeoutMs`, the handshake `commandTimeoutMs`; what is sent while up is its owner's to watch.
 */
export class RespConnection {
  readonly #options: RespConnectionOptions;
  /** What is read, of one attempt after the other. */
  readonly #buffer: Buffer;
  #heardAt = 0;
  #attempt: Attempt | undefined;
  #attempts = 0;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: RespConnectionOptions) {
    this.#options = options;
    this.#buffer = Buffer.allocUnsafeSlow(options.readMaxBytes ?? READ_MAX_BYTES);
    this.#connect();
  }

  get isUp(): boolean {
    return this.#attempt?.isUp ?? false;
  }

  /** When something was read last, monotonic ms. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Send one or more commands, in ASCII. Only while up. */
  write(text: string): void {
    this.#attempt?.socket.write(text, 'latin1');
  }

  /** Give the connection up and open another one. */
  drop(fault: string): void {
    if (this.#attempt !== undefined) this.#end(this.#attempt, fault);
  }

  /** End the connection for good. Leaves no socket and no timer. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    const attempt = this.#attempt;
    if (attempt === undefined || attempt.socket.closed) return;
    const closed = new Promise<void>((resolve) => attempt.socket.once('close', () => resolve()));
    this.#end(attempt, 'closed');
    await closed;
  }

  #connect(): void {
    const { redis, replyMaxBytes } = this.#options;
    const buffer = this.#buffer;
    const onRead = (length: number): void => this.#read(attempt, buffer.subarray(0, length));
    const socket = openSocket(redis, buffer, onRead, () => void this.#shakeHands(attempt));
    const framer = new RespFramer(replyMaxBytes, (bytes, start) => this.#take(attempt, bytes, start));
    const attempt: Attempt = {
      socket,
      framer,
      waiting: [],
      timer: undefined,
      isUp: false,
      wasUp: false,
      isRefused: false,
      fault: CLOSED,
    };
    this.#attempt = attempt;
    attempt.timer = setTimeout(() => this.#end(attempt, 'ETIMEDOUT'), redis.connectTimeoutMs);
    socket.on('error', (error) => {
      attempt.fault = socketFault(error);
    });
    socket.on('close', () => this.#onClosed(attempt));
  }

  #read(attempt: Attempt, chunk: Buffer): void {
    this.#heardAt = performance.now();
    try {
      attempt.framer.push(chunk);
    } catch (error) {
      if (!(error instanceof RespProtocolError)) throw error;
      this.#end(attempt, 'protocol_error');
    }
  }

  async #shakeHands(attempt: Attempt): Promise<void> {
    const { redis, greet, onUp } = this.#options;
    clearTimeout(attempt.timer);
    // After a stall of our own event loop the timer fires before an answer that already waits in the socket is read.
    const expire = () => setImmediate(() => !attempt.isUp && this.#end(attempt, 'timeout'));
    attempt.timer = setTimeout(expire, redis.commandTimeoutMs);
    try {
      const ask: Ask = (args) => this.#ask(attempt, args);
      await authenticate(ask, redis);
      if (redis.db !== 0) await ask(['SELECT', String(redis.db)]);
      await greet(ask);
    } catch (error) {
      if (!(error instanceof RespRefusal) && !attempt.socket.destroyed) throw error;
      attempt.isRefused = error instanceof RespRefusal && isRefusal(error.code);
      this.#end(attempt, error instanceof RespRefusal ? error.code : attempt.fault);
      return;
    }
    if (attempt.socket.destroyed) return;
    clearTimeout(attempt.timer);
    attempt.isUp = true;
    attempt.wasUp = true;
    this.#attempts = 0;
    onUp();
  }

  async #ask(attempt: Attempt, args: readonly string[]): Promise<RespValue> {
    const answer = Promise.withResolvers<RespValue>();
    attempt.waiting.push(answer);
    attempt.socket.write(encodeCommand(args));
    const value = await answer.promise;
    if (value instanceof RespError) throw new RespRefusal(value.code);
    return value;
  }

  #take(attempt: Attempt, bytes: Buffer, start: number): void {
    if (attempt.isUp) this.#options.onReply(bytes, start);
    // Nobody waits for what is published between the last answer of the handshake and `onUp`: the owner starts anew there.
    else attempt.waiting.shift()?.resolve(readReply(bytes, start));
  }

  #end(attempt: Attempt, fault: string): void {
    if (attempt.socket.destroyed) return;
    attempt.fault = fault;
    attempt.framer.stop();
    attempt.socket.destroy();
    this.#goDown(attempt);
  }

  /** Whoever waits learns at once; the socket's own `close` event comes a moment later. */
  #goDown(attempt: Attempt): void {
    clearTimeout(attempt.timer);
    for (const answer of attempt.waiting.splice(0)) answer.reject(new Error(attempt.fault));
    if (!attempt.isUp) return;
    attempt.isUp = false;
    this.#options.onDown(attempt.fault);
  }

  #onClosed(attempt: Attempt): void {
    attempt.framer.stop();
    this.#goDown(attempt);
    if (this.#isClosed) return;
    const { onFault, refusedPauseMs } = this.#options;
    if (!attempt.wasUp || attempt.fault !== CLOSED) onFault(attempt.fault, attempt.wasUp);
    const delayMs = reconnectDelayMs(this.#attempts);
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.#connect(), (attempt.isRefused ? refusedPauseMs : undefined) ?? delayMs);
  }
}

/** A server that has no password answers ERR: it needs none, and what follows shows whether it serves us. */
async function authenticate(ask: Ask, { username, password }: RedisNodeSettings): Promise<void> {
  if (password === undefined) return;
  try {
    await ask(username === undefined ? ['AUTH', password] : ['AUTH', username, password]);
  } catch (error) {
    if (!(error instanceof RespRefusal && error.code === 'ERR')) throw error;
  }
}
