import type { Clock } from './clock.ts';
import type { RedisNodeSettings, WaitSettings } from './config/types-store.ts';
import type { SallyportError } from './errors.ts';
import type { StoreReadCounts } from './store.ts';
import type { ChangeHub } from './store-changes.ts';
import { StoreReader, type StoreReaderOptions } from './store-reader.ts';
import { StoreTracking } from './store-tracking.ts';
import { ValkeyConnection } from './store-valkey-client.ts';
import { StoreFaults } from './store-valkey-faults.ts';
import { ReplicaWait } from './store-wait.ts';

/** What all servers of a store have in common. */
export type StoreNodeOptions = {
  /** One of several servers that can take each other's place: only a master is used (D-20). */
  readonly isMember: boolean;
  readonly waitReplicas: WaitSettings | undefined;
  readonly pendingMax: number;
  readonly counts: StoreReadCounts;
  readonly changes: ChangeHub;
  /** Listen to invalidations; absent: nobody keeps copies. */
  readonly tracking?: {
    readonly heartbeatMs: number;
    readonly clock: Clock;
    /** The server does not allow tracking; told once for each code. */
    onRefused(code: string): void;
  };
  /** Told once about each fault, again after a recovery. Never holds a secret. */
  onError(error: SallyportError): void;
  /** All connections of a server are up. */
  onUp(): void;
  /** Something speaks against the server being what we take it for: who knows better should be asked. */
  onDoubt(): void;
  /** See StoreReaderOptions. */
  readonly onRedirect?: StoreReaderOptions['onRedirect'];
};

/**
 * One server of the store: a connection for commands, one for hot reads, one for invalidations, all to the same
 * address, and, where writes wait for replicas, one for that.
 */
export class StoreNode {
  readonly redis: RedisNodeSettings;
  readonly connection: ValkeyConnection;
  readonly reader: StoreReader;
  readonly faults: StoreFaults;
  /** Somebody who knows has said until when this server is the master of what it serves, ms since the epoch. */
  vouchedUntil: number;
  /** When a redirection led here last; it may have no slots yet. */
  askedAt = Number.NEGATIVE_INFINITY;
  readonly #tracking: StoreTracking | undefined;
  readonly #wait: ReplicaWait | undefined;
  readonly #options: StoreNodeOptions;
  #wasUp = false;
  #waiting: (() => void)[] = [];

  constructor(redis: RedisNodeSettings, options: StoreNodeOptions) {
    const { isMember, tracking, waitReplicas, onDoubt, pendingMax, counts, changes, onRedirect } = options;
    this.redis = redis;
    this.#options = options;
    this.vouchedUntil = isMember ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    this.faults = new StoreFaults(redis, (error) => options.onError(error));
    const shared = { faults: this.faults, isMember, onUp: () => this.#onUp() };
    const onDemoted = () => {
      this.#renew('READONLY');
      onDoubt();
    };
    this.connection = new ValkeyConnection(redis, { ...shared, onDemoted });
    this.reader = new StoreReader({
      ...{ redis, pendingMax, counts, ...shared, onDown: onDoubt },
      ...(onRedirect && { onRedirect }),
    });
    this.#tracking = tracking && new StoreTracking({ redis, isMember, changes, ...tracking });
    this.#wait = waitReplicas && new ReplicaWait(redis, waitReplicas, { ...shared, onUp: () => {}, onDemoted });
  }

  get isUp(): boolean {
    return this.connection.isUp && this.reader.isUp;
  }

  /** See StoreChanges.currentUntil, of this server alone. */
  get currentUntil(): number {
    return Math.min(this.#tracking?.currentUntil ?? Number.NEGATIVE_INFINITY, this.vouchedUntil);
  }

  /** See ReplicaWait; true where writes do not wait. */
  async confirm(markKey: string): Promise<boolean> {
    return this.#wait === undefined || this.#wait.confirm(markKey);
  }

  /** Resolves once commands can be sent, at the latest after `ms`. */
  whenUp(ms: number): Promise<void> {
    if (this.isUp) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.#waiting.push(() => {
      clearTimeout(timer);
      resolve();
    });
    return promise;
  }

  /** End all connections. What is in flight fails. */
  async close(): Promise<void> {
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.all([this.connection.close(), this.reader.close(), this.#tracking?.close(), this.#wait?.close()]);
  }

  #onUp(): void {
    if (!this.isUp) return;
    // After a reconnection the connections might be at different servers.
    if (this.#wasUp) this.#tracking?.renew('reconnected');
    this.#wasUp = true;
    this.faults.recovered();
    for (const wake of this.#waiting.splice(0)) wake();
    this.#options.onUp();
  }

  /** The server is no master any more: reads and invalidations move together with the writes (D-20). */
  #renew(fault: string): void {
    this.reader.renew(fault);
    this.#tracking?.renew(fault);
  }
}
