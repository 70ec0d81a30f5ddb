import type { Clock } from '../core/clock.ts';
import { SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import { findSessionProblem } from '../core/route-access.ts';
import type { Session, Sessions } from '../core/services.ts';
import type { SiteRuntime } from '../core/sites.ts';
import type { StoreChanges } from '../core/store.ts';
import type { Asked } from './authorize.ts';

/** An open socket or an answer that goes on and on, as far as its session is concerned. */
export type Sitter = {
  /** The session has ended. */
  onSessionEnd(): void;
  /** Called about once a second, if there is one. */
  tick?(now: number): void;
};

/** Whose it is. */
export type LiveOwner = {
  /** A string of its own: a slice would keep the request's whole Cookie header. */
  readonly handle: string;
  readonly session: Session;
  readonly site: SiteRuntime;
};

/** A place among what is live of a session; a socket's is taken before the service is dialled. */
export type Seat = {
  /** It is open. Ends at once if the session has ended meanwhile. */
  sit(sitter: Sitter): void;
  /** The user did something: the session's idle limit slides. */
  act(): void;
  /** Give the place back; may be called again. */
  leave(): void;
};

/** What watches the sessions of open sockets and long answers. */
export type LiveSessionsOptions = {
  readonly sessions: Pick<Sessions, 'find'>;
  /** undefined = the store does not tell of changes. */
  readonly changes: StoreChanges | undefined;
  readonly clock: Clock;
  /** Sockets of one session in this process; answers are bounded as requests are. */
  readonly perSession: number;
  /** A session's idle limit by the settings; its own may be stricter. */
  readonly idleMs: number;
};

/** One session with something live. */
type Watch = LiveOwner & {
  session: Session;
  readonly sitters: Set<Sitter>;
  seats: number;
  /** Those of them that are bounded. */
  sockets: number;
  /** When the session ends by what is known of it; it is read again then. */
  deadline: number;
  hasEnded: boolean;
  isReading: boolean;
  /** Something changed while it was being read. */
  isStale: boolean;
  hasActed: boolean;
};

/** Into so many parts a round over all sockets is cut; 10,000 sockets take about 0.2 ms each. */
const SWEEP_PARTS = 20;

/** Goes round a collection that changes meanwhile, a part at each visit; who comes late may wait for the next round. */
class Round<T> {
  readonly #all: Iterable<T> & { readonly size: number };
  #rest: Iterator<T> | undefined;
  #sizeAtStart = 0;

  constructor(all: Iterable<T> & { readonly size: number }) {
    this.#all = all;
  }

  begin(): void {
    this.#rest = this.#all[Symbol.iterator]();
    this.#sizeAtStart = this.#all.size;
  }

  visit(act: (one: T) => void): void {
    for (let left = Math.ceil(Math.max(this.#sizeAtStart, this.#all.size) / SWEEP_PARTS); left > 0; left--) {
      const next = this.#rest?.next();
      if (next === undefined || next.done === true) return;
      act(next.value);
    }
  }
}

/**
 * What is live in this process by session (D-32): when the store tells of a change the session is read again, and its
 * sockets and long answers are told if it is gone. With the store down they stay until the limits that are known. While
 * changes are not told, all sessions are read every ten seconds.
 */
export class LiveSessions {
  readonly #options: LiveSessionsOptions;
  readonly #watches = new Map<string, Watch>();
  /** All that want to know the time, those without a session too. */
  readonly #sitters = new Set<Sitter>();
  readonly #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Parts of the present round that are over. */
  #part = 0;
  readonly #sitterRound = new Round(this.#sitters);
  readonly #watchRound = new Round(this.#watches);
  #polledAt = Number.NEGATIVE_INFINITY;
  #isPolling = false;
  #isPollStale = false;

  constructor(options: LiveSessionsOptions) {
    this.#options = options;
    this.#unsubscribe = options.changes?.onInvalidate((what, locator) => {
      if (what === 'all') void this.#readAll();
      else if (what === 'session') this.#read(this.#watches.get(locator));
    });
  }

  /**
   * Take a place; undefined owner = nobody's.
   * @throws `rate_limited` if it is a socket, and the session has too many of them.
   */
  enter(owner: LiveOwner | undefined, isSocket: boolean): Seat {
    const watch = owner && this.#watch(owner, isSocket);
    let sitting: Sitter | undefined;
    let isTaken = true;
    return {
      sit: (sitter) => {
        sitting = sitter;
        if (sitter.tick !== undefined) this.#sitters.add(sitter);
        this.#timer ??= setInterval(() => this.#sweep(), LIMITS.liveSweepMs / SWEEP_PARTS);
        if (watch === undefined) return;
        watch.sitters.add(sitter);
        // What ended it may have been told before anybody listened.
        if (watch.hasEnded) sitter.onSessionEnd();
        else this.#read(watch);
      },
      act: () => {
        if (watch !== undefined) watch.hasActed = true;
      },
      leave: () => {
        if (!isTaken) return;
        isTaken = false;
        if (watch !== undefined && isSocket) watch.sockets -= 1;
        this.#leave(watch, sitting);
      },
    };
  }

  /** Stop watching. */
  close(): void {
    this.#unsubscribe?.();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #watch(owner: LiveOwner, isSocket: boolean): Watch {
    const { locator } = owner.session;
    const known = this.#watches.get(locator);
    const sockets = isSocket ? 1 : 0;
    if (known !== undefined) {
      if (isSocket && known.sockets >= this.#options.perSession) {
        throw new SallyportError('rate_limited', { detail: 'WebSockets of one session', retryAfterS: 1 });
      }
      known.seats += 1;
      known.sockets += sockets;
      return known;
    }
    const state = { seats: 1, sockets, hasEnded: false, isReading: false, isStale: false, hasActed: false };
    const watch: Watch = { ...owner, ...state, sitters: new Set(), deadline: this.#deadlineOf(owner.session) };
    this.#watches.set(locator, watch);
    return watch;
  }

  #leave(watch: Watch | undefined, sitter: Sitter | undefined): void {
    if (sitter !== undefined) this.#sitters.delete(sitter);
    if (watch !== undefined) {
      if (sitter !== undefined) watch.sitters.delete(sitter);
      watch.seats -= 1;
      if (watch.seats === 0) this.#forget(watch);
    }
    if (this.#sitters.size > 0 || this.#watches.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#part = 0;
  }

  #forget(watch: Watch): void {
    const { locator } = watch.session;
    if (this.#watches.get(locator) === watch) this.#watches.delete(locator);
  }

  #deadlineOf({ hot, lastSeenAt }: Session): number {
    const idleEnd = lastSeenAt + Math.min(hot.idleMs, this.#options.idleMs);
    const tokenEnd = hot.renewable ? Number.POSITIVE_INFINITY : hot.tokenExpiresAt;
    return Math.min(hot.absoluteAt, idleEnd, tokenEnd);
  }

  /** A part of them all: to look at ten thousand in one turn would stop the loop for milliseconds. */
  #sweep(): void {
    const now = this.#options.clock.now();
    if (this.#part === 0) this.#beginRound(now);
    this.#part = (this.#part + 1) % SWEEP_PARTS;
    this.#sitterRound.visit((sitter) => sitter.tick?.(now));
    this.#watchRound.visit(([, watch]) => this.#look(watch, now));
  }

  #beginRound(now: number): void {
    const { changes } = this.#options;
    this.#sitterRound.begin();
    this.#watchRound.begin();
    const isTold = changes !== undefined && now < changes.currentUntil();
    if (!isTold && now - this.#polledAt >= LIMITS.livePollMs) void this.#readAll();
  }

  #look(watch: Watch, now: number): void {
    const { hot, lastSeenAt } = watch.session;
    const slides = watch.hasActed && now - lastSeenAt > Math.min(hot.idleMs, this.#options.idleMs) / 10;
    if (slides || now >= watch.deadline) this.#read(watch, slides);
  }

  /** In the next turn: whoever else keeps copies has heard of the change by then. */
  #read(watch: Watch | undefined, slides = false): void {
    if (watch === undefined || watch.hasEnded) return;
    if (watch.isReading) {
      watch.isStale = true;
      return;
    }
    watch.isReading = true;
    setImmediate(() => void this.#readNow(watch, slides));
  }

  async #readNow(watch: Watch, slides: boolean): Promise<void> {
    const { sessions, clock } = this.#options;
    watch.isStale = false;
    if (slides) watch.hasActed = false;
    try {
      const session = await sessions.find(watch.handle, slides);
      if (session === undefined || findSessionProblem(session, watch.site, clock.now()) !== undefined) this.#end(watch);
      else {
        watch.session = session;
        watch.deadline = this.#deadlineOf(session);
      }
    } catch {
      // The store is down: what is known holds until its end.
      if (clock.now() >= watch.deadline) this.#end(watch);
    }
    watch.isReading = false;
    if (watch.isStale && watch.seats > 0) this.#read(watch);
  }

  /** A few at a time: thousands of sessions must not fill the queue of the store. */
  async #readAll(): Promise<void> {
    this.#isPollStale = this.#isPolling;
    if (this.#isPolling) return;
    this.#isPolling = true;
    this.#polledAt = this.#options.clock.now();
    const batches = [...this.#watches.values()];
    while (batches.length > 0) {
      await Promise.all(
        batches.splice(0, LIMITS.liveRereads).map((watch) => {
          if (watch.hasEnded || watch.isReading) {
            watch.isStale = true;
            return undefined;
          }
          watch.isReading = true;
          return this.#readNow(watch, false);
        }),
      );
    }
    this.#isPolling = false;
    if (this.#isPollStale) void this.#readAll();
  }

  #end(watch: Watch): void {
    watch.hasEnded = true;
    this.#forget(watch);
    for (const sitter of [...watch.sitters]) sitter.onSessionEnd();
  }
}

/** Whose an authorized request is; undefined = no session's: anonymous, or a bearer's. */
export function ownerOf({ context, site }: Pick<Asked, 'context' | 'site'>, session: Session | undefined) {
  if (session === undefined || session.locator === '') return undefined;
  const handle = site.findHandle(context.cookie);
  if (typeof handle !== 'string') throw new TypeError('a session without its handle');
  return { handle: Buffer.from(handle, 'latin1').toString('latin1'), session, site };
}

/** A bearer caller has no session that could end: what is open ends with its token. */
export function endOfCaller(session: Session | undefined): number {
  return session?.locator === '' ? session.hot.tokenExpiresAt : Number.POSITIVE_INFINITY;
}
