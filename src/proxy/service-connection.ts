import type { Socket } from 'node:net';
import type { AnswerHead } from './answer-head.ts';
import { AnswerError } from './answer-problem.ts';
import { AnswerReader } from './answer-reader.ts';
import { type Outgoing, requestHead, type Wire } from './outgoing.ts';
import type { SocketOpener } from './service-socket.ts';
import type { Ticking, Ticks } from './ticks.ts';
import type { BodySink } from './upload.ts';

const NEVER = Number.POSITIVE_INFINITY;
/** A service that does not say how long it leaves an unused connection open is trusted for this long. */
const IDLE_MS = 4_000;
const IDLE_MAX_MS = 600_000;
/** A connection is given up that much before its service does: a request that crosses its end is lost. */
const IDLE_MARGIN_MS = 2_000;
/** RFC 9110 §9.3: a body means something with these. */
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** What connections to one address share. */
export type ConnectionSettings = {
  readonly opener: SocketOpener;
  readonly ticks: Ticks;
  /** Deadline of connecting. */
  readonly connectMs: number;
  /** It can take another request. */
  onFree(connection: ServiceConnection): void;
  /** It is of no use any more. Once. */
  onGone(connection: ServiceConnection): void;
};

/**
 * One HTTP/1.1 connection to a service: one request after the other, never two at once. It is used again only after an
 * answer that ends where nobody can doubt it, to a request that was sent whole (RFC 9112 §9.3, §9.6).
 */
export class ServiceConnection implements Ticking, BodySink, Wire {
  readonly #settings: ConnectionSettings;
  readonly #socket: Socket;
  readonly #reader: AnswerReader;
  #request: Outgoing | undefined;
  #isOpen = false;
  #isGone = false;
  /** In ticks; of whatever is waited for. */
  #deadline: number;
  #hasHead = false;
  #isAnswered = false;
  #isReusable = true;
  #isPaused = false;
  /** What came while it was paused: TLS hands over everything that it has decrypted. */
  #held: Buffer[] = [];
  /** How it ended, behind what is held. */
  #whenRead: (() => void) | undefined;
  #idleMs = IDLE_MS;
  /** The request's head, while it waits for the first part of the body. */
  #head = '';
  #isSending = false;
  /** Declared length that is not written yet; -1 = chunks. */
  #bodyLeft = 0;

  /** Connect, and send the first request then. */
  constructor(settings: ConnectionSettings, first: Outgoing) {
    this.#settings = settings;
    this.#request = first;
    first.wire = this;
    this.#deadline = settings.ticks.after(settings.connectMs);
    this.#reader = new AnswerReader({
      onHead: (head) => this.#onHead(head),
      onData: (part) => this.#onData(part),
      onEnd: () => this.#onEnd(),
    });
    this.#socket = settings.opener.open({
      onOpen: () => this.#onOpen(first),
      onBytes: (bytes) => this.#onBytes(bytes),
      onPeerEnd: () => this.#afterHeld(() => this.#onPeerEnd()),
      onError: (error) => this.#afterHeld(() => this.#end(error)),
      onClose: () => this.#afterHeld(() => this.#end(new AnswerError('cut'))),
    });
    settings.ticks.add(this);
  }

  /** Send a request. Only while the connection is free. */
  send(request: Outgoing): void {
    this.#request = request;
    request.wire = this;
    const { method, upload } = request;
    const takesBody = WITH_BODY.has(method);
    // Services disagree on bodies of other methods, and some send one in answer to HEAD.
    this.#isReusable = method !== 'HEAD' && (takesBody || upload === undefined);
    let head: string;
    try {
      head = requestHead(request, this.#settings.opener.host, this.#isReusable);
    } catch (error) {
      this.#end(error as Error);
      return;
    }
    request.onStart();
    if (this.#request !== request) return;
    this.#hasHead = false;
    this.#reader.expect(method === 'HEAD');
    this.#deadline = this.#settings.ticks.after(request.headersMs);
    if (upload !== undefined) this.#beginBody(request, head);
    else this.#socket.write(takesBody ? `${head}content-length: 0\r\n\r\n` : `${head}\r\n`, 'latin1');
  }

  /** What was sent cannot be taken back. */
  abandon(): void {
    this.#end(undefined);
  }

  resume(): void {
    if (!this.#isPaused || this.#isGone) return;
    this.#isPaused = false;
    if (this.#request !== undefined) this.#deadline = this.#settings.ticks.after(this.#request.bodyIdleMs);
    for (let next = this.#held.shift(); next !== undefined; next = this.#held.shift()) {
      if (!this.#read(next)) return;
    }
    if (this.#whenRead === undefined) this.#socket.resume();
    else this.#whenRead();
  }

  /** End it; a request under way fails. Resolves when the socket is closed. */
  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#socket.once('close', () => resolve()));
    this.#end(new AnswerError('closing'));
    return closed;
  }

  onTick(now: number): void {
    if (now < this.#deadline) return;
    if (this.#request === undefined) this.#end(undefined);
    else if (!this.#isOpen) this.#end(new AnswerError('connect_timeout'));
    else this.#end(new AnswerError(this.#hasHead ? 'body_timeout' : 'headers_timeout'));
  }

  write(part: Buffer, done: (error?: Error | null) => void): boolean {
    if (!this.#isSending) return false;
    const socket = this.#socket;
    const isChunked = this.#bodyLeft === -1;
    if (!isChunked && part.length > this.#bodyLeft) {
      this.#end(new AnswerError('malformed', 'a longer body than was declared'));
      return false;
    }
    socket.cork();
    const size = isChunked ? `${part.length.toString(16)}\r\n` : '';
    if (this.#head + size !== '') socket.write(this.#head + size, 'latin1');
    this.#head = '';
    if (!isChunked) this.#bodyLeft -= part.length;
    socket.write(part, done);
    if (isChunked) socket.write('\r\n', 'latin1');
    socket.uncork();
    const isTaken = socket.writableLength === 0;
    this.#waitForBody(!isTaken);
    return isTaken;
  }

  drained(): void {
    if (this.#isSending) this.#waitForBody(false);
  }

  finish(): void {
    if (!this.#isSending) return;
    if (this.#bodyLeft > 0) {
      this.#end(new AnswerError('malformed', 'a shorter body than was declared'));
      return;
    }
    this.#isSending = false;
    const last = this.#head + (this.#bodyLeft === -1 ? '0\r\n\r\n' : '');
    this.#head = '';
    if (last !== '') this.#socket.write(last, 'latin1');
    this.#waitForBody(true);
  }

  /** The service has its deadline while it is to take something or to answer; whoever sends has one of its own. */
  #waitForBody(isServicesTurn: boolean): void {
    if (this.#hasHead || this.#request === undefined) return;
    this.#deadline = isServicesTurn ? this.#settings.ticks.after(this.#request.headersMs) : NEVER;
  }

  #beginBody({ upload, contentLength }: Outgoing, head: string): void {
    const framing = contentLength === -1 ? 'transfer-encoding: chunked' : `content-length: ${contentLength}`;
    this.#head = `${head}${framing}\r\n\r\n`;
    this.#bodyLeft = contentLength;
    this.#isSending = true;
    upload?.pipe(this);
  }

  #onOpen(first: Outgoing): void {
    this.#isOpen = true;
    if (this.#request === first) this.send(first);
  }

  #onBytes(bytes: Buffer): boolean {
    if (this.#isGone) return false;
    if (!this.#isPaused) return this.#read(bytes);
    this.#held.push(Buffer.from(bytes));
    return false;
  }

  /** What came before the end of a connection is still to be read. */
  #afterHeld(end: () => void): void {
    if (this.#held.length === 0) end();
    else this.#whenRead ??= end;
  }

  /** @returns false if no more is to be read for now. */
  #read(bytes: Buffer): boolean {
    try {
      // Bytes that nobody asked for could pass for the answer to the next request.
      if (!this.#reader.read(bytes)) this.#end(undefined);
      else if (this.#isAnswered) this.#settle();
    } catch (error) {
      this.#end(error as Error);
    }
    return !this.#isPaused && !this.#isGone;
  }

  #onHead(head: AnswerHead): void {
    const request = this.#request as Outgoing;
    const { status, contentLength, isChunked, keepAliveMs } = head;
    if (status < 200) {
      // We ask for neither.
      if (status < 102) throw new AnswerError('malformed', `status ${status}`);
      this.#deadline = this.#settings.ticks.after(request.headersMs);
    } else {
      this.#hasHead = true;
      this.#deadline = this.#settings.ticks.after(request.bodyIdleMs);
      const hasBody = isChunked || contentLength > 0;
      const isBodiless = status === 204 || status === 304;
      const isEndless = !isBodiless && !isChunked && contentLength === -1;
      this.#idleMs = keepAliveMs === -1 ? IDLE_MS : Math.min(keepAliveMs - IDLE_MARGIN_MS, IDLE_MAX_MS);
      if (!head.keepsAlive || isEndless || (isBodiless && hasBody) || this.#idleMs <= 0) this.#isReusable = false;
    }
    request.onHead(head);
  }

  #onData(part: Buffer): void {
    const request = this.#request as Outgoing;
    const goesOn = request.onData(part);
    if (this.#request !== request) return;
    if (!goesOn) this.#isPaused = true;
    this.#deadline = this.#isPaused ? NEVER : this.#settings.ticks.after(request.bodyIdleMs);
  }

  #onEnd(): void {
    const request = this.#request as Outgoing;
    this.#request = undefined;
    this.#isAnswered = true;
    request.onEnd();
  }

  /** The answer is complete, and nothing came behind it. */
  #settle(): void {
    this.#isAnswered = false;
    if (!this.#isReusable || this.#isSending || this.#held.length > 0 || this.#socket.writableLength > 0) {
      this.#end(undefined);
      return;
    }
    this.#isPaused = false;
    this.#deadline = this.#settings.ticks.after(this.#idleMs);
    this.#settings.onFree(this);
  }

  #onPeerEnd(): void {
    if (this.#isGone) return;
    try {
      this.#end(this.#request === undefined || this.#reader.end() ? undefined : new AnswerError('cut'));
    } catch (error) {
      this.#end(error as Error);
    }
  }

  /** @param error what the request under way fails with; undefined = there is none, or nobody wants it. */
  #end(error: Error | undefined): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const request = this.#request;
    this.#request = undefined;
    this.#isSending = false;
    this.#reader.stop();
    this.#settings.ticks.remove(this);
    this.#socket.destroy();
    this.#settings.onGone(this);
    if (error !== undefined) request?.onFail(error);
  }
}
