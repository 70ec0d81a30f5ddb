import type { RedisAddress } from './config/types-store.ts';
import { SallyportError } from './errors.ts';

/** What the connections of one store say about their faults: each once, again only after a recovery. */
export class StoreFaults {
  readonly #address: string;
  readonly #onError: (error: SallyportError) => void;
  #reported: string | undefined;

  /**
   * @param onError told about each fault; never holds a secret.
   * @param kind what the server is.
   */
  constructor({ host, port }: RedisAddress, onError: (error: SallyportError) => void, kind = 'redis') {
    this.#address = `${kind} ${host}:${port}`;
    this.#onError = onError;
  }

  /** Tell about a fault, unless it is the one that was told last. @param fault a code, never a server's text. */
  report(fault: string): void {
    if (this.#reported === fault) return;
    this.#reported = fault;
    this.#onError(this.unavailable(fault));
  }

  /** Everything works again: the next fault is news. */
  recovered(): void {
    this.#reported = undefined;
  }

  /** The error of a command that could not be answered. */
  unavailable(fault: string): SallyportError {
    return new SallyportError('store_unavailable', { detail: `${this.#address}: ${fault}` });
  }
}

/** The system's or OpenSSL's code of a failed socket, else `connection_closed`. */
export function socketFault(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : 'connection_closed';
}
