import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { CallMessage, ReplyMessage, WorkerCalls, WorkerMethod } from './worker-protocol.ts';

/** How a worker ended. */
export type WorkerEnd = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

type Waiting = { resolve(result: unknown): void; reject(error: Error): void; readonly timer: NodeJS.Timeout };

const LAUNCHER = fileURLToPath(new URL('../bin/sallyport.js', import.meta.url));

/** What a pool needs of a worker; see WorkerLink. */
export type Link = Pick<WorkerLink, 'ended' | 'pid' | 'call' | 'kill'>;

/** A worker process as the supervisor sees it. The configuration reaches it by message, never by argument. */
export class WorkerLink {
  readonly ended: Promise<WorkerEnd>;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  /** Start the process; it does nothing until it is told to `start`. @throws Error if the system refuses it */
  constructor() {
    this.#child = fork(LAUNCHER, ['worker'], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message: ReplyMessage) => this.#settle(message));
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve({ code, signal }));
      // Also tells of messages and signals that did not arrive; without a listener any of them would end this process.
      this.#child.on('error', () => {
        // It could not even be started.
        if (this.#child.pid === undefined) resolve({ code: 1, signal: null });
      });
    });
    void this.ended.then(() => this.#rejectAll());
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Ask the worker. @throws Error with its sentence, or if it ends or does not answer in time */
  call<M extends WorkerMethod>(
    method: M,
    argument: Parameters<WorkerCalls[M]>[0],
    timeoutMs: number,
  ): Promise<ReturnType<WorkerCalls[M]>> {
    this.#lastId += 1;
    const id = this.#lastId;
    const message: CallMessage = { id, method, argument };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle({ id, problem: `no answer to ${method} in time` }), timeoutMs);
      this.#waiting.set(id, { resolve: resolve as (result: unknown) => void, reject, timer });
      this.#child.send(message, (error) => {
        if (error !== null) this.#settle({ id, problem: 'the worker has ended' });
      });
    });
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #settle({ id, result, problem }: ReplyMessage): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if (problem === undefined) waiting.resolve(result);
    else waiting.reject(new Error(problem));
  }

  #rejectAll(): void {
    for (const id of [...this.#waiting.keys()]) this.#settle({ id, problem: 'the worker has ended' });
  }
}
