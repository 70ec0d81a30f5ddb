import type { Clock } from './clock.ts';
import type { RedisNodeSettings } from './config/types-store.ts';
import { type RespValue, readReply } from './resp-codec.ts';
import { type Ask, askWhetherMaster, isRefusal, RespConnection } from './resp-connection.ts';
import type { ChangeHub } from './store-changes.ts';

/** What the invalidation channel needs. */
export type StoreTrackingOptions = {
  readonly redis: RedisNodeSettings;
  /** The server must be a master: it is one of several that can take each other's place. */
  readonly isMember: boolean;
  readonly heartbeatMs: number;
  readonly clock: Clock;
  /** Told of each change. */
  readonly changes: ChangeHub;
  /** The server or its ACL does not allow tracking: copies are not kept until it does. Told once for each code. */
  onRefused(code: string): void;
};

/** The channel on which servers publish invalidations to RESP2 clients. */
const CHANNEL = '__redis__:invalidate';
const PONG = Buffer.from('pong');
/** A longer message (some 10,000 keys at once) ends the connection, which forgets everything, as it would. */
const MESSAGE_MAX_BYTES = 1_048_576;
/** Pause before the server is asked again whether it allows tracking. */
const REFUSED_PAUSE_MS = 5_000;

/**
 * The coherence channel of one server (D-15): a connection of our own that redirects tracking to itself and hears of
 * every changed key below `<prefix>s:` and `<prefix>l:`, whoever changed it and from which connection.
 *
 * The bound: what is published comes before the answer to a later PING on the same connection, so an answered PING
 * proves that nothing older is outstanding. `currentUntil` is two heartbeats after the last answered PING was sent: a
 * copy is served at most that long after a change whose message was lost (plus one loop turn of the server, which
 * writes its messages at the end of the turn). A PING without answer for a heartbeat ends the connection.
 * Each time the channel goes down or comes up, listeners are told that anything may have changed.
 */
export class StoreTracking {
  readonly #changes: ChangeHub;
  readonly #options: StoreTrackingOptions;
  readonly #connection: RespConnection;
  readonly #sessionPrefix: string;
  readonly #leasePrefix: string;
  #currentUntil = Number.NEGATIVE_INFINITY;
  #heartbeat: NodeJS.Timeout | undefined;
  /** When the PING that is not answered yet was sent, by the clock; undefined = none. */
  #pingedAt: number | undefined;
  #refused: string | undefined;

  constructor(options: StoreTrackingOptions) {
    const { keyPrefix } = options.redis;
    this.#options = options;
    this.#sessionPrefix = `${keyPrefix}s:{`;
    this.#leasePrefix = `${keyPrefix}l:{`;
    this.#changes = options.changes;
    this.#connection = new RespConnection({
      redis: options.redis,
      replyMaxBytes: MESSAGE_MAX_BYTES,
      refusedPauseMs: REFUSED_PAUSE_MS,
      greet: (ask) => this.#subscribe(ask),
      onUp: () => this.#start(),
      onReply: (bytes, start) => this.#take(bytes, start),
      onDown: () => this.#stop(),
      onFault: (fault) => this.#note(fault),
    });
  }

  /** See StoreChanges.currentUntil, of this server alone. */
  get currentUntil(): number {
    return this.#currentUntil;
  }

  /** Give the connection up and open another one: the rest of the store may have moved to another server. */
  renew(fault: string): void {
    this.#connection.drop(fault);
  }

  /** End the connection. Leaves no socket and no timer. */
  async close(): Promise<void> {
    await this.#connection.close();
    this.#stop();
  }

  /** Tracking before SUBSCRIBE: a subscribed connection may only PING. The channel is confirmed as of SUBSCRIBE. */
  async #subscribe(ask: Ask): Promise<void> {
    const { isMember, redis } = this.#options;
    const { keyPrefix } = redis;
    if (isMember) await askWhetherMaster(ask);
    const id = String(await ask(['CLIENT', 'ID']));
    const prefixes = ['PREFIX', `${keyPrefix}s:`, 'PREFIX', `${keyPrefix}l:`];
    await ask(['CLIENT', 'TRACKING', 'ON', 'REDIRECT', id, 'BCAST', ...prefixes]);
    this.#pingedAt = this.#options.clock.now();
    await ask(['SUBSCRIBE', CHANNEL]);
  }

  #start(): void {
    this.#refused = undefined;
    this.#confirm();
    this.#changes.all();
    this.#heartbeat = setInterval(() => this.#beat(), this.#options.heartbeatMs);
  }

  #stop(): void {
    clearInterval(this.#heartbeat);
    this.#pingedAt = undefined;
    this.#currentUntil = Number.NEGATIVE_INFINITY;
    this.#changes.all();
  }

  #confirm(): void {
    if (this.#pingedAt === undefined) return;
    this.#currentUntil = this.#pingedAt + 2 * this.#options.heartbeatMs;
    this.#pingedAt = undefined;
  }

  #beat(): void {
    const pingedAt = this.#pingedAt;
    if (pingedAt === undefined) {
      this.#pingedAt = this.#options.clock.now();
      this.#connection.write('*1\r\n$4\r\nPING\r\n');
      return;
    }
    // Whatever the clock says, nothing is current without an answer; but after a stall of our own event loop the
    // answer may wait in the socket: it is read before the connection is judged.
    this.#currentUntil = Number.NEGATIVE_INFINITY;
    setImmediate(() => {
      if (this.#pingedAt === pingedAt) this.#connection.drop('timeout');
    });
  }

  #take(bytes: Buffer, start: number): void {
    const message = readReply(bytes, start);
    const [kind, , payload] = Array.isArray(message) ? (message as readonly RespValue[]) : [];
    if (!Buffer.isBuffer(kind)) this.#connection.drop('protocol_error');
    else if (kind.equals(PONG)) this.#confirm();
    else if (Array.isArray(payload)) for (const key of payload) this.#tell(String(key));
    // FLUSHALL, and whatever else is no list of keys.
    else this.#changes.all();
  }

  #tell(key: string): void {
    const isSession = key.startsWith(this.#sessionPrefix);
    if (!isSession && !key.startsWith(this.#leasePrefix)) return;
    const end = key.indexOf('}', this.#sessionPrefix.length);
    if (end === -1) return;
    const locator = key.slice(this.#sessionPrefix.length, end);
    if (isSession) this.#changes.session(locator);
    else this.#changes.lease(locator);
  }

  #note(fault: string): void {
    if (!isRefusal(fault) || this.#refused === fault) return;
    this.#refused = fault;
    this.#options.onRefused(fault);
  }
}
