// hot: bench/verify.ts
import { Late, type Waiter } from './late.ts';
import type { Session } from './services.ts';
import type { Remembered } from './sessions-decode.ts';
import type { HotView } from './store.ts';

/** What searches ask of the sessions that they belong to. */
export type SearchHome = {
  /** The session of a record that was read, if it opens. */
  open(search: SessionSearch, stored: HotView | undefined): Session | undefined;
  /** The store could not be asked. */
  abandon(search: SessionSearch): void;
  isWithinLimits(session: Session, now: number): boolean;
  touch(session: Session, now: number): void;
};

/**
 * One who looks for a session in the store. The first of those who look for the same one at the same time is told what
 * the store has, and tells the others; limits and the idle limit are each one's own.
 */
export class SessionSearch extends Late<Session | undefined> implements Waiter<HotView | undefined> {
  readonly handle: string;
  readonly locator: string;
  /** What the handle stood for when the search began. */
  readonly known: Remembered | undefined;
  readonly #home: SearchHome;
  readonly #slide: boolean;
  readonly #now: number;
  #next: SessionSearch | undefined;

  constructor(
    home: SearchHome,
    handle: string,
    locator: string,
    known: Remembered | undefined,
    slide: boolean,
    now: number,
  ) {
    super();
    this.#home = home;
    this.handle = handle;
    this.locator = locator;
    this.known = known;
    this.#slide = slide;
    this.#now = now;
  }

  /** Be told what `first` is told. */
  join(first: SessionSearch): void {
    this.#next = first.#next;
    first.#next = this;
  }

  done(stored: HotView | undefined): void {
    let session: Session | undefined;
    try {
      session = this.#home.open(this, stored);
    } catch (error) {
      this.failed(error);
      return;
    }
    for (let search: SessionSearch | undefined = this; search !== undefined; search = search.#next)
      search.#tell(session);
  }

  failed(error: unknown): void {
    this.#home.abandon(this);
    for (let search: SessionSearch | undefined = this; search !== undefined; search = search.#next) search.fail(error);
  }

  #tell(session: Session | undefined): void {
    if (session === undefined || !this.#home.isWithinLimits(session, this.#now)) {
      this.settle(undefined);
      return;
    }
    if (this.#slide) this.#home.touch(session, this.#now);
    this.settle(session);
  }
}
