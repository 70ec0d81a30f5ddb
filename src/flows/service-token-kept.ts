import type { HeaderList } from '../core/header-list.ts';
import type { IdentityHeaders } from '../core/identity.ts';
import type { ServiceToken } from '../core/services.ts';
import { createSweep } from '../core/sweep.ts';
import type { ObtainedToken } from './service-token-check.ts';
import type { FiledFailure } from './service-token-record.ts';

/** What a process knows of one token. */
export type Kept = {
  readonly token: KeptToken | undefined;
  readonly failure: FiledFailure | undefined;
};

/** A token with what is sent of it, made once. */
export class KeptToken implements ServiceToken {
  readonly kind = 'token';
  readonly authorization: string;
  /** ms since the epoch. */
  readonly expiresAt: number;
  /** From when on another one is obtained, ms since the epoch. */
  readonly renewAt: number;
  readonly #token: string;
  readonly #identity: IdentityHeaders;
  #from: HeaderList | undefined;
  #list: HeaderList | undefined;

  constructor({ token, expiresAt }: ObtainedToken, renewAt: number, identity: IdentityHeaders) {
    this.authorization = `Bearer ${token}`;
    this.expiresAt = expiresAt;
    this.renewAt = renewAt;
    this.#token = token;
    this.#identity = identity;
  }

  /** Remembers the last list: that of the session which has the token. */
  headersWith(headers: HeaderList): HeaderList {
    if (this.#from !== headers || this.#list === undefined) {
      this.#from = headers;
      this.#list = this.#identity.withToken(headers, this.#token);
    }
    return this.#list;
  }
}

/**
 * What is known of the tokens of one service, by session or caller; bounded by number and by the length of the tokens
 * together, the oldest go first: they are in the store, or are obtained again.
 */
export class KeptTokens {
  readonly #entries = new Map<string, Kept>();
  readonly #entriesMax: number;
  readonly #charsMax: number;
  readonly #sweep = createSweep(this.#entries, isOver, (key) => this.#remove(key));
  #chars = 0;

  constructor(entriesMax: number, charsMax: number) {
    this.#entriesMax = entriesMax;
    this.#charsMax = charsMax;
  }

  find(key: string): Kept | undefined {
    return this.#entries.get(key);
  }

  remember(key: string, kept: Kept, now: number): void {
    this.#sweep(now);
    this.#remove(key);
    const chars = charsOf(kept);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size < this.#entriesMax && this.#chars + chars <= this.#charsMax) break;
      this.#remove(oldest);
    }
    this.#entries.set(key, kept);
    this.#chars += chars;
  }

  #remove(key: string): void {
    const kept = this.#entries.get(key);
    if (kept === undefined) return;
    this.#entries.delete(key);
    this.#chars -= charsOf(kept);
  }
}

function charsOf({ token }: Kept): number {
  return token?.authorization.length ?? 0;
}

function isOver({ token, failure }: Kept, now: number): boolean {
  return now >= (token?.expiresAt ?? 0) && now >= (failure?.until ?? 0);
}
