import { AggregatorRegistry, Counter, Gauge, type MetricObject, Registry } from 'prom-client';

/** What the supervisor itself counts. */
export type SupervisorCounts = {
  /** Workers wanted, and those that accept connections. */
  workers(): { readonly configured: number; readonly up: number };
  restarts(): number;
  readonly reloads: { done: number; refused: number };
};

/**
 * Sums the counters of worker processes. What a worker had counted when it was last asked stays in the sums after its
 * end, so that no sum that was once shown ever shrinks.
 */
export class WorkerMetrics {
  readonly #own = new Registry();
  /** By worker, as last heard. */
  readonly #last = new Map<number, readonly object[]>();
  /** Of workers that have ended. */
  readonly #departed: (readonly object[])[] = [];
  #isMerging = false;

  constructor(counts: SupervisorCounts) {
    const registers = [this.#own];
    new Gauge({
      name: 'sallyport_workers',
      help: 'Worker processes',
      labelNames: ['state'],
      registers,
      collect() {
        const { configured, up } = counts.workers();
        this.set({ state: 'configured' }, configured);
        this.set({ state: 'up' }, up);
      },
    });
    new Counter({
      name: 'sallyport_worker_restarts_total',
      help: 'Workers started again after an end',
      registers,
      collect() {
        this.reset();
        this.inc(counts.restarts());
      },
    });
    new Counter({
      name: 'sallyport_reloads_total',
      help: 'Reloads by outcome',
      labelNames: ['outcome'],
      registers,
      collect() {
        this.reset();
        this.inc({ outcome: 'done' }, counts.reloads.done);
        this.inc({ outcome: 'refused' }, counts.reloads.refused);
      },
    });
  }

  /** A worker's counters as they are now. */
  note(index: number, snapshot: readonly object[]): void {
    this.#last.set(index, snapshot);
  }

  /** A worker has ended: its counters stay, its gauges go. */
  async end(index: number): Promise<void> {
    const last = this.#last.get(index);
    this.#last.delete(index);
    if (last === undefined) return;
    this.#departed.push(last.filter((metric) => (metric as MetricObject).type.toString() !== 'gauge'));
    if (!this.#isMerging) await this.#merge();
  }

  /** One list instead of many: a crash loop must not fill the memory. Others may end meanwhile. */
  async #merge(): Promise<void> {
    this.#isMerging = true;
    try {
      while (this.#departed.length > 1) {
        const lists = [...this.#departed];
        this.#departed.splice(0, lists.length, await sum(lists).getMetricsAsJSON());
      }
    } finally {
      this.#isMerging = false;
    }
  }

  /** Prometheus text exposition of all workers together and of the supervisor. */
  async exposition(): Promise<string> {
    const merged = sum([...this.#departed, ...this.#last.values()]);
    return `${await merged.metrics()}${await this.#own.metrics()}`;
  }
}

function sum(lists: readonly (readonly object[])[]): Registry {
  return AggregatorRegistry.aggregate(lists as object[][]);
}
