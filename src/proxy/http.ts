import type { Dispatcher } from 'undici';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import type { Call } from './call.ts';
import { Download } from './download.ts';
import type { Place, Waiter } from './http-pools.ts';
import type { Target } from './http-targets.ts';
import { CHALLENGE_MAX_BYTES, findField } from './proof.ts';
import { filterResponse } from './response-headers.ts';

/** Informational answers read of one service for one request; more are a flood. */
const INFORMATIONAL_MAX = 16;
const STATUS_MAX = 599;

/** RFC 9110 §9.2.2, of the methods that we take. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);
/** What undici fails with that says nothing of the service: our mistake, our end, or the client's. */
const NOT_THE_SERVICE: ReadonlySet<unknown> = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_DESTROYED',
  'UND_ERR_CLOSED',
  'UND_ERR_ABORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
]);

/**
 * Send a request to its service and stream the answer back (D-33). A request of which nothing was sent may be tried
 * again, as often as `retries` allows; nothing is sent twice, and no redirect is followed. Whatever goes wrong
 * before the head is written becomes a 502, 503 or 504; after it, the client's connection is closed, because a cut
 * answer must not look complete.
 * @throws `overloaded`, `service_unavailable`, `service_connect_failed` if the service has no place.
 */
export function forward(call: Call): void {
  new Forwarding(call).start();
}

/** One request under way to a service: undici's handler, and what the client's side tells it. */
class Forwarding implements Dispatcher.DispatchHandler, Waiter {
  readonly isSocket = false;
  avoid: Target | undefined;
  readonly #call: Call;
  readonly #download: Download;
  /** Set while the request has a place. */
  #place: Place | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  /** Waiting for a place, then for the connection. */
  #startTimer: NodeJS.Timeout | undefined;
  #totalTimer: NodeJS.Timeout | undefined;
  #retries: number;
  #informational = 0;
  #hasHead = false;
  /** Set while the body of a challenge is skipped: the request is sent again at its end. */
  #challengeBytes: number | undefined;
  /** Nothing more is wanted of the service. */
  #settled = false;

  constructor(call: Call) {
    this.#call = call;
    this.#retries = IDEMPOTENT.has(call.exchange.context.method) ? call.service.service.retries : 0;
    this.#download = new Download(
      call,
      () => this.#controller?.resume(),
      (error) => this.#dropClient(error),
    );
  }

  start(): void {
    const { exchange, upload, headers, timeouts } = this.#call;
    const { contentLength } = exchange.context;
    if (contentLength > 0) headers.push('content-length', String(contentLength));
    this.#enter();
    if (this.#settled) return;
    exchange.onAbort = () => this.#dropClient(new SallyportError('bad_request', { detail: 'the client left' }));
    upload?.on('error', (error) => this.#abort(error));
    if (timeouts.totalMs === undefined) return;
    this.#totalTimer = setTimeout(() => this.#tooLate('the whole request'), timeouts.totalMs);
  }

  /** A connection is free. */
  run(place: Place): void {
    clearTimeout(this.#startTimer);
    this.#place = place;
    const { exchange, upload, target: path, timeouts } = this.#call;
    const headers = this.#headersFor(place);
    const { headersMs: headersTimeout, bodyIdleMs: bodyTimeout, connectMs } = timeouts;
    const { pool } = place.target;
    const { method } = exchange.context;
    pool.dispatch(
      { path, method, headers, body: upload ?? null, idempotent: false, headersTimeout, bodyTimeout },
      this,
    );
    // The pool has the deadline of the service's most patient route.
    if (this.#controller === undefined && !this.#settled && timeouts.connectMs !== this.#call.service.connectMs) {
      this.#startTimer = setTimeout(() => this.#refuse('service_connect_failed', 'connect timeout'), connectMs);
    }
  }

  /** Each sending has a proof of its own. */
  #headersFor({ target: { origin } }: Place): string[] {
    const { headers, proofs } = this.#call;
    return proofs === undefined ? headers : [...headers, 'dpop', proofs.make(origin)];
  }

  fail(error: SallyportError): void {
    this.#abort(error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    clearTimeout(this.#startTimer);
    this.#controller = controller;
    if (this.#settled) controller.abort(new Error('no longer wanted'));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#settled) return;
    if (status < 200) {
      this.#informational += 1;
      if (this.#informational > INFORMATIONAL_MAX)
        this.#refuse('service_bad_response', 'endless informational answers');
      return;
    }
    if (this.#isChallenged(controller, status)) return;
    const head = filterResponse(controller.rawHeaders as Buffer[], this.#call.response);
    if ('problem' in head || status > STATUS_MAX) {
      this.#refuse('service_bad_response', 'problem' in head ? head.problem : `status ${status}`);
      return;
    }
    this.#hasHead = true;
    this.#place?.report('answered');
    this.#download.begin(status, head.fields, head.contentLength);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled) return;
    if (this.#challengeBytes !== undefined) this.#skip(chunk.length);
    else if (!this.#download.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.#release();
    if (this.#settled) return;
    if (this.#challengeBytes !== undefined) {
      this.#challengeBytes = undefined;
      this.#controller = undefined;
      setImmediate(() => this.#retry());
      return;
    }
    this.#settled = true;
    clearTimeout(this.#totalTimer);
    this.#download.end();
  }

  /** The service wants its nonce in the proof, and the request may be repeated: it has done nothing with it. */
  #isChallenged({ rawHeaders }: Dispatcher.DispatchController, status: number): boolean {
    const { proofs, exchange, upload } = this.#call;
    if (proofs === undefined || this.#place === undefined) return false;
    const raw = rawHeaders as Buffer[];
    const challenge = findField(raw, 'www-authenticate') ?? '';
    const answer = { status, nonce: findField(raw, 'dpop-nonce'), challenge };
    const isWanted = proofs.learn(this.#place.target.origin, answer);
    if (!isWanted || upload !== undefined || !IDEMPOTENT.has(exchange.context.method)) return false;
    this.#place.report('answered');
    this.#challengeBytes = 0;
    return true;
  }

  #skip(bytes: number): void {
    this.#challengeBytes = (this.#challengeBytes ?? 0) + bytes;
    if (this.#challengeBytes > CHALLENGE_MAX_BYTES) this.#refuse('service_bad_response', 'endless challenge');
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error & { code?: unknown }): void {
    const tells = !this.#settled && !isSallyportError(error) && !NOT_THE_SERVICE.has(error.code);
    if (tells) this.#place?.report(this.#controller === undefined ? 'unreachable' : 'failed');
    this.avoid = this.#place?.target;
    this.#release();
    if (tells && this.#mayRetry()) {
      this.#retries -= 1;
      // undici is still busy with the connection that failed.
      setImmediate(() => this.#retry());
    } else this.#abort(error);
  }

  /** Nothing was sent: there was no connection, and nobody has read of the body. */
  #mayRetry(): boolean {
    const { upload } = this.#call;
    const isBodyWhole = upload === undefined || (!upload.readableDidRead && !upload.destroyed);
    return this.#retries > 0 && this.#controller === undefined && isBodyWhole;
  }

  #retry(): void {
    if (this.#settled) return;
    try {
      this.#enter();
    } catch (error) {
      this.#abort(error as Error);
    }
  }

  #enter(): void {
    const { service, timeouts } = this.#call;
    service.enter(this);
    if (this.#place !== undefined || this.#settled) return;
    const { name } = service.service;
    this.#startTimer = setTimeout(() => {
      this.#abort(
        new SallyportError('service_unavailable', { detail: `no free connection to ${name}`, retryAfterS: 1 }),
      );
    }, timeouts.headersMs);
  }

  /** The client left or takes nothing; the service may have finished long ago. */
  #dropClient(error: Error): void {
    this.#abort(error);
    this.#download.fail(error);
  }

  #tooLate(what: string): void {
    if (this.#hasHead) this.#abort(new Error(`${what} took too long`));
    else this.#refuse('service_timeout', what);
  }

  /** The service is at fault. */
  #refuse(code: 'service_bad_response' | 'service_connect_failed' | 'service_timeout', what: string): void {
    this.#place?.report(code === 'service_connect_failed' ? 'unreachable' : 'failed');
    this.#abort(new SallyportError(code, { detail: `${this.#call.service.service.name} ${what}` }));
  }

  /** End both sides once, whoever failed. */
  #abort(error: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#startTimer);
    clearTimeout(this.#totalTimer);
    const { service, upload } = this.#call;
    service.leave(this);
    // Without a controller the request waits for its connection; `onRequestStart` ends it and gives the place back.
    this.#controller?.abort(error);
    upload?.discard();
    this.#download.fail(classify(error, this.#controller !== undefined, service.service.name));
  }

  #release(): void {
    const place = this.#place;
    this.#place = undefined;
    place?.release();
  }
}

/** By code, never by message. Nothing of the service's words or address reaches the client (SECURITY §4.16). */
function classify(error: Error, started: boolean, service: string): Error {
  if (isSallyportError(error)) return error;
  const code = String((error as Error & { code?: unknown }).code ?? error.name);
  const options = { detail: `${service} ${code}`, cause: error };
  switch (code) {
    case 'UND_ERR_INVALID_ARG':
      return error;
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return new SallyportError('service_timeout', options);
    case 'UND_ERR_DESTROYED':
    case 'UND_ERR_CLOSED':
      return new SallyportError('service_unavailable', options);
  }
  return new SallyportError(started ? 'service_bad_response' : 'service_connect_failed', options);
}
