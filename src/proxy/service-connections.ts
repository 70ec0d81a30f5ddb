import { AnswerError } from './answer-problem.ts';
import type { Outgoing } from './outgoing.ts';
import { type ConnectionSettings, ServiceConnection } from './service-connection.ts';

/** What connections to one address are made with. */
export type ConnectionsOptions = Pick<ConnectionSettings, 'opener' | 'ticks' | 'connectMs'> & {
  /** At most so many. */
  readonly max: number;
};

/**
 * The connections to one address of a service. Requests are sent at the end of a turn of the event loop, each on a
 * connection that was free before the turn began: whatever the service had said by then behind its last answer, or its
 * goodbye, has been read, so that it is not taken for the answer to this one.
 */
export class ServiceConnections {
  readonly #settings: ConnectionSettings;
  readonly #max: number;
  readonly #all = new Set<ServiceConnection>();
  /** Free before this turn; the one used last is taken first, so that those in excess grow old. */
  readonly #idle: ServiceConnection[] = [];
  /** Free since this turn. */
  #fresh: ServiceConnection[] = [];
  readonly #waiting = new Set<Outgoing>();
  #isScheduled = false;
  #isClosing = false;
  #isDestroyed = false;
  #whenEmpty: (() => void) | undefined;

  constructor({ max, ...settings }: ConnectionsOptions) {
    this.#max = max;
    this.#settings = {
      ...settings,
      onFree: (connection) => this.#onFree(connection),
      onGone: (connection) => this.#onGone(connection),
    };
  }

  /** Send a request as soon as there is a connection; whoever asks sees to it that there are not more than `max`. */
  send(request: Outgoing): void {
    this.#waiting.add(request);
    this.#schedule();
  }

  /** A request is not wanted any more; nothing more is heard of it. */
  abandon(request: Outgoing): void {
    if (!this.#waiting.delete(request)) request.wire?.abandon();
  }

  /** Take no new requests; resolves when those under way have ended. */
  close(): Promise<void> {
    this.#isClosing = true;
    for (const connection of [...this.#idle.splice(0), ...this.#fresh.splice(0)]) connection.abandon();
    if (this.#all.size + this.#waiting.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty = resolve;
    });
  }

  /** End every connection; requests under way fail. Resolves when all sockets are closed. */
  async destroy(): Promise<void> {
    this.#isClosing = true;
    this.#isDestroyed = true;
    const closed = [...this.#all].map((connection) => connection.close());
    this.#send();
    await Promise.all(closed);
  }

  #onFree(connection: ServiceConnection): void {
    if (this.#isClosing) {
      connection.abandon();
      return;
    }
    this.#fresh.push(connection);
    this.#schedule();
  }

  #onGone(connection: ServiceConnection): void {
    this.#all.delete(connection);
    for (const list of [this.#idle, this.#fresh]) {
      const at = list.lastIndexOf(connection);
      if (at !== -1) list.splice(at, 1);
    }
    if (this.#waiting.size > 0) this.#schedule();
    else if (this.#all.size === 0) this.#whenEmpty?.();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#send);
  }

  readonly #send = (): void => {
    this.#isScheduled = false;
    for (const request of this.#waiting) {
      if (this.#isDestroyed) {
        this.#waiting.delete(request);
        request.onFail(new AnswerError('closing'));
        continue;
      }
      const connection = this.#idle.pop();
      if (connection === undefined && this.#all.size >= this.#max) break;
      this.#waiting.delete(request);
      if (connection === undefined) this.#all.add(new ServiceConnection(this.#settings, request));
      else connection.send(request);
    }
    const fresh = this.#fresh;
    if (fresh.length === 0) return;
    for (const connection of fresh) this.#idle.push(connection);
    this.#fresh = [];
    if (this.#waiting.size > 0) this.#schedule();
  };
}
