import type { RedisAddress, RedisSettings } from './config/types-store.ts';
import { SallyportError } from './errors.ts';
import type { Waiter } from './late.ts';
import type { HotView, StoreReadCounts } from './store.ts';
import { ChangeHub } from './store-changes.ts';
import { ClusterWatch } from './store-cluster.ts';
import { StoreNode, type StoreNodeOptions } from './store-node.ts';
import { SentinelWatch } from './store-sentinel.ts';
import { SLOT_COUNT, StoreRedirect, slotOf } from './store-slots.ts';
import { addressOf, type Master, type Masters, type StoreCommands, type TopologyWatch } from './store-topology.ts';
import type { RedisCommands } from './store-valkey-client.ts';
import { SCRIPTS, type ScriptArgument, type ScriptName, type ScriptReply } from './store-valkey-scripts.ts';

/** What the servers of a store need. */
export type StoreNodesOptions = Pick<StoreNodeOptions, 'pendingMax' | 'tracking' | 'onError'> & {
  readonly redis: RedisSettings;
};

/** Servers that one command is sent to at most. */
const HOPS_MAX = 3;
/** How long a server without slots is kept after a redirection led to it. */
const ASKED_MS = 5_000;
/** How often those who know the masters are asked where no heartbeat is configured. */
const POLL_MS = 1_000;

/**
 * The masters of a store (D-14, D-15, D-20): one server, the one that Sentinels name, or those of a Cluster. Commands
 * and hot reads of a key go to the same server. Whenever masters or slots change, listeners hear that anything may
 * have changed; copies are current only while each master's channel is, and while somebody vouches for each master.
 */
export class StoreNodes implements StoreCommands, Masters {
  readonly changes: ChangeHub;
  readonly counts: StoreReadCounts = { lookups: 0, writes: 0, refused: 0 };
  readonly #options: StoreNodesOptions;
  readonly #watch: TopologyWatch | undefined;
  readonly #nodes = new Map<string, StoreNode>();
  #list: readonly StoreNode[] = [];
  /** The server of each slot; undefined = all keys belong to the first of the list. */
  #slots: readonly (StoreNode | undefined)[] | undefined;
  #topology = '';
  #reachedOnce = false;
  #isClosed = false;

  constructor(options: StoreNodesOptions) {
    const { redis, tracking } = options;
    const { topology } = redis;
    this.#options = options;
    this.changes = new ChangeHub(() => this.#currentUntil());
    const pollMs = tracking?.heartbeatMs ?? POLL_MS;
    const clock = tracking?.clock;
    const shared = { nodes: this, pollMs, clock, redis, onError: options.onError };
    if (topology === undefined) this.setMasters([redis]);
    else if (topology.mode === 'sentinel') this.#watch = new SentinelWatch({ ...shared, topology });
    else this.#watch = new ClusterWatch({ ...shared, topology });
  }

  /** The masters that are used now. */
  get list(): readonly StoreNode[] {
    return this.#list;
  }

  get isUp(): boolean {
    return this.#list.length > 0 && this.#list.every((node) => node.isUp);
  }

  get reachedOnce(): boolean {
    return this.#reachedOnce;
  }

  /** Use these masters from now on. Connections to others end, and what is in flight on them fails. */
  setMasters(masters: readonly Master[]): void {
    if (this.#isClosed) return;
    const topology = JSON.stringify(masters.map(({ host, port, slots }) => [addressOf({ host, port }), slots]).sort());
    const wanted = new Map(masters.map((master) => [addressOf(master), master]));
    const gone = this.#list.filter((node) => !wanted.has(addressOf(node.redis)) && !isAsked(node));
    if (topology === this.#topology && gone.length === 0) return;
    this.#topology = topology;
    for (const master of masters) this.#add(master);
    for (const node of gone) this.#remove(node);
    this.#slots = masters.some(({ slots }) => slots !== undefined) ? this.#layOut(masters) : undefined;
    this.changes.all();
  }

  /** See SessionStore.lookUp. */
  read(locator: string, now: number, waiter: Waiter<HotView | undefined>): void {
    const node = this.#slots === undefined ? this.#list[0] : this.#slots[slotOf(`{${locator}}`)];
    if (node === undefined) throw this.#unknown();
    node.reader.read(locator, now, waiter);
  }

  run<T>(key: string, send: (redis: RedisCommands) => Promise<T>): Promise<T> {
    return this.#route(key, (node, asking) =>
      node.connection.run((redis) => {
        if (asking) redis.asking().catch(() => {});
        return send(redis);
      }),
    );
  }

  script(name: ScriptName, key: string, args: readonly ScriptArgument[]): Promise<ScriptReply> {
    return this.#route(key, (node, asking) =>
      node.connection.run((redis) => {
        const commands = redis as unknown as Record<string, (...args: ScriptArgument[]) => Promise<ScriptReply>>;
        if (!asking) return commands[name]!(key, ...args);
        // EVALSHA of an unknown script would use ASKING up.
        redis.asking().catch(() => {});
        return redis.eval(SCRIPTS[name], 1, key, ...args) as Promise<ScriptReply>;
      }),
    );
  }

  /** Whether enough replicas have what was written under `key`; true where nobody waits for them. */
  async confirm(key: string, markKey: string): Promise<boolean> {
    return (await this.#owner(key)?.confirm(markKey)) ?? false;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#watch?.close();
    await Promise.all(this.#list.map((node) => node.close()));
  }

  #currentUntil(): number {
    let until = this.#list.length === 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    for (const node of this.#list) until = Math.min(until, node.currentUntil);
    return until;
  }

  #owner(key: string): StoreNode | undefined {
    return this.#slots === undefined ? this.#list[0] : this.#slots[slotOf(key)];
  }

  async #route<T>(key: string, send: (node: StoreNode, asking: boolean) => Promise<T>): Promise<T> {
    let node = this.#owner(key);
    let asking = false;
    for (let hop = 1; node !== undefined; hop += 1) {
      try {
        return await send(node, asking);
      } catch (error) {
        if (!(error instanceof StoreRedirect)) throw error;
        if (this.#watch === undefined || hop === HOPS_MAX) throw node.faults.unavailable(error.kind);
        asking = error.kind === 'ASK';
        node = await this.#target(error, node);
      }
    }
    throw this.#unknown();
  }

  /** The server that a redirection names, connected to if it is new. */
  async #target(redirect: StoreRedirect, from: StoreNode): Promise<StoreNode> {
    if (redirect.kind === 'MOVED') this.#watch?.refresh();
    const { host, port } = redirect;
    const address = { host: host === '' ? from.redis.host : host, port };
    let node = this.#nodes.get(addressOf(address));
    if (node === undefined) {
      if (this.#isClosed) throw this.#unknown();
      node = this.#add(address);
      this.changes.all();
    }
    node.askedAt = performance.now();
    await node.whenUp(node.redis.commandTimeoutMs);
    return node;
  }

  #add({ host, port }: RedisAddress): StoreNode {
    const known = this.#nodes.get(addressOf({ host, port }));
    if (known !== undefined) return known;
    const { redis, pendingMax, tracking, onError } = this.#options;
    const isMember = redis.topology !== undefined;
    const node: StoreNode = new StoreNode(
      { ...redis, host, port },
      {
        ...{ isMember, pendingMax, onError, counts: this.counts, changes: this.changes },
        waitReplicas: redis.waitReplicas,
        ...(tracking && { tracking }),
        onUp: () => {
          if (this.isUp) this.#reachedOnce = true;
          this.#watch?.refresh();
        },
        onDoubt: () => this.#watch?.refresh(),
        ...(redis.topology?.mode === 'cluster' && {
          onRedirect: async (redirect, lookup) => {
            const target = await this.#target(redirect, node);
            target.reader.follow(lookup, redirect.kind === 'ASK');
          },
        }),
      },
    );
    this.#nodes.set(addressOf(node.redis), node);
    this.#list = [...this.#nodes.values()];
    return node;
  }

  #remove(node: StoreNode): void {
    this.#nodes.delete(addressOf(node.redis));
    this.#list = [...this.#nodes.values()];
    void node.close();
  }

  #layOut(masters: readonly Master[]): (StoreNode | undefined)[] {
    const slots = new Array<StoreNode | undefined>(SLOT_COUNT).fill(undefined);
    for (const master of masters) {
      const node = this.#nodes.get(addressOf(master));
      for (const [first, last] of master.slots ?? []) slots.fill(node, first, last + 1);
    }
    return slots;
  }

  #unknown(): SallyportError {
    return new SallyportError('store_unavailable', { detail: 'redis: no master is known' });
  }
}

function isAsked({ askedAt }: StoreNode): boolean {
  return performance.now() - askedAt < ASKED_MS;
}
