import { retryAfterOf } from '../core/clock.ts';
import { isSallyportError } from '../core/errors.ts';
import type { Refresh, Renewal } from '../core/freshness.ts';
import type { IdentityHeaders } from '../core/identity.ts';
import { createChangeWaiter, type Timers, within } from '../core/lease.ts';
import { LIMITS } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Session, Sessions } from '../core/services.ts';
import type { SessionHot } from '../core/session.ts';
import { createSweep } from '../core/sweep.ts';
import { renewalTime } from './refresh-due.ts';
import { type Flight, type FlightEnd, type FlightServices, runFlight } from './refresh-flight.ts';
import type { Grant } from './refresh-grant.ts';
import { createRefreshRecords, type RecordServices } from './refresh-record.ts';

/** What the refresh of tokens works with. */
export type RefreshServices = Omit<RecordServices, 'isClosing'> &
  Omit<FlightServices, 'sessions' | 'records' | 'waiter' | 'isClosing'> & {
    readonly sessions: Sessions;
    readonly identity: IdentityHeaders;
    readonly log: Logger;
    readonly timers: Timers;
    /** How a provider is asked; undefined = the configuration does not know it any more. */
    grantOf(idp: string): { readonly grant: Grant; readonly callMs: number } | undefined;
    /** Refreshes under way have become this many more, or fewer. */
    onFlights(change: 1 | -1): void;
  };

/**
 * One attempt for each session and process, shared by all requests that need it; among processes the lease decides
 * (refresh-flight.ts). An attempt belongs to no request: clients may come and go.
 */
export function createRefresh(services: RefreshServices): Refresh {
  return new RefreshService(services);
}

class RefreshService implements Refresh {
  readonly #services: RefreshServices;
  readonly #flightServices: FlightServices;
  readonly #flights = new Map<string, Promise<FlightEnd>>();
  /** Sessions that are not to be tried before a time, ms since the epoch. */
  readonly #pauses = new Map<string, number>();
  readonly #sweepPauses = createSweep(
    this.#pauses,
    (until, now) => until <= now,
    (locator) => this.#pauses.delete(locator),
  );
  readonly #leadMaxMs: number;
  #isClosing = false;

  constructor(services: RefreshServices) {
    const { settings, store, timers } = services;
    const isClosing = (): boolean => this.#isClosing;
    this.#services = services;
    this.#leadMaxMs = settings.leadMs + settings.jitterMs;
    this.#flightServices = {
      ...services,
      records: createRefreshRecords({ ...services, isClosing }),
      waiter: createChangeWaiter(store, timers),
      isClosing,
    };
  }

  isFresh(handle: string, session: Session, now = this.#services.clock.now()): boolean {
    const { tokenExpiresAt, renewable } = session.hot;
    if (now < tokenExpiresAt - this.#leadMaxMs) return true;
    if (renewable && now < tokenExpiresAt && this.#isDue(session.locator, session.hot, now)) {
      if (this.#pauseOf(session.locator, now) === 0) this.#join(handle, session);
    }
    return now < tokenExpiresAt;
  }

  async renew(handle: string, session: Session): Promise<Renewal> {
    const { clock, settings, timers } = this.#services;
    const deadline = clock.now() + settings.waitMaxMs;
    for (let current = session; ; ) {
      const now = clock.now();
      const pauseMs = this.#pauseOf(session.locator, now);
      const flight = pauseMs > 0 ? undefined : this.#join(handle, current);
      if (flight === undefined) return this.#stale(current, pauseMs);
      const end = await within(timers, deadline - now, flight);
      const found = await this.#outcome(handle, current, end);
      if (found.kind !== 'stale' || end?.kind !== 'renewed') return found;
      // Somebody's new token that has expired by now: once more, if it is another one.
      if (found.session.revision === current.revision || clock.now() >= deadline) return found;
      current = found.session;
    }
  }

  async force(handle: string, session: Session): Promise<Renewal> {
    const { clock, settings, timers } = this.#services;
    const now = clock.now();
    if (now >= session.hot.tokenExpiresAt) return this.renew(handle, session);
    const isNew = now < session.hot.tokenIssuedAt + LIMITS.refreshForcedIntervalMs;
    if (!session.hot.renewable || isNew || this.#pauseOf(session.locator, now) > 0) return { kind: 'fresh', session };
    const flight = this.#join(handle, session, ({ accessToken }) => accessToken === session.hot.accessToken);
    const end = flight && (await within(timers, settings.waitMaxMs, flight));
    if (end?.kind === 'renewed' || end?.kind === 'ended') return this.#outcome(handle, session, end);
    return clock.now() < session.hot.tokenExpiresAt ? { kind: 'fresh', session } : this.#stale(session, 0);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#flightServices.waiter.close();
    await Promise.allSettled(this.#flights.values());
  }

  /** What the end of an attempt means for one who waited; undefined = it goes on without us. */
  async #outcome(handle: string, session: Session, end: FlightEnd | undefined): Promise<Renewal> {
    const { clock, sessions } = this.#services;
    if (end === undefined) return this.#stale(session, 0);
    if (end.kind === 'ended') return end;
    if (end.kind === 'kept') return this.#stale(session, end.until - clock.now());
    const found = await sessions.find(handle, false);
    if (found === undefined) return { kind: 'ended', reason: 'unknown_session' };
    return clock.now() < found.hot.tokenExpiresAt ? { kind: 'fresh', session: found } : this.#stale(found, 0);
  }

  #stale(session: Session, pauseMs: number): Renewal {
    const hot = { ...session.hot, accessToken: '' };
    const headers = this.#services.identity.build({ hot, publicId: session.publicId });
    const retryAfterS = retryAfterOf(pauseMs);
    return { kind: 'stale', session: { ...session, hot, headers }, retryAfterS };
  }

  /** The attempt under way, or a new one; undefined if none may begin. */
  #join(
    handle: string,
    session: Session,
    isDue: Flight['isDue'] = (hot, now) => this.#isDue(session.locator, hot, now),
  ): Promise<FlightEnd> | undefined {
    const { locator } = session;
    const running = this.#flights.get(locator);
    if (running !== undefined) return running;
    if (this.#isClosing || this.#flights.size >= LIMITS.refreshesMax) return undefined;
    const provider = this.#services.grantOf(session.hot.idp);
    if (provider === undefined) return Promise.resolve({ kind: 'ended', reason: 'unknown_idp' });
    const flight = this.#fly({ handle, session, isDue, ...provider });
    this.#flights.set(locator, flight);
    this.#services.onFlights(1);
    // Whoever waits hears of a failure; in the background nobody does.
    flight.catch((error: unknown) => {
      if (isSallyportError(error)) return;
      this.#services.log.error({ err: error, session: session.publicId }, 'a defect was met while refreshing a token');
    });
    return flight;
  }

  async #fly(flight: Flight): Promise<FlightEnd> {
    const { locator } = flight.session;
    try {
      const end = await runFlight(flight, this.#flightServices);
      if (end.kind === 'kept') this.#pause(locator, end.until);
      return end;
    } finally {
      this.#flights.delete(locator);
      this.#services.onFlights(-1);
    }
  }

  #pause(locator: string, until: number): void {
    this.#sweepPauses(this.#services.clock.now());
    this.#pauses.delete(locator);
    const [oldest] = this.#pauses.keys();
    if (oldest !== undefined && this.#pauses.size >= LIMITS.refreshPausesMax) this.#pauses.delete(oldest);
    this.#pauses.set(locator, until);
  }

  /** How long the session is to be left alone, ms. */
  #pauseOf(locator: string, now: number): number {
    const until = this.#pauses.size === 0 ? undefined : this.#pauses.get(locator);
    return until === undefined ? 0 : Math.max(0, until - now);
  }

  #isDue(locator: string, hot: SessionHot, now: number): boolean {
    return now >= renewalTime(this.#services.settings, locator, hot.tokenIssuedAt, hot.tokenExpiresAt);
  }
}
