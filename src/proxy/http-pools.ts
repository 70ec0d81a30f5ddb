import { type Clock, retryAfterOf } from '../core/clock.ts';
import type { Route, Service } from '../core/config/types.ts';
import { SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import { ServiceTargets, type Target, type TargetsOptions } from './http-targets.ts';
import { type Resolve, resolveBySystem } from './service-names.ts';
import { Ticks } from './ticks.ts';

/** Without `health`: an address that refused a connection is passed over for this long while others are left. */
const LENIENT = { failures: 1, ejectMs: 5_000 };

/** What is read of a socket at once. One buffer for all of them: each read is done with before the next begins. */
const READ_BYTES = 262_144;

/** What became of a request, as far as it tells something of the address. */
export type Outcome =
  | 'answered'
  /** No connection. */
  | 'unreachable'
  /** Lost, too late, or unusable. */
  | 'failed';

/** Someone who wants to be served by a service. */
export type Waiter = {
  /** A WebSocket: bounded elsewhere, so it does not count among the connections of the service. */
  readonly isSocket: boolean;
  /** Where it was tried before: chosen only if there is no other. */
  readonly avoid: Target | undefined;
  /** The place is yours; give it back with `release`. */
  run(place: Place): void;
  /** There will be none. */
  fail(error: SallyportError): void;
};

/** A place at an address, held by one request or WebSocket. */
export type Place = {
  readonly target: Target;
  /** Say what became of it, as soon as that is known. */
  report(outcome: Outcome): void;
  /** Give it back. Once. */
  release(): void;
};

/** A service ready to be called: sockets of its own, shared with no other service (SECURITY §4.7). */
export type ServiceRuntime = {
  readonly service: Service;
  /** Deadline of connecting, of the most patient of its routes. */
  readonly connectMs: number;
  /**
   * Take a place at the least busy address, at once or when one is given back, in the order of asking.
   * @throws `overloaded` when all connections are in use and the queue is full; `service_unavailable` while every
   * address is given up on; `service_connect_failed` if none is known.
   */
  enter(waiter: Waiter): void;
  /** Leave the queue; nothing happens to those who have their place. */
  leave(waiter: Waiter): void;
};

/** The services of a configuration by name. */
export type ServiceTable = {
  find(name: string): ServiceRuntime;
  /** Ends every socket; requests under way fail. */
  close(): Promise<void>;
};

/** What services are made with. */
export type ServiceTableOptions = {
  readonly services: readonly Service[];
  readonly routes: readonly Pick<Route, 'service' | 'timeouts'>[];
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  /** Default: the system's resolver. */
  readonly resolve?: Resolve;
  /** Between two look-ups of a name, ms. */
  readonly resolveMs?: number;
};

/** Create the sockets of every service. */
export function createServiceTable(options: ServiceTableOptions): ServiceTable {
  const shared = { ticks: new Ticks(), readBuffer: Buffer.allocUnsafeSlow(READ_BYTES) };
  const table = new Map(options.services.map((service) => [service.name, new ServiceQueue(service, options, shared)]));
  return {
    find(name) {
      const runtime = table.get(name);
      if (runtime === undefined) throw new TypeError(`route to the unknown service ${name}`);
      return runtime;
    },
    async close() {
      await Promise.all([...table.values()].map((runtime) => runtime.close()));
    },
  };
}

/** Of connecting, for the most patient of a service's routes; the others have a clock of their own. */
function connectMsOf({ name, timeouts }: Service, routes: ServiceTableOptions['routes']): number {
  const own = routes.filter(({ service }) => service === name).map((route) => route.timeouts.connectMs ?? 0);
  return Math.max(timeouts.connectMs, ...own);
}

/** The addresses of one service, and those who wait for one of them. */
class ServiceQueue implements ServiceRuntime {
  readonly service: Service;
  readonly connectMs: number;
  readonly #clock: Clock;
  readonly #targets: ServiceTargets;
  readonly #queue = new Set<Waiter>();
  #turn = 0;

  constructor(
    service: Service,
    { routes, clock, log, resolve, resolveMs }: ServiceTableOptions,
    shared: Pick<TargetsOptions, 'ticks' | 'readBuffer'>,
  ) {
    this.service = service;
    this.connectMs = connectMsOf(service, routes);
    this.#clock = clock;
    this.#targets = new ServiceTargets({
      ...shared,
      service,
      connectMs: this.connectMs,
      health: service.health ?? LENIENT,
      resolve: resolve ?? resolveBySystem,
      resolveMs: resolveMs ?? LIMITS.serviceResolveMs,
      log,
      onChange: () => this.#serve(),
      onFailure: (code) => this.#dismiss(() => this.#unreachable(code)),
    });
  }

  enter(waiter: Waiter): void {
    const target = this.#choose(waiter);
    if (target !== undefined) {
      this.#admit(waiter, target);
      return;
    }
    const { connections, queue } = this.service.pool;
    const isUnresolved = this.#targets.list.length === 0;
    const failure = isUnresolved ? this.#targets.ask() : undefined;
    if (failure !== undefined) throw this.#unreachable(failure);
    // Names are resolved in an instant: that must not depend on the length of the queue.
    if (this.#queue.size >= (isUnresolved ? Math.max(connections, queue) : queue)) {
      throw new SallyportError('overloaded', { detail: `pool of ${this.service.name}`, retryAfterS: 1 });
    }
    this.#queue.add(waiter);
  }

  leave(waiter: Waiter): void {
    this.#queue.delete(waiter);
  }

  close(): Promise<void> {
    return this.#targets.close();
  }

  /**
   * The least busy address with a free connection, beginning at the next one. Those that are given up on count only
   * where no other is left, and not at all under `health`.
   * @returns undefined if all are busy, or none is known.
   * @throws service_unavailable
   */
  #choose(waiter: Waiter): Target | undefined {
    const { list } = this.#targets;
    if (list.length === 0) return undefined;
    const now = this.#clock.now();
    if (list.length === 1) return this.#takeOnly(list[0] as Target, waiter, now);
    this.#turn = (this.#turn + 1) % list.length;
    const anyAdmits = list.some(({ health }) => health.admits(now));
    if (!anyAdmits && this.service.health !== undefined) throw this.#ejected(now);
    let best: Target | undefined;
    for (let i = 0; i < list.length; i++) {
      const target = list[(this.#turn + i) % list.length] as Target;
      if (anyAdmits && !target.health.admits(now)) continue;
      if (!waiter.isSocket && target.active >= this.service.pool.connections) continue;
      if (best === undefined || best === waiter.avoid || isLessBusy(target, best, waiter)) best = target;
    }
    return best;
  }

  /** Most services have a single address. */
  #takeOnly(target: Target, { isSocket }: Waiter, now: number): Target | undefined {
    if (this.service.health !== undefined && !target.health.admits(now)) throw this.#ejected(now);
    return isSocket || target.active < this.service.pool.connections ? target : undefined;
  }

  #admit(waiter: Waiter, target: Target): void {
    const isProbe = target.health.start(this.#clock.now());
    if (waiter.isSocket) target.sockets += 1;
    else target.active += 1;
    waiter.run(new HeldPlace(target, waiter.isSocket, isProbe, this));
  }

  /** A place was given back. */
  onReleased(): void {
    this.#serve();
  }

  /** What became of a request. */
  note({ health }: Target, outcome: Outcome): void {
    if (outcome === 'answered') health.succeeded();
    else if (outcome === 'unreachable' || this.service.health !== undefined) health.failed(this.#clock.now());
  }

  /** Whoever waits gets what is free. */
  #serve(): void {
    if (this.#queue.size === 0) return;
    for (const waiter of this.#queue) {
      let target: Target | undefined;
      try {
        target = this.#choose(waiter);
      } catch (error) {
        this.#dismiss(() => error as SallyportError);
        return;
      }
      if (target === undefined) return;
      this.#queue.delete(waiter);
      this.#admit(waiter, target);
    }
  }

  #dismiss(errorFor: () => SallyportError): void {
    const waiting = [...this.#queue];
    this.#queue.clear();
    for (const waiter of waiting) waiter.fail(errorFor());
  }

  #ejected(now: number): SallyportError {
    const pauseMs = Math.min(...this.#targets.list.map(({ health }) => health.pauseMs(now)));
    const detail = `every address of ${this.service.name} is given up on`;
    return new SallyportError('service_unavailable', { detail, retryAfterS: retryAfterOf(pauseMs) });
  }

  #unreachable(code: string): SallyportError {
    return new SallyportError('service_connect_failed', { detail: `${this.service.name} ${code}` });
  }
}

/** A place that was given to somebody. */
class HeldPlace implements Place {
  readonly target: Target;
  readonly #isSocket: boolean;
  /** It tries an address that was given up on. */
  readonly #isProbe: boolean;
  readonly #queue: ServiceQueue;

  constructor(target: Target, isSocket: boolean, isProbe: boolean, queue: ServiceQueue) {
    this.target = target;
    this.#isSocket = isSocket;
    this.#isProbe = isProbe;
    this.#queue = queue;
  }

  report(outcome: Outcome): void {
    this.#queue.note(this.target, outcome);
  }

  release(): void {
    const { target } = this;
    if (this.#isSocket) target.sockets -= 1;
    else target.active -= 1;
    if (this.#isProbe) target.health.probeEnded();
    this.#queue.onReleased();
  }
}

function isLessBusy(one: Target, other: Target, { isSocket, avoid }: Waiter): boolean {
  if (one === avoid) return false;
  return isSocket ? one.sockets < other.sockets : one.active < other.active;
}
