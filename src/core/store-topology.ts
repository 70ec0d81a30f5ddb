import type { Clock } from './clock.ts';
import type { RedisAddress, RedisSettings } from './config/types-store.ts';
import type { SallyportError } from './errors.ts';
import type { ChangeHub } from './store-changes.ts';
import type { StoreNode } from './store-node.ts';
import type { RedisCommands } from './store-valkey-client.ts';
import type { ScriptArgument, ScriptName, ScriptReply } from './store-valkey-scripts.ts';

/** Commands, sent to whichever server has the key; all throw `store_unavailable`. */
export type StoreCommands = {
  run<T>(key: string, send: (redis: RedisCommands) => Promise<T>): Promise<T>;
  /** Run one of our scripts; each has one key. */
  script(name: ScriptName, key: string, args: readonly ScriptArgument[]): Promise<ScriptReply>;
};

/** A master and the slots it serves, first and last; no ranges = all keys. */
export type Master = RedisAddress & { readonly slots?: readonly (readonly [first: number, last: number])[] };

/** The masters of a store, as those see them who know which servers they are. */
export type Masters = {
  readonly changes: ChangeHub;
  /** Those in use. */
  readonly list: readonly StoreNode[];
  /** Use these from now on. */
  setMasters(masters: readonly Master[]): void;
};

/** Who knows the masters, and says so by `setMasters` and `vouchedUntil`. */
export type TopologyWatch = {
  /** Look now; something speaks against what is known. */
  refresh(): void;
  close(): Promise<void>;
};

/** What such a watch needs. */
export type TopologyWatchOptions = {
  readonly redis: RedisSettings;
  readonly nodes: Masters;
  /** How often those who know are asked. */
  readonly pollMs: number;
  /** undefined = nobody keeps copies, so nobody needs to be vouched for. */
  readonly clock: Clock | undefined;
  /** Told once about each fault, again after a recovery. */
  onError(error: SallyportError): void;
};

/** The name of a server. */
export function addressOf({ host, port }: RedisAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
