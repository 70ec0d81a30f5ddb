import type { ConfigSnapshot } from './core/config/snapshot.ts';

/** Ports that the supervisor has found free; every worker accepts on the same ones. */
export type WorkerPorts = {
  readonly public: number;
  readonly verify: number | undefined;
  readonly verifyH2: number | undefined;
};

/** What the supervisor asks of a worker, and what comes back. */
export type WorkerCalls = {
  /** Serve. Rejects if that is impossible; the worker ends then. */
  start: (argument: { readonly index: number; readonly snapshot: ConfigSnapshot; readonly ports: WorkerPorts }) => null;
  /** Make another version ready to serve, beside the one that serves (D-43). */
  prepare: (snapshot: ConfigSnapshot) => null;
  /** Serve the version that was prepared. */
  commit: (nothing: null) => null;
  /** Forget it. */
  abort: (nothing: null) => null;
  readiness: (nothing: null) => { readonly ready: boolean; readonly body: object };
  /** Counters as plain data. */
  snapshot: (nothing: null) => readonly object[];
  /** Accept no more connections, after the time not ready; answered when it is so. */
  leave: (nothing: null) => null;
  /** Finish what is under way, then end. */
  drain: (nothing: null) => null;
};

/** Name of a call. */
export type WorkerMethod = keyof WorkerCalls;

/** A call on its way to the worker. */
export type CallMessage = { readonly id: number; readonly method: WorkerMethod; readonly argument: unknown };

/** Its outcome on the way back: a result, or a sentence that says why there is none. */
export type ReplyMessage = { readonly id: number; readonly result?: unknown; readonly problem?: string };
