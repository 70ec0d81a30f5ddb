import type { ClusterSettings, RedisAddress, RedisSettings } from './config/types-store.ts';
import type { RespValue } from './resp-codec.ts';
import { RespConnection } from './resp-connection.ts';
import { reconnectDelayMs } from './resp-socket.ts';
import type { StoreNode } from './store-node.ts';
import { addressOf, type Master, type TopologyWatch, type TopologyWatchOptions } from './store-topology.ts';
import { StoreFaults } from './store-valkey-faults.ts';

/** What a watch over a Cluster needs. */
export type ClusterWatchOptions = TopologyWatchOptions & { readonly topology: ClusterSettings };

/** What one server says about the Cluster. */
type View = { readonly epoch: number; readonly masters: readonly Master[] };

/** Pause before a look that was asked for during another one. */
const SOON_MS = 20;
/** 16,384 slots in single ranges, with a replica each. */
const REPLY_MAX_BYTES = 4_194_304;

/**
 * Knows masters and slots of a Cluster (D-15, D-20). Every `pollMs`, and at once when a connection breaks or a server
 * redirects, one server after the other is asked until one gives a view of a working Cluster that is not older than the
 * one in use. Each master is asked as often whether it is one and has a majority with it: that vouches for it.
 */
export class ClusterWatch implements TopologyWatch {
  readonly #options: ClusterWatchOptions;
  readonly #faults: StoreFaults;
  #timer: NodeJS.Timeout | undefined;
  #turn = 0;
  #epoch = -1;
  #failures = 0;
  #isRunning = false;
  #isWanted = false;
  #isClosed = false;

  constructor(options: ClusterWatchOptions) {
    this.#options = options;
    this.#faults = new StoreFaults(options.redis, (error) => options.onError(error), 'cluster');
    // The owner has not assigned its watch yet.
    this.#timer = setTimeout(() => this.refresh(), 0);
  }

  refresh(): void {
    if (this.#isClosed) return;
    this.#isWanted = this.#isRunning;
    if (!this.#isRunning) void this.#run();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    clearTimeout(this.#timer);
    const found = await this.#look();
    await Promise.all(this.#options.nodes.list.map((node) => this.#vouch(node)));
    this.#isRunning = false;
    if (this.#isClosed) return;
    this.#failures = found ? 0 : this.#failures + 1;
    if (found) this.#faults.recovered();
    else this.#faults.report('no working cluster');
    const pauseMs = found ? this.#options.pollMs : Math.min(this.#options.pollMs, reconnectDelayMs(this.#failures));
    this.#timer = setTimeout(() => this.refresh(), this.#isWanted ? SOON_MS : pauseMs);
  }

  /** Ask those that are connected first, each time another one, then the seeds. */
  async #look(): Promise<boolean> {
    const { nodes, topology } = this.#options;
    const up = nodes.list.filter(({ connection }) => connection.isUp);
    this.#turn += 1;
    const asks = [...up.slice(this.#turn % (up.length || 1)), ...up.slice(0, this.#turn % (up.length || 1))].map(
      (node) => () => askNode(node),
    );
    const seeds = topology.seeds.map((seed) => () => askSeed({ ...this.#options.redis, ...seed }));
    for (const ask of [...asks, ...seeds]) {
      const view = await ask().catch(() => undefined);
      if (this.#isClosed) return false;
      if (view === undefined || view.epoch < this.#epoch) continue;
      this.#epoch = view.epoch;
      nodes.setMasters(view.masters);
      return true;
    }
    return false;
  }

  async #vouch(node: StoreNode): Promise<void> {
    const { clock, pollMs, nodes } = this.#options;
    if (clock === undefined || !node.connection.isUp) return;
    const askedAt = clock.now();
    try {
      const [role, info] = await node.connection.run((redis) => Promise.all([redis.role(), redis.cluster('INFO')]));
      const isGood = String(role[0]) === 'master' && isWorking(String(info));
      node.vouchedUntil = isGood ? askedAt + 2 * pollMs : Number.NEGATIVE_INFINITY;
      if (!isGood) nodes.changes.all();
    } catch {
      // Its time runs out by itself.
    }
  }
}

async function askNode(node: StoreNode): Promise<View | undefined> {
  const [info, slots] = await node.connection.run((redis) =>
    Promise.all([redis.cluster('INFO'), redis.cluster('SLOTS')]),
  );
  return readView(String(info), slots, node.redis);
}

/** One connection for one question, for servers that nothing is connected to. */
function askSeed(redis: RedisSettings): Promise<View | undefined> {
  const { promise, resolve } = Promise.withResolvers<View | undefined>();
  const answers: RespValue[] = [];
  const end = (view: View | undefined): void => {
    resolve(view);
    queueMicrotask(() => void connection.close());
  };
  const connection = new RespConnection({
    redis,
    replyMaxBytes: REPLY_MAX_BYTES,
    greet: async (ask) => void answers.push(await ask(['CLUSTER', 'INFO']), await ask(['CLUSTER', 'SLOTS'])),
    onUp: () => end(readView(String(answers[0]), answers[1], redis)),
    onReply: () => {},
    onDown: () => {},
    onFault: () => end(undefined),
  });
  return promise;
}

function isWorking(info: string): boolean {
  return info.includes('cluster_state:ok');
}

/** Ranges of slots by master. Undefined if the server does not see a working Cluster, or says nothing usable. */
function readView(info: string, slots: unknown, from: RedisAddress): View | undefined {
  const epoch = Number(/cluster_current_epoch:(\d+)/.exec(info)?.[1]);
  if (!isWorking(info) || !Number.isSafeInteger(epoch) || !Array.isArray(slots)) return undefined;
  const masters = new Map<string, { host: string; port: number; slots: (readonly [number, number])[] }>();
  for (const entry of slots) {
    if (!Array.isArray(entry) || !Array.isArray(entry[2])) return undefined;
    const [first, last, [announced, port]] = entry as [number, number, [unknown, number]];
    // A server that does not know its own name leaves it out: it is the one that was asked.
    const name = announced === null ? '' : String(announced);
    const address = { host: name === '' || name === '?' ? from.host : name, port: Number(port) };
    const master = masters.get(addressOf(address)) ?? { ...address, slots: [] };
    master.slots.push([Number(first), Number(last)]);
    masters.set(addressOf(address), master);
  }
  return masters.size === 0 ? undefined : { epoch, masters: [...masters.values()] };
}
