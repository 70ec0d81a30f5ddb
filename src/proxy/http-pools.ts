import { Pool } from 'undici';
import type { Clock } from '../core/clock.ts';
import type { Service } from '../core/config/types.ts';
import type { TlsSettings } from '../core/config/types-store.ts';
import { SallyportError } from '../core/errors.ts';

/** Response header block of a service, names and values together. */
const RESPONSE_HEADERS_MAX_BYTES = 65_536;
/** A target that refused a connection is passed over for this long while others are left. */
const EJECT_MS = 5_000;

/** One origin of a service and its sockets. */
export type Target = {
  /** `http://crud-a:8000` */
  readonly origin: string;
  readonly pool: Pool;
  /** Requests under way. */
  active: number;
  /** Until when it is passed over, ms since the epoch. */
  ejectedUntil: number;
};

/** Someone who waits for a connection. */
export type Waiter = {
  /** The place is yours; give it back with `release`. */
  run(target: Target): void;
};

/** A service ready to be called: sockets of its own, shared with no other service (SECURITY §4.7). */
export type ServiceRuntime = {
  readonly service: Service;
  /**
   * Take a place at the least busy target, at once or when one is given back, in the order of asking.
   * @throws `overloaded` when all connections are in use and the queue is full.
   */
  enter(waiter: Waiter): void;
  /** Leave the queue; nothing happens to those who have their place. */
  leave(waiter: Waiter): void;
  /** Give a place back. `connectFailed`: the target could not be reached, and is passed over for a while. */
  release(target: Target, connectFailed: boolean): void;
};

/** The services of a configuration by name. */
export type ServiceTable = {
  find(name: string): ServiceRuntime;
  /** Ends every socket; requests under way fail. */
  close(): Promise<void>;
};

/**
 * Create the sockets of every service: one undici pool for each origin, HTTP/1.1, no pipelining, no redirects, no
 * retries, certificates always verified.
 */
export function createServiceTable(services: readonly Service[], clock: Clock): ServiceTable {
  const table = new Map<string, ServiceRuntime>();
  const targets: Target[] = [];
  for (const service of services) {
    const own = createTargets(service);
    targets.push(...own);
    table.set(service.name, createServiceRuntime(service, own, clock));
  }
  return {
    find(name) {
      const runtime = table.get(name);
      if (runtime === undefined) throw new TypeError(`route to the unknown service ${name}`);
      return runtime;
    },
    async close() {
      await Promise.all(targets.map(({ pool }) => pool.destroy()));
    },
  };
}

function createTargets(service: Service): Target[] {
  return service.urls.map((origin) => ({ origin, pool: createPool(origin, service), active: 0, ejectedUntil: 0 }));
}

function createServiceRuntime(service: Service, targets: readonly Target[], clock: Clock): ServiceRuntime {
  const { connections, queue: queueMax } = service.pool;
  // undici's own queue knows no bound and no leaving: it never gets more than it has connections for.
  const queue = new Set<Waiter>();
  let turn = 0;
  const choose = (): Target | undefined => {
    turn = (turn + 1) % targets.length;
    return chooseTarget(targets, { turn, connections, now: clock.now() });
  };
  const admit = (waiter: Waiter, target: Target): void => {
    target.active += 1;
    waiter.run(target);
  };
  return {
    service,
    enter(waiter) {
      const target = choose();
      if (target !== undefined) return admit(waiter, target);
      if (queue.size >= queueMax) {
        throw new SallyportError('overloaded', { detail: `pool of ${service.name}`, retryAfterS: 1 });
      }
      queue.add(waiter);
    },
    leave: (waiter) => void queue.delete(waiter),
    release(target, connectFailed) {
      target.active -= 1;
      target.ejectedUntil = connectFailed ? clock.now() + EJECT_MS : 0;
      for (const waiter of queue) {
        const free = choose();
        if (free === undefined) return;
        queue.delete(waiter);
        admit(waiter, free);
      }
    },
  };
}

/**
 * The least busy target with a free connection, beginning at `turn`. Those that are passed over count only when no
 * others are left at all.
 */
function chooseTarget(
  targets: readonly Target[],
  { turn, connections, now }: { turn: number; connections: number; now: number },
): Target | undefined {
  const isAnyWell = targets.some(({ ejectedUntil }) => ejectedUntil <= now);
  let best: Target | undefined;
  for (let i = 0; i < targets.length; i++) {
    const target = targets[(turn + i) % targets.length] as Target;
    if (target.active >= connections || (isAnyWell && target.ejectedUntil > now)) continue;
    if (best === undefined || target.active < best.active) best = target;
  }
  return best;
}

function createPool(origin: string, { timeouts, pool, tls }: Service): Pool {
  return new Pool(origin, {
    connections: pool.connections,
    pipelining: 1,
    allowH2: false,
    headersTimeout: timeouts.headersMs,
    bodyTimeout: timeouts.bodyIdleMs,
    maxHeaderSize: RESPONSE_HEADERS_MAX_BYTES,
    connect: { timeout: timeouts.connectMs, rejectUnauthorized: true, ...tlsOptions(tls) },
  });
}

/** A service's own certificates for its connections. */
export function tlsOptions(tls: TlsSettings | undefined): Record<string, string> {
  if (tls === undefined) return {};
  const { ca, cert, key, serverName } = tls;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}
