import { Readable } from 'node:stream';
import type { Exchange } from '../core/app-exchange.ts';
import { SallyportError } from '../core/errors.ts';

/** Bytes of a request body held between the client's socket and the service's. */
const HIGH_WATER_MARK_BYTES = 65_536;
/** Least progress of a client within one idle limit while its bytes are waited for. */
const PROGRESS_MIN_BYTES = 512;

/** Bounds of one request body. */
export type UploadLimits = {
  readonly maxBytes: number;
  /** How long a client may make next to no progress while nothing but its bytes is waited for. */
  readonly idleMs: number;
};

/**
 * A request body on its way to a service. Native reading stands still until somebody reads the stream, and whenever
 * the stream is full (D-33); every chunk is copied, because its memory is gone after the native call.
 *
 * Errors with `body_too_large` when more than the bound arrives, `bad_request` when it stops coming.
 */
export class Upload extends Readable {
  /** The last byte has arrived. */
  complete = false;
  readonly #exchange: Exchange;
  readonly #limits: UploadLimits;
  #received = 0;
  #isDiscarded = false;
  #isFull = false;
  #timer: NodeJS.Timeout | undefined;
  #receivedBefore = 0;

  /** Must be called in the same turn as the native handler: without a listener, native code drops what arrives. */
  constructor(exchange: Exchange, limits: UploadLimits) {
    super({ highWaterMark: HIGH_WATER_MARK_BYTES });
    this.#exchange = exchange;
    this.#limits = limits;
    exchange.res.onData((chunk, last) => this.#take(chunk, last));
    exchange.res.pause();
    // Whoever forwards the body hears of the error as well; without a listener the process would end.
    this.on('error', () => {});
  }

  override _read(): void {
    this.#isFull = false;
    if (this.complete || !this.#exchange.open) return;
    this.#timer ??= setInterval(() => this.#checkProgress(), this.#limits.idleMs);
    this.#exchange.res.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#timer);
    done(error);
  }

  /** Nobody will read the body: let the native side read and drop what is left, so that the connection goes on. */
  discard(): void {
    this.#isDiscarded = true;
    this.destroy();
    if (this.#exchange.open) this.#exchange.res.resume();
  }

  #take(chunk: ArrayBuffer, last: boolean): void {
    if (last) {
      this.complete = true;
      clearInterval(this.#timer);
      // The constructor paused the connection; a body that came whole with its head is never asked for by `_read`, and
      // the next request on this connection would wait for ever.
      if (this.#exchange.open) this.#exchange.res.resume();
    }
    if (this.#isDiscarded || this.destroyed) return;
    this.#received += chunk.byteLength;
    if (this.#received > this.#limits.maxBytes) {
      this.destroy(new SallyportError('body_too_large', { detail: `more than ${this.#limits.maxBytes} bytes` }));
      return;
    }
    // Pausing for every chunk escapes the native cut of slow uploads (D-33); `_read` resumes.
    if (!last) this.#exchange.res.pause();
    this.#isFull = true;
    if (chunk.byteLength > 0) this.push(Buffer.from(new Uint8Array(chunk)));
    if (last) this.push(null);
  }

  /** Replaces the native rate limit: trickles end, and a service that reads slowly is not the client's fault. */
  #checkProgress(): void {
    const progress = this.#received - this.#receivedBefore;
    this.#receivedBefore = this.#received;
    if (!this.#isFull && progress < PROGRESS_MIN_BYTES) {
      this.destroy(new SallyportError('bad_request', { detail: 'the body stopped coming' }));
    }
  }
}

/**
 * The body of a request that announces one, else undefined.
 * @throws `body_too_large` at once for a declared length above the bound; the answer closes the connection.
 */
export function openUpload(exchange: Exchange, limits: UploadLimits): Upload | undefined {
  const { contentLength, chunked } = exchange.context;
  if (contentLength > limits.maxBytes) {
    throw new SallyportError('body_too_large', {
      detail: `${contentLength} bytes declared, ${limits.maxBytes} allowed`,
    });
  }
  return chunked || contentLength > 0 ? new Upload(exchange, limits) : undefined;
}
