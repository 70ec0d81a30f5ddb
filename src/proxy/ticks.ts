/** Precision of deadlines, which are seconds: one timer for all of them costs a request nothing. */
const TICK_MS = 100;

/** Something with deadlines. */
export type Ticking = {
  /** A tick has passed. */
  onTick(now: number): void;
};

/** A coarse clock for deadlines: numbers that are compared, instead of a timer for each. */
export class Ticks {
  /** Ticks so far. After a stall of the event loop only one more: the time of a stall is nobody's delay. */
  now = 0;
  readonly #members = new Set<Ticking>();
  #timer: NodeJS.Timeout | undefined;

  /** The first tick at which `ms` have surely passed. */
  after(ms: number): number {
    return this.now + Math.ceil(ms / TICK_MS) + 1;
  }

  /** From now on tell `member`. */
  add(member: Ticking): void {
    this.#members.add(member);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  /** No longer. */
  remove(member: Ticking): void {
    this.#members.delete(member);
    if (this.#members.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    this.now += 1;
    for (const member of this.#members) member.onTick(this.now);
  }
}
