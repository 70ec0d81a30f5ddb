import { Readable } from 'node:stream';
import type { Exchange } from '../core/app-exchange.ts';
import { SallyportError } from '../core/errors.ts';

/** Bytes of a request body held between the client's socket and the service's. */
const HIGH_WATER_MARK_BYTES = 65_536;

/**
 * A request body on its way to a service. Native reading stands still until somebody reads the stream, and whenever
 * the stream is full (D-33); every chunk is copied, because its memory is gone after the native call.
 *
 * Errors with `body_too_large` when more than the bound arrives.
 */
export class Upload extends Readable {
  /** The last byte has arrived. */
  complete = false;
  readonly #exchange: Exchange;
  readonly #maxBytes: number;
  #received = 0;
  #discarded = false;

  /** Must be called in the same turn as the native handler: without a listener, native code drops what arrives. */
  constructor(exchange: Exchange, maxBytes: number) {
    super({ highWaterMark: HIGH_WATER_MARK_BYTES });
    this.#exchange = exchange;
    this.#maxBytes = maxBytes;
    exchange.res.onData((chunk, last) => this.#take(chunk, last));
    exchange.res.pause();
    // Whoever forwards the body hears of the error as well; without a listener the process would end.
    this.on('error', () => {});
  }

  override _read(): void {
    if (this.#exchange.open) this.#exchange.res.resume();
  }

  /** Nobody will read the body: let the native side read and drop what is left, so that the connection goes on. */
  discard(): void {
    this.#discarded = true;
    this.destroy();
    if (this.#exchange.open) this.#exchange.res.resume();
  }

  #take(chunk: ArrayBuffer, last: boolean): void {
    if (last) this.complete = true;
    if (this.#discarded || this.destroyed) return;
    this.#received += chunk.byteLength;
    if (this.#received > this.#maxBytes) {
      this.destroy(new SallyportError('body_too_large', { detail: `more than ${this.#maxBytes} bytes` }));
      return;
    }
    // Pausing for every chunk escapes the native cut of slow uploads (D-33); `_read` resumes.
    if (!last) this.#exchange.res.pause();
    if (chunk.byteLength > 0) this.push(Buffer.from(new Uint8Array(chunk)));
    if (last) this.push(null);
  }
}

/**
 * The body of a request that announces one, else undefined.
 * @throws `body_too_large` at once for a declared length above the bound; the answer closes the connection.
 */
export function openUpload(exchange: Exchange, maxBytes: number): Upload | undefined {
  const { contentLength, chunked } = exchange.context;
  if (contentLength > maxBytes) {
    throw new SallyportError('body_too_large', { detail: `${contentLength} bytes declared, ${maxBytes} allowed` });
  }
  return chunked || contentLength > 0 ? new Upload(exchange, maxBytes) : undefined;
}
