import type { RedisAddress, RedisNodeSettings, SentinelSettings } from './config/types-store.ts';
import type { SallyportError } from './errors.ts';
import { encodeCommand, RespError, type RespValue, readReply } from './resp-codec.ts';
import { type Ask, RespConnection } from './resp-connection.ts';
import { addressOf, type TopologyWatch, type TopologyWatchOptions } from './store-topology.ts';
import { StoreFaults } from './store-valkey-faults.ts';

/** What a watch over Sentinels needs. */
export type SentinelWatchOptions = TopologyWatchOptions & { readonly topology: SentinelSettings };

/** What a Sentinel said last. */
type Report = { readonly address: RedisAddress; readonly epoch: number; readonly askedAt: number };

const REPLY_MAX_BYTES = 65_536;

/**
 * Knows the master from all Sentinels at once (D-20). Each is asked every `pollMs`, and at once when one of them
 * publishes `+switch-master` or a connection to the master breaks. The answer of the highest configuration epoch
 * counts, so that a Sentinel that was cut off cannot lead back to the old master. While no Sentinel answers, the last
 * known master stays in use, and copies are not served (nobody vouches for it).
 */
export class SentinelWatch implements TopologyWatch {
  readonly #options: SentinelWatchOptions;
  readonly #links: readonly SentinelLink[];

  constructor(options: SentinelWatchOptions) {
    this.#options = options;
    const { topology, pollMs, onError, clock } = options;
    const shared = {
      ...{ master: topology.master, pollMs, onError },
      now: () => clock?.now() ?? 0,
      onReport: () => this.#decide(),
      onSwitch: () => this.refresh(),
    };
    this.#links = topology.sentinels.map((redis) => new SentinelLink(redis, shared));
  }

  refresh(): void {
    for (const link of this.#links) link.poll();
  }

  async close(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.close()));
  }

  #decide(): void {
    const { nodes, pollMs } = this.#options;
    const reports = this.#links.flatMap(({ report }) => report ?? []);
    const epoch = Math.max(...reports.map((report) => report.epoch));
    const newest = reports.filter((report) => report.epoch === epoch);
    const chosen = newest.find(({ address }) => addressOf(address) === addressOf(nodes.list[0]?.redis ?? address));
    const { address } = chosen ?? newest[0]!;
    nodes.setMasters([address]);
    const agreed = newest.filter((report) => addressOf(report.address) === addressOf(address));
    const node = nodes.list[0]!;
    node.vouchedUntil = Math.max(...agreed.map(({ askedAt }) => askedAt)) + 2 * pollMs;
  }
}

type LinkOptions = {
  readonly master: string;
  readonly pollMs: number;
  now(): number;
  /** `report` is new. */
  onReport(): void;
  /** A switch was published. */
  onSwitch(): void;
  onError(error: SallyportError): void;
};

/** One Sentinel: a connection that asks, and one that hears what it publishes. */
class SentinelLink {
  /** undefined while it does not answer. */
  report: Report | undefined;
  readonly #options: LinkOptions;
  readonly #asking: RespConnection;
  readonly #news: RespConnection;
  readonly #timer: NodeJS.Timeout;
  /** Answers of the poll under way. */
  #answers: RespValue[] | undefined;
  #askedAt = 0;
  #isPollWanted = false;

  constructor(redis: RedisNodeSettings, options: LinkOptions) {
    this.#options = options;
    const faults = new StoreFaults(redis, (error) => options.onError(error), 'sentinel');
    const shared = { redis, replyMaxBytes: REPLY_MAX_BYTES, onFault: (fault: string) => faults.report(fault) };
    this.#asking = new RespConnection({
      ...shared,
      greet: async (ask) => void (await ask(['PING'])),
      onUp: () => {
        faults.recovered();
        this.poll();
      },
      onReply: (bytes, start) => this.#take(readReply(bytes, start), faults),
      onDown: () => this.#forget(),
    });
    this.#news = new RespConnection({
      ...shared,
      onFault: () => {},
      greet: async (ask: Ask) => void (await ask(['SUBSCRIBE', '+switch-master'])),
      onUp: () => this.poll(),
      onReply: () => options.onSwitch(),
      onDown: () => {},
    });
    this.#timer = setInterval(() => this.#beat(), options.pollMs);
  }

  /** Ask now, or as soon as the answer to the question before is there: that may be from before the reason to ask. */
  poll(): void {
    if (!this.#asking.isUp) return;
    this.#isPollWanted = this.#answers !== undefined;
    if (this.#isPollWanted) return;
    const { master } = this.#options;
    this.#answers = [];
    this.#askedAt = this.#options.now();
    const name = encodeCommand(['SENTINEL', 'MASTER', master]);
    this.#asking.write(name + encodeCommand(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master]));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([this.#asking.close(), this.#news.close()]);
  }

  #beat(): void {
    const answers = this.#answers;
    if (answers === undefined) {
      this.poll();
      return;
    }
    // After a stall of our own event loop the answer may wait in the socket.
    setImmediate(() => {
      if (this.#answers === answers) this.#asking.drop('timeout');
    });
  }

  #forget(): void {
    this.report = undefined;
    this.#answers = undefined;
    this.#isPollWanted = false;
  }

  /** Two answers: the state of the master, for its epoch, and its address, which is the new one early in a failover. */
  #take(value: RespValue, faults: StoreFaults): void {
    const answers = this.#answers;
    if (answers === undefined) {
      this.#asking.drop('protocol_error');
      return;
    }
    if (answers.push(value) < 2) return;
    this.#answers = undefined;
    const [state, address] = answers;
    this.report = readReport(state!, address!, this.#askedAt);
    if (this.report !== undefined) this.#options.onReport();
    else faults.report(state instanceof RespError ? 'unknown_master' : 'protocol_error');
    if (this.#isPollWanted) this.poll();
  }
}

function readReport(state: RespValue, address: RespValue, askedAt: number): Report | undefined {
  if (!Array.isArray(state) || !Array.isArray(address)) return undefined;
  const texts = state.map(String);
  const epoch = Number(texts[texts.indexOf('config-epoch') + 1]);
  const [host, port] = address.map(String);
  if (!Number.isSafeInteger(epoch) || host === undefined || !(Number(port) > 0)) return undefined;
  return { address: { host, port: Number(port) }, epoch, askedAt };
}
