import type { LookupFunction } from 'node:net';
import { isIP } from 'node:net';
import type { Service } from '../core/config/types.ts';
import type { HealthSettings } from '../core/config/types-service.ts';
import type { Logger } from '../core/log.ts';
import { ServiceConnections } from './service-connections.ts';
import { balancedAddresses, hostOf, NameWatch, type Resolve } from './service-names.ts';
import { createSocketOpener } from './service-socket.ts';
import { TargetHealth } from './target-health.ts';
import type { Ticks } from './ticks.ts';

/** One address of a service and its sockets. */
export type Target = {
  /** `http://crud-a:8000` */
  readonly origin: string;
  /** Connects to this address of the name; undefined where the origin is an address itself. */
  readonly lookup: LookupFunction | undefined;
  readonly connections: ServiceConnections;
  readonly health: TargetHealth;
  /** Requests under way. */
  active: number;
  /** WebSockets that are open or being opened. */
  sockets: number;
};

/** What the addresses of a service are made with. */
export type TargetsOptions = {
  readonly service: Service;
  /** Of connecting, for the most patient of the service's routes. */
  readonly connectMs: number;
  readonly health: HealthSettings;
  readonly resolve: Resolve;
  readonly resolveMs: number;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  readonly ticks: Ticks;
  /** See SocketSettings. */
  readonly readBuffer: Uint8Array;
  /** There are addresses that were not there before. */
  onChange(): void;
  /** A name has no address, and the service has no other. */
  onFailure(code: string): void;
};

/**
 * The addresses of a service: all those of all its origins. A name is resolved again and again; an address that is gone
 * gets no more requests, and those under way end in peace.
 */
export class ServiceTargets {
  /** In no particular order. */
  list: readonly Target[] = [];
  readonly #options: TargetsOptions;
  readonly #byOrigin = new Map<string, ReadonlyMap<string, Target>>();
  readonly #watches: NameWatch[] = [];
  /** Of every address that is not done with yet, those that are gone too. */
  readonly #connections = new Set<ServiceConnections>();

  constructor(options: TargetsOptions) {
    this.#options = options;
    const { service, resolve, resolveMs } = options;
    for (const origin of new Set(service.urls)) {
      const host = hostOf(origin);
      if (isIP(host) !== 0) this.#set(origin, new Map([[host, this.#create(origin, undefined)]]));
      else this.#watches.push(new NameWatch(host, resolve, resolveMs, this.#listener(origin, host)));
    }
  }

  /** No address is known. @returns why, or undefined if names are being resolved. */
  ask(): string | undefined {
    const failures = this.#watches.map((watch) => watch.ask());
    return failures.includes(undefined) ? undefined : failures[0];
  }

  /** End every socket; requests under way fail. */
  async close(): Promise<void> {
    for (const watch of this.#watches) watch.close();
    await Promise.all([...this.#connections].map((connections) => connections.destroy()));
  }

  #listener(origin: string, host: string): ConstructorParameters<typeof NameWatch>[3] {
    const { service, log } = this.#options;
    let failure = '';
    return {
      onAddresses: (addresses) => {
        if (failure !== '') log.info({ service: service.name, host }, 'the name of a service is resolved again');
        failure = '';
        this.#replace(origin, addresses);
      },
      onFailure: (code) => {
        // Once for each kind of failure: the name is asked for again and again.
        if (code !== failure) log.warn({ service: service.name, host, code }, 'the name of a service has no address');
        failure = code;
        if (this.list.length === 0) this.#options.onFailure(code);
      },
    };
  }

  #replace(origin: string, addresses: readonly string[]): void {
    const before = this.#byOrigin.get(origin) ?? new Map<string, Target>();
    const after = new Map(
      balancedAddresses(addresses).map(({ address, lookup }) => [
        address,
        before.get(address) ?? this.#create(origin, lookup),
      ]),
    );
    this.#set(origin, after);
    for (const [address, { connections }] of before) {
      if (!after.has(address)) void connections.close().then(() => this.#connections.delete(connections));
    }
    this.#options.onChange();
  }

  #set(origin: string, targets: ReadonlyMap<string, Target>): void {
    this.#byOrigin.set(origin, targets);
    this.list = [...this.#byOrigin.values()].flatMap((map) => [...map.values()]);
  }

  #create(origin: string, lookup: LookupFunction | undefined): Target {
    const { service, connectMs, health, ticks, readBuffer } = this.#options;
    const opener = createSocketOpener({ origin, lookup, tls: service.tls, readBuffer });
    const connections = new ServiceConnections({ opener, ticks, connectMs, max: service.pool.connections });
    this.#connections.add(connections);
    return { origin, lookup, connections, health: new TargetHealth(health), active: 0, sockets: 0 };
  }
}
