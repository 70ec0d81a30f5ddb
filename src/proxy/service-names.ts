import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';

/** Addresses of a host name in the order of preference. Rejects if it has none. */
export type Resolve = (name: string) => Promise<readonly string[]>;

/** What is known of a name. */
export type NameListener = {
  /** Its addresses, when they differ from those before; never empty. */
  onAddresses(addresses: readonly string[]): void;
  /** It cannot be resolved; the addresses before stay. */
  onFailure(code: string): void;
};

/** Asked for again after a failure, while there is no address, not before this has passed. */
const RETRY_MS = 1_000;

/** By way of the system: hosts file, search domains and the rest of what an operator set up. */
export const resolveBySystem: Resolve = async (name) => {
  const found = await lookup(name, { all: true, order: 'verbatim' });
  return found.map(({ address }) => address);
};

/** The host of an origin, without the brackets of IPv6. */
export function hostOf(origin: string): string {
  const { hostname } = new URL(origin);
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

/**
 * Watches the addresses of a name (SPEC §8): resolved at once, and again and again. The answers of a name change with
 * its servers, and their lifetimes are not known to the system's resolver.
 */
export class NameWatch {
  readonly #name: string;
  readonly #resolve: Resolve;
  readonly #listener: NameListener;
  readonly #timer: NodeJS.Timeout;
  #known = '';
  #isRunning = false;
  #failedAt = Number.NEGATIVE_INFINITY;
  #failure = '';
  #isClosed = false;

  /** @param everyMs between two look-ups. */
  constructor(name: string, resolve: Resolve, everyMs: number, listener: NameListener) {
    this.#name = name;
    this.#resolve = resolve;
    this.#listener = listener;
    this.#timer = setInterval(() => void this.#look(), everyMs).unref();
    void this.#look();
  }

  /** Somebody waits for an address. @returns why there is none, or undefined if that is being found out. */
  ask(): string | undefined {
    if (!this.#isRunning && performance.now() - this.#failedAt < RETRY_MS) return this.#failure;
    void this.#look();
    return undefined;
  }

  /** Stop watching. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isRunning || this.#isClosed) return;
    this.#isRunning = true;
    try {
      const addresses = await this.#resolve(this.#name);
      this.#isRunning = false;
      this.#take(addresses);
    } catch (error) {
      this.#isRunning = false;
      this.#failedAt = performance.now();
      this.#failure = String((error as { code?: unknown } | undefined)?.code ?? 'EAI_FAIL');
      if (!this.#isClosed) this.#listener.onFailure(this.#failure);
    }
  }

  #take(addresses: readonly string[]): void {
    const sorted = [...new Set(addresses)].sort().join(' ');
    if (this.#isClosed || sorted === '') return;
    // The order is no news: resolvers turn it round with each answer.
    const isNews = sorted !== this.#known;
    this.#known = sorted;
    if (isNews) this.#listener.onAddresses(addresses);
  }
}

/** One address of a name, and how to connect to it. */
export type Address = { readonly address: string; readonly lookup: LookupFunction };

/**
 * The addresses that requests are balanced over: those of the family the system prefers, each with one of the other
 * family to fall back to while connecting, because a service may listen on one family alone (`localhost`).
 */
export function balancedAddresses(addresses: readonly string[]): readonly Address[] {
  const family = isIP(addresses[0] ?? '');
  const preferred = addresses.filter((address) => isIP(address) === family);
  const others = addresses.filter((address) => isIP(address) !== family);
  return preferred.map((address, index) => {
    const other = others[index % Math.max(1, others.length)];
    return { address, lookup: fixedLookup(other === undefined ? [address] : [address, other]) };
  });
}

function fixedLookup(addresses: readonly string[]): LookupFunction {
  const entries = addresses.map((address) => ({ address, family: isIP(address) }));
  const [first = { address: '', family: 0 }] = entries;
  return (_name, options, callback) => {
    if (options.all === true) callback(null, entries);
    else callback(null, first.address, first.family);
  };
}
