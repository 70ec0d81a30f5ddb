import type { Clock } from '../core/clock.ts';
import { LIMITS } from '../core/limits.ts';
import type { Session } from '../core/services.ts';
import type { Asked } from './authorize.ts';
import { endOfCaller, type LiveSessions, ownerOf, type Seat } from './live-sessions.ts';

/** An answer under way. */
export type LongAnswer = {
  readonly call: {
    readonly asked: Asked;
    /** On whose behalf; undefined = nobody's. */
    readonly session: Session | undefined;
    readonly exchange: { readonly startedAt: number };
    readonly upload: { readonly complete: boolean } | undefined;
  };
  /** The service has begun to answer. */
  readonly hasHead: boolean;
  /** Its place among what is live of its session, once it has one. */
  seat: Seat | undefined;
  /** Neighbours among the young, and whether it is one of them; nobody else's business. */
  older: LongAnswer | undefined;
  newer: LongAnswer | undefined;
  isYoung: boolean;
  /** Its session has ended: end it, too. */
  onSessionEnd(): void;
};

/**
 * Answers end with their session (D-32): event streams from their head on, others once they are older than
 * LIMITS.longAnswerMs, join the watch that WebSockets have. A request whose body is still coming waits for its end, or
 * for an answer that does not wait for it. What ends sooner was linked into a list and out of it, at a tenth of
 * the cost of a set.
 */
export class LongAnswers {
  readonly #live: LiveSessions;
  readonly #clock: Clock;
  /** The young: those that are not watched yet. */
  #oldest: LongAnswer | undefined;
  #newest: LongAnswer | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(live: LiveSessions, clock: Clock) {
    this.#live = live;
    this.#clock = clock;
  }

  /** A request went to its service. Bearers have no session. */
  begin(answer: LongAnswer): void {
    const { session } = answer.call;
    if (session === undefined || session.locator === '') return;
    answer.isYoung = true;
    answer.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = answer;
    else this.#newest.newer = answer;
    this.#newest = answer;
    this.#timer ??= setInterval(() => this.#sweep(), LIMITS.liveSweepMs);
  }

  /** It is an event stream; a bearer's ends with the token. */
  watch(answer: LongAnswer): void {
    this.#unlink(answer);
    const { asked, session } = answer.call;
    if (session === undefined || answer.seat !== undefined) return;
    answer.seat = this.#live.enter(ownerOf(asked, session), false);
    const endsAt = endOfCaller(session);
    if (endsAt === Number.POSITIVE_INFINITY) answer.seat.sit(answer);
    else answer.seat.sit({ onSessionEnd() {}, tick: (now) => void (now >= endsAt && answer.onSessionEnd()) });
  }

  /** It has ended, however. */
  end(answer: LongAnswer): void {
    this.#unlink(answer);
    answer.seat?.leave();
  }

  /** Stop watching. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #unlink(answer: LongAnswer): void {
    if (!answer.isYoung) return;
    const { older, newer } = answer;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    answer.isYoung = false;
    answer.older = undefined;
    answer.newer = undefined;
  }

  #sweep(): void {
    if (this.#oldest === undefined) this.close();
    const ripeAt = this.#clock.now() - LIMITS.longAnswerMs;
    let next = this.#oldest;
    while (next !== undefined && next.call.exchange.startedAt <= ripeAt) {
      const answer = next;
      next = answer.newer;
      const { upload } = answer.call;
      if (answer.hasHead || upload === undefined || upload.complete) this.watch(answer);
    }
  }
}
