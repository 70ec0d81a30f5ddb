import type { Exchange } from '../core/app-exchange.ts';
import { SallyportError } from '../core/errors.ts';
import type { ChunkBuffers } from './chunk-buffers.ts';

/** Least progress of a client within one idle limit while its bytes are waited for. */
const PROGRESS_MIN_BYTES = 512;

/** Bounds of one request body. */
export type UploadLimits = {
  readonly maxBytes: number;
  /** How long a client may make next to no progress while nothing but its bytes is waited for. */
  readonly idleMs: number;
};

/** Where a request body goes. */
export type BodySink = {
  /**
   * Write a part.
   * @param done called once it was written, or will never be.
   * @returns true if it was written already, and its memory may be used again.
   */
  write(part: Buffer, done: (error?: Error | null) => void): boolean;
  /** Everything written so far has been taken; the next part is waited for. */
  drained(): void;
  /** There is no more. */
  finish(): void;
};

/**
 * A request body on its way to a service. Native reading stands still until there is somewhere to write to, and while
 * the service has not taken what was written (D-33): at most one native read is held, in memory that is used again.
 *
 * Fails with `body_too_large` when more than the bound arrives, `bad_request` when it stops coming.
 */
export class Upload {
  /** The last byte has arrived. */
  complete = false;
  /** Somebody has begun to send it: it cannot be sent to another. */
  isBegun = false;
  /** Why it failed. */
  error: SallyportError | undefined;
  /** Hears of the failure, once. */
  onFail: ((error: SallyportError) => void) | undefined;
  readonly #exchange: Exchange;
  readonly #limits: UploadLimits;
  readonly #buffers: ChunkBuffers;
  #sink: BodySink | undefined;
  /** What arrived before there was a sink: a part of the read that brought the head. */
  #held: Buffer[] = [];
  #received = 0;
  /** Parts that the service has not taken yet. */
  #underWay = 0;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;
  #receivedBefore = 0;

  /** Must be called in the same turn as the native handler: without a listener, native code drops what arrives. */
  constructor(exchange: Exchange, limits: UploadLimits, buffers: ChunkBuffers) {
    this.#exchange = exchange;
    this.#limits = limits;
    this.#buffers = buffers;
    exchange.res.onData((chunk, last) => this.#take(chunk, last));
    exchange.res.pause();
  }

  /** Send it there. Once. */
  pipe(sink: BodySink): void {
    this.isBegun = true;
    if (this.#isOver) return;
    this.#sink = sink;
    const held = this.#held;
    this.#held = [];
    for (const part of held) this.#pass(part, sink);
    if (this.complete) sink.finish();
    else {
      this.#timer = setInterval(() => this.#checkProgress(), this.#limits.idleMs);
      this.#goOn();
    }
  }

  /** Nobody will read the body: let the native side read and drop what is left, so that the connection goes on. */
  discard(): void {
    this.#stop();
    if (this.#exchange.open) this.#exchange.res.resume();
  }

  #take(chunk: ArrayBuffer, last: boolean): void {
    const { res } = this.#exchange;
    if (last) {
      this.complete = true;
      clearInterval(this.#timer);
      // The constructor paused the connection, and the next request on it would wait for ever.
      if (this.#exchange.open) res.resume();
    }
    if (this.#isOver) return;
    this.#received += chunk.byteLength;
    if (this.#received > this.#limits.maxBytes) {
      this.#fail(new SallyportError('body_too_large', { detail: `more than ${this.#limits.maxBytes} bytes` }));
      return;
    }
    // Pausing for every chunk escapes the native cut of slow uploads (D-33).
    if (!last) res.pause();
    const sink = this.#sink;
    if (chunk.byteLength > 0) {
      const part = this.#buffers.copy(chunk);
      if (sink === undefined) this.#held.push(part);
      else this.#pass(part, sink);
    }
    if (sink === undefined || this.#isOver) return;
    if (last) sink.finish();
    else this.#goOn();
  }

  #pass(part: Buffer, sink: BodySink): void {
    let isWaiting = false;
    this.#underWay += 1;
    const isTaken = sink.write(part, (error) => {
      // The memory of a failed write is left to the garbage collector: nobody knows who still reads it.
      if (!isWaiting || (error !== undefined && error !== null)) return;
      this.#underWay -= 1;
      this.#buffers.release(part);
      if (this.#underWay > 0 || this.#isOver) return;
      sink.drained();
      this.#goOn();
    });
    isWaiting = !isTaken;
    if (isWaiting) return;
    this.#underWay -= 1;
    this.#buffers.release(part);
  }

  /** Read on, once everything that was read is with the service. */
  #goOn(): void {
    if (this.#underWay === 0 && !this.complete && this.#exchange.open) this.#exchange.res.resume();
  }

  /** Replaces the native rate limit: trickles end, and a service that reads slowly is not the client's fault. */
  #checkProgress(): void {
    const progress = this.#received - this.#receivedBefore;
    this.#receivedBefore = this.#received;
    if (this.#underWay > 0 || progress >= PROGRESS_MIN_BYTES) return;
    this.#fail(new SallyportError('bad_request', { detail: 'the body stopped coming' }));
  }

  #fail(error: SallyportError): void {
    this.#stop();
    this.error = error;
    this.onFail?.(error);
  }

  #stop(): void {
    this.#isOver = true;
    this.#sink = undefined;
    this.#held = [];
    clearInterval(this.#timer);
  }
}

/**
 * The body of a request that announces one, else undefined.
 * @throws `body_too_large` at once for a declared length above the bound; the answer closes the connection.
 */
export function openUpload(exchange: Exchange, limits: UploadLimits, buffers: ChunkBuffers): Upload | undefined {
  const { contentLength, chunked } = exchange.context;
  if (contentLength > limits.maxBytes) {
    throw new SallyportError('body_too_large', {
      detail: `${contentLength} bytes declared, ${limits.maxBytes} allowed`,
    });
  }
  return chunked || contentLength > 0 ? new Upload(exchange, limits, buffers) : undefined;
}
