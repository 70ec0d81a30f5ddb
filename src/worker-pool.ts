import type { ConfigSnapshot } from './core/config/snapshot.ts';
import type { Logger } from './core/log.ts';
import type { Link, WorkerEnd } from './worker-link.ts';
import type { WorkerCalls, WorkerMethod, WorkerPorts } from './worker-protocol.ts';

/** What a pool is made of. */
export type WorkerPoolOptions = {
  readonly size: number;
  readonly ports: WorkerPorts;
  readonly log: Logger;
  /** Starts a worker process. @throws Error if the system refuses it */
  fork(): Link;
  /** Hears of each worker that ended, before another one takes its place. */
  onEnd(index: number): void;
};

type Slot = {
  readonly index: number;
  link: Link;
  /** The worker accepts connections. */
  isUp: boolean;
  /** Ends in a row, each soon after its start. */
  failures: number;
};

const START_MS = 60_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 10_000;
/** A worker that lived this long is no part of a crash loop. */
const STABLE_MS = 30_000;

/** Worker processes, each restarted when it ends: at once after a long life, else later and later (at most 10 s). */
export class WorkerPool {
  restarts = 0;
  readonly #options: WorkerPoolOptions;
  readonly #slots: Slot[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  #snapshot: ConfigSnapshot;
  #isClosing = false;

  /** @param snapshot what workers start with. */
  constructor(options: WorkerPoolOptions, snapshot: ConfigSnapshot) {
    this.#options = options;
    this.#snapshot = snapshot;
  }

  /** Workers that accept connections. */
  get up(): number {
    return this.#slots.filter(({ isUp }) => isUp).length;
  }

  /** What workers start with from now on. */
  use(snapshot: ConfigSnapshot): void {
    this.#snapshot = snapshot;
  }

  /** Start all workers. @throws Error if one of them cannot start; none is left then. */
  async start(): Promise<void> {
    try {
      for (let index = 1; index <= this.#options.size; index++) {
        this.#slots.push({ index, link: this.#options.fork(), isUp: false, failures: 0 });
      }
      await Promise.all(this.#slots.map((slot) => this.#startSlot(slot)));
    } catch (error) {
      await this.kill();
      throw error;
    }
    for (const slot of this.#slots) void this.#watch(slot, Date.now());
  }

  /** End a worker at once; another one takes its place. */
  replace(index: number): void {
    this.#slots[index - 1]?.link.kill();
  }

  /** Ask every worker that is up. Rejects with the first problem, when all have answered. */
  async callAll<M extends WorkerMethod>(
    method: M,
    argument: Parameters<WorkerCalls[M]>[0],
    timeoutMs: number,
  ): Promise<ReturnType<WorkerCalls[M]>[]> {
    const outcomes = await this.tryAll(method, argument, timeoutMs);
    return outcomes.map(({ index, result, problem }) => {
      if (problem !== undefined) throw new Error(`worker ${index}: ${problem}`);
      return result as ReturnType<WorkerCalls[M]>;
    });
  }

  /**
   * As callAll, but every outcome is told.
   * @param hear gets each result as it comes: before the end of its worker is told, if that comes next.
   */
  tryAll<M extends WorkerMethod>(
    method: M,
    argument: Parameters<WorkerCalls[M]>[0],
    timeoutMs: number,
    hear?: (index: number, result: ReturnType<WorkerCalls[M]>) => void,
  ) {
    const up = this.#slots.filter(({ isUp }) => isUp);
    return Promise.all(
      up.map(async ({ index, link }) => {
        try {
          const result = await link.call(method, argument, timeoutMs);
          hear?.(index, result);
          return { index, result, problem: undefined };
        } catch (error) {
          return { index, result: undefined, problem: error instanceof Error ? error.message : 'unknown problem' };
        }
      }),
    );
  }

  /**
   * Let every worker drain and end: none sends clients away before all have closed their ports.
   * @param leaveMs how long to wait for the slowest to do so.
   * @param deadlineMs those that have not ended by then are killed.
   */
  async close({ leaveMs, deadlineMs }: { leaveMs: number; deadlineMs: number }): Promise<void> {
    this.#stopRestarts();
    const timer = setTimeout(() => {
      this.#options.log.warn({ after_ms: deadlineMs }, 'workers that have not ended in time are killed');
      void this.kill();
    }, deadlineMs);
    // A worker that was still starting has nothing to finish.
    for (const { isUp, link } of this.#slots) if (!isUp) link.kill();
    await this.tryAll('leave', null, leaveMs);
    void this.tryAll('drain', null, deadlineMs);
    await this.#ended();
    clearTimeout(timer);
  }

  /** End every worker now. */
  async kill(): Promise<void> {
    this.#stopRestarts();
    for (const { link } of this.#slots) link.kill();
    await this.#ended();
  }

  #stopRestarts(): void {
    this.#isClosing = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async #ended(): Promise<void> {
    await Promise.all(this.#slots.map(({ link }) => link.ended));
  }

  async #startSlot(slot: Slot): Promise<void> {
    const { ports } = this.#options;
    const snapshot = this.#snapshot;
    await slot.link.call('start', { index: slot.index, snapshot, ports }, START_MS);
    if (snapshot !== this.#snapshot) throw new Error('the configuration has changed meanwhile');
    slot.isUp = true;
  }

  async #watch(slot: Slot, startedAt: number): Promise<void> {
    const end = await slot.link.ended;
    slot.isUp = false;
    this.#options.onEnd(slot.index);
    if (this.#isClosing) return;
    slot.failures = Date.now() - startedAt >= STABLE_MS ? 0 : slot.failures + 1;
    const delayMs = slot.failures === 0 ? 0 : Math.min(BACKOFF_FIRST_MS * 2 ** (slot.failures - 1), BACKOFF_MAX_MS);
    this.#logEnd(slot, end, delayMs);
    this.#restartIn(slot, delayMs);
  }

  #restartIn(slot: Slot, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#restart(slot);
    }, delayMs);
    this.#timers.add(timer);
  }

  async #restart(slot: Slot): Promise<void> {
    if (this.#isClosing) return;
    this.restarts += 1;
    try {
      slot.link = this.#options.fork();
    } catch (error) {
      // The system is short of something; the others serve on.
      this.#options.log.error({ err: error, worker: slot.index }, 'worker could not start');
      this.#restartIn(slot, BACKOFF_MAX_MS);
      return;
    }
    void this.#watch(slot, Date.now());
    try {
      await this.#startSlot(slot);
      this.#options.log.info({ worker: slot.index, pid: slot.link.pid }, 'worker is back');
    } catch (error) {
      if (!this.#isClosing) this.#options.log.error({ err: error, worker: slot.index }, 'worker could not start');
      slot.link.kill();
    }
  }

  #logEnd({ index }: Slot, { code, signal }: WorkerEnd, delayMs: number): void {
    const how = signal === null ? { code } : { signal };
    this.#options.log.error({ worker: index, ...how, restart_in_ms: delayMs }, 'worker ended');
  }
}
