import { Pool } from 'undici';
import type { Service, TlsSettings } from '../core/config/types.ts';
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
  /** Until when it is passed over, ms of the monotonic clock. */
  ejectedUntil: number;
};

/** A service ready to be called: sockets of its own, shared with no other service (SECURITY §4.7). */
export type ServiceRuntime = {
  readonly service: Service;
  readonly targets: readonly Target[];
  /**
   * Take a place for one request at the least busy target; every call is followed by one `release`.
   * @throws `overloaded` when connections and queue are full.
   */
  acquire(): Target;
  /** Give the place back. `connectFailed`: the target could not be reached, and is passed over for a while. */
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
export function createServiceTable(services: readonly Service[]): ServiceTable {
  const table = new Map(services.map((service) => [service.name, createServiceRuntime(service)]));
  return {
    find(name) {
      const runtime = table.get(name);
      if (runtime === undefined) throw new TypeError(`route to the unknown service ${name}`);
      return runtime;
    },
    async close() {
      await Promise.all([...table.values()].flatMap(({ targets }) => targets.map(({ pool }) => pool.destroy())));
    },
  };
}

function createServiceRuntime(service: Service): ServiceRuntime {
  const targets = service.urls.map(
    (origin): Target => ({
      origin,
      pool: createPool(origin, service),
      active: 0,
      ejectedUntil: 0,
    }),
  );
  const { connections, queue } = service.pool;
  const activeMax = connections * targets.length + queue;
  let turn = 0;
  return {
    service,
    targets,
    acquire() {
      let active = 0;
      for (const target of targets) active += target.active;
      if (active >= activeMax)
        throw new SallyportError('overloaded', { detail: `pool of ${service.name}`, retryAfterS: 1 });
      turn = (turn + 1) % targets.length;
      const target = chooseTarget(targets, turn, performance.now());
      target.active += 1;
      return target;
    },
    release(target, connectFailed) {
      target.active -= 1;
      target.ejectedUntil = connectFailed ? performance.now() + EJECT_MS : 0;
    },
  };
}

/** The least busy target that is not passed over, beginning at `turn`; with all of them passed over, as if none were. */
function chooseTarget(targets: readonly Target[], turn: number, now: number): Target {
  let best: Target | undefined;
  for (let i = 0; i < targets.length; i++) {
    const target = targets[(turn + i) % targets.length] as Target;
    if (target.ejectedUntil > now) continue;
    if (best === undefined || target.active < best.active) best = target;
  }
  return best ?? (targets[turn] as Target);
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

function tlsOptions(tls: TlsSettings | undefined): Record<string, string> {
  if (tls === undefined) return {};
  const { ca, cert, key, serverName } = tls;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}
