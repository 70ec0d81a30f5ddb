import type { RedisNodeSettings, WaitSettings } from './config/types-store.ts';
import { type ConnectionEvents, ValkeyConnection } from './store-valkey-client.ts';

/** A write that must not be lost in a failover. */
export type ReplicatedWrite = 'logout' | 'rotation';

/** How long the mark lives that a wait writes. */
const MARK_MS = 1_000;

/**
 * Waits until replicas have what was written (D-18), on a connection of its own: WAIT holds up whatever is behind it.
 * The replication stream is in order, so a mark that is written after a change is acknowledged after it. One wait at
 * a time serves all who ask meanwhile: with replicas missing nobody waits longer than twice the time-out.
 */
export class ReplicaWait {
  readonly #settings: WaitSettings;
  readonly #connection: ValkeyConnection;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<boolean> | undefined;

  constructor(redis: RedisNodeSettings, settings: WaitSettings, events: ConnectionEvents) {
    this.#settings = settings;
    const commandTimeoutMs = redis.commandTimeoutMs + settings.timeoutMs;
    this.#connection = new ValkeyConnection({ ...redis, commandTimeoutMs }, events);
  }

  /**
   * Whether enough replicas have everything that this server had acknowledged before the call. False after the
   * time-out, and if that cannot be found out. @param markKey a key of ours in a slot of this server.
   */
  confirm(markKey: string): Promise<boolean> {
    if (this.#next !== undefined) return this.#next;
    const next = this.#running.then(() => {
      this.#next = undefined;
      return this.#wait(markKey);
    });
    this.#next = next;
    this.#running = next;
    return next;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #wait(markKey: string): Promise<boolean> {
    const { count, timeoutMs } = this.#settings;
    try {
      const [, replicas] = await this.#connection.run((redis) =>
        Promise.all([redis.set(markKey, '1', 'PX', MARK_MS), redis.wait(count, timeoutMs)]),
      );
      return replicas >= count;
    } catch {
      // Whatever went wrong, nobody has confirmed anything.
      return false;
    }
  }
}
