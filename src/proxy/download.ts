import type { HttpResponse } from 'uWebSockets.js';
import { STATUS_CODES } from 'node:http';
import type { Call } from './call.ts';
import type { ResponseHead } from './response-headers.ts';

/**
 * The native core cannot end a head before the body begins. A browser waits for the head of an event stream, and an
 * empty line means nothing in one (HTML §9.2.6): a stream that is silent at first is opened with it.
 */
const EMPTY_LINE = Buffer.from('\n');
const EVENT_STREAM_OPEN_MS = 50;

/** A body that came whole goes out in one call with its head, whether or not the socket takes it at once. */
const WHOLE_MAX_BYTES = 16_384;

/** Where an answer comes from. */
export type DownloadSource = {
  /** The client takes bytes again. */
  resume(): void;
  /** The client took none for the service's idle limit. */
  onStalled(error: Error): void;
};

type Head = Exclude<ResponseHead, { readonly problem: string }>;

/**
 * A service's answer on its way to the client, with back-pressure (D-33). The head is written together with the first
 * bytes of the body, so that a service that dies between them still gets a clean error answer.
 */
export class Download {
  readonly #call: Call;
  readonly #source: DownloadSource;
  #status = 0;
  #head: Head | undefined;
  /** Declared length of the body; -1 = chunked. */
  #total = -1;
  /** Bytes of a body of declared length that have come so far. */
  #passed = 0;
  #isHeadWritten = false;
  #isListening = false;
  #closeAfter = false;
  #bodiless = false;
  /** The part that the socket did not take yet, and the write offset at which it begins. */
  #pending: Uint8Array | undefined;
  #pendingAt = 0;
  #stallTimer: NodeJS.Timeout | undefined;
  #openTimer: NodeJS.Timeout | undefined;

  constructor(call: Call, source: DownloadSource) {
    this.#call = call;
    this.#source = source;
  }

  /** Take the head; nothing is written yet. @param contentLength -1 = none declared. @returns true for an event stream. */
  begin(status: number, head: Head, contentLength: number): boolean {
    const { app, exchange, upload } = this.#call;
    this.#status = status;
    this.#head = head;
    this.#bodiless = exchange.context.method === 'HEAD' || status === 204 || status === 304;
    // What follows a chunked or unread body on the connection must not be taken for a request (SECURITY §3.5).
    const isUnread = upload?.complete === false;
    this.#closeAfter = exchange.context.chunked || isUnread || app.isClosing;
    // With a length the last byte ends the answer at once, and reading must go on before: see `end`.
    this.#total = isUnread && !this.#bodiless ? -1 : contentLength;
    if (this.#bodiless || this.#total !== -1 || !head.isEvents) return false;
    this.#openTimer = setTimeout(() => this.write(EMPTY_LINE), EVENT_STREAM_OPEN_MS);
    return true;
  }

  /** Pass a part of the body on. @returns false if no more may come until `resume` is called. */
  write(chunk: Uint8Array): boolean {
    const { exchange } = this.#call;
    if (!exchange.open || this.#bodiless || chunk.byteLength === 0) return true;
    const { res } = exchange;
    let ok = true;
    let done = false;
    res.cork(() => {
      const isWhole = !this.#isHeadWritten && chunk.byteLength === this.#total && !this.#closeAfter;
      this.#writeHead(this.#closeAfter);
      if (isWhole && chunk.byteLength <= WHOLE_MAX_BYTES) {
        res.end(chunk);
        done = true;
      } else if (this.#total === -1) ok = res.write(chunk);
      else {
        this.#pendingAt = this.#passed;
        this.#passed += chunk.byteLength;
        [ok, done] = res.tryEnd(chunk, this.#total);
      }
    });
    if (done) this.#finish();
    // The bytes are gone after this call.
    else if (!ok) this.#wait(this.#total === -1 ? undefined : new Uint8Array(chunk));
    return done || ok;
  }

  /** The service has said everything. */
  end(): void {
    const { exchange, upload } = this.#call;
    if (!exchange.open) return;
    // What the socket has not taken yet ends the answer by itself, in `#drain`.
    if (this.#pending !== undefined) return;
    const { res } = exchange;
    if (upload?.complete === false) upload.discard();
    res.cork(() => {
      // Told to close, the native core writes its header wherever it stands: never after a part of the body.
      if (this.#isHeadWritten) res.end();
      else if (this.#bodiless) this.#endWithoutBody();
      else {
        this.#writeHead(false);
        res.end('', this.#closeAfter);
      }
    });
    this.#finish();
  }

  /** Something went wrong: an error answer if nothing was written yet, else the connection is closed. */
  fail(error: Error): void {
    this.#clearTimers();
    const { app, exchange, log, service } = this.#call;
    if (!exchange.open) return;
    exchange.onAbort = undefined;
    if (!this.#isHeadWritten) {
      app.fail(exchange, error);
      return;
    }
    const { context, res } = exchange;
    log.info({ err: error, request_id: context.requestId, service: service.service.name }, 'an answer was cut');
    res.close();
  }

  #writeHead(announcesClose: boolean): void {
    if (this.#isHeadWritten) return;
    this.#isHeadWritten = true;
    clearTimeout(this.#openTimer);
    writeHead(this.#call.exchange.res, this.#status, this.#head as Head, announcesClose);
  }

  /** The native call takes no length as "none" only if it gets no arguments at all. */
  #endWithoutBody(): void {
    const { res } = this.#call.exchange;
    if (this.#total === -1 || this.#status === 204 || this.#status === 304) {
      this.#writeHead(this.#closeAfter);
      res.endWithoutBody();
    } else {
      this.#writeHead(false);
      res.endWithoutBody(this.#total, this.#closeAfter);
    }
  }

  #wait(rest: Uint8Array | undefined): void {
    this.#pending = rest;
    const { bodyIdleMs } = this.#call.timeouts;
    // Several chunks of one read may meet a full socket.
    clearTimeout(this.#stallTimer);
    this.#stallTimer = setTimeout(() => this.#source.onStalled(new Error('the client takes nothing')), bodyIdleMs);
    if (this.#isListening) return;
    this.#isListening = true;
    this.#call.exchange.res.onWritable((offset) => this.#drain(offset));
  }

  #drain(offset: number): boolean {
    const { exchange } = this.#call;
    if (!exchange.open) return true;
    clearTimeout(this.#stallTimer);
    if (this.#pending !== undefined) {
      const [ok, done] = exchange.res.tryEnd(this.#pending.subarray(offset - this.#pendingAt), this.#total);
      if (done) {
        this.#pending = undefined;
        this.#finish();
        return true;
      }
      if (!ok) {
        this.#wait(this.#pending);
        return false;
      }
      this.#pending = undefined;
    }
    this.#source.resume();
    return true;
  }

  #finish(): void {
    this.#clearTimers();
    const { app, exchange } = this.#call;
    exchange.onAbort = undefined;
    app.finished(exchange, this.#status, '');
  }

  #clearTimers(): void {
    clearTimeout(this.#stallTimer);
    clearTimeout(this.#openTimer);
  }
}

/** Names and values were checked when the answer was filtered. A status that is not written is 200. */
function writeHead(res: HttpResponse, status: number, { block, bytes }: Head, announcesClose: boolean): void {
  if (status !== 200) res.writeStatus(`${status} ${STATUS_CODES[status] ?? 'Unnamed'}`);
  for (const [name, value] of bytes) res.writeHeader(name, value);
  res.writeHeader('vary', announcesClose ? `${block}\r\nconnection: close` : block);
}
