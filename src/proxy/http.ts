import { isSallyportError, SallyportError } from '../core/errors.ts';
import type { AnswerHead } from './answer-head.ts';
import type { Call } from './call.ts';
import { Download, type DownloadSource } from './download.ts';
import type { Place, Waiter } from './http-pools.ts';
import type { Target } from './http-targets.ts';
import type { Seat } from './live-sessions.ts';
import type { LongAnswer } from './long-answers.ts';
import type { Outgoing, Wire } from './outgoing.ts';
import { CHALLENGE_MAX_BYTES, findField } from './proof.ts';
import { filterResponse } from './response-headers.ts';
import type { Upload } from './upload.ts';

/** Informational answers read of one service for one request; more are a flood. */
const INFORMATIONAL_MAX = 16;
const STATUS_MAX = 599;

/** What says nothing of the service: our own end. */
const SAYS_NOTHING = 'closing';

/** RFC 9110 §9.2.2, of the methods that we take. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);
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

/** One request under way to a service: what connection and client tell of it. */
class Forwarding implements Outgoing, Waiter, DownloadSource, LongAnswer {
  readonly isSocket = false;
  avoid: Target | undefined;
  readonly method: string;
  readonly target: string;
  lines: string;
  readonly upload: Upload | undefined;
  readonly contentLength: number;
  readonly headersMs: number;
  readonly bodyIdleMs: number;
  wire: Wire | undefined;
  seat: Seat | undefined;
  older: LongAnswer | undefined;
  newer: LongAnswer | undefined;
  isYoung = false;
  readonly call: Call;
  readonly #download: Download;
  /** Set while the request has a place. */
  #place: Place | undefined;
  /** The service may have got it. */
  #isStarted = false;
  /** Waiting for a place, then for the connection. */
  #startTimer: NodeJS.Timeout | undefined;
  #totalTimer: NodeJS.Timeout | undefined;
  #retries: number;
  #informational = 0;
  hasHead = false;
  /** Set while the body of a challenge is skipped: the request is sent again at its end. */
  #challengeBytes: number | undefined;
  /** Nothing more is wanted of the service. */
  #settled = false;

  constructor(call: Call) {
    const { exchange, upload, lines, target, service, timeouts } = call;
    const { method, contentLength } = exchange.context;
    this.call = call;
    this.method = method;
    this.target = target;
    this.lines = lines;
    this.upload = upload;
    this.contentLength = contentLength;
    this.headersMs = timeouts.headersMs;
    this.bodyIdleMs = timeouts.bodyIdleMs;
    this.#retries = IDEMPOTENT.has(method) ? service.service.retries : 0;
    this.#download = new Download(call, this);
  }

  start(): void {
    const { exchange, upload, timeouts } = this.call;
    this.#enter();
    if (this.#settled) return;
    exchange.onAbort = () => this.#dropClient(new SallyportError('bad_request', { detail: 'the client left' }));
    if (timeouts.totalMs !== undefined) {
      this.#totalTimer = setTimeout(() => this.#tooLate('the whole request'), timeouts.totalMs);
    }
    this.call.longAnswers.begin(this);
    if (upload === undefined) return;
    upload.onFail = (error) => this.#abort(error);
    if (upload.error !== undefined) this.#abort(upload.error);
  }

  /** A connection is free. */
  run(place: Place): void {
    clearTimeout(this.#startTimer);
    this.#place = place;
    const { lines, proofs, service, timeouts } = this.call;
    // Each sending has a proof of its own.
    if (proofs !== undefined) this.lines = `${lines}dpop: ${proofs.make(place.target.origin)}\r\n`;
    place.target.connections.send(this);
    // The connection has the deadline of the service's most patient route.
    if (timeouts.connectMs === service.connectMs) return;
    this.#startTimer = setTimeout(() => this.#refuse('service_connect_failed', 'connect timeout'), timeouts.connectMs);
  }

  fail(error: SallyportError): void {
    this.#abort(error);
  }

  onSessionEnd(): void {
    const { loginUrl } = this.call.asked.site;
    this.#abort(new SallyportError('authentication_required', { detail: 'the session has ended', loginUrl }));
  }

  onStart(): void {
    clearTimeout(this.#startTimer);
    this.#isStarted = true;
  }

  onHead(head: AnswerHead): void {
    const { status, fields } = head;
    if (status < 200) {
      this.#informational += 1;
      if (this.#informational > INFORMATIONAL_MAX)
        this.#refuse('service_bad_response', 'endless informational answers');
      return;
    }
    if (this.#isChallenged(head)) return;
    const filtered = filterResponse(fields, this.call.response);
    if ('problem' in filtered || status > STATUS_MAX) {
      this.#refuse('service_bad_response', 'problem' in filtered ? filtered.problem : `status ${status}`);
      return;
    }
    this.hasHead = true;
    this.#place?.report('answered');
    if (this.#download.begin(status, filtered, head.contentLength)) this.call.longAnswers.watch(this);
  }

  onData(part: Buffer): boolean {
    if (this.#challengeBytes === undefined) return this.#download.write(part);
    this.#skip(part.length);
    return true;
  }

  onEnd(): void {
    this.#release();
    if (this.#challengeBytes !== undefined) {
      this.#challengeBytes = undefined;
      this.#isStarted = false;
      setImmediate(() => this.#retry());
      return;
    }
    this.#settled = true;
    clearTimeout(this.#totalTimer);
    this.call.longAnswers.end(this);
    this.#download.end();
  }

  /** The service wants its nonce in the proof, and the request may be repeated: it has done nothing with it. */
  #isChallenged({ status, fields }: AnswerHead): boolean {
    const { proofs, exchange, upload } = this.call;
    if (proofs === undefined || this.#place === undefined) return false;
    const challenge = findField(fields, 'www-authenticate') ?? '';
    const answer = { status, nonce: findField(fields, 'dpop-nonce'), challenge };
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

  onFail(error: Error): void {
    const tells = (error as Error & { code?: unknown }).code !== SAYS_NOTHING && !(error instanceof TypeError);
    if (tells) this.#place?.report(this.#isStarted ? 'failed' : 'unreachable');
    this.avoid = this.#place?.target;
    this.#release();
    if (tells && this.#mayRetry()) {
      this.#retries -= 1;
      // The connection that failed is not put away yet.
      setImmediate(() => this.#retry());
    } else this.#abort(error);
  }

  /** Nothing was sent: there was no connection, and nobody has read of the body. */
  #mayRetry(): boolean {
    const { upload } = this.call;
    const isBodyWhole = upload === undefined || (!upload.isBegun && upload.error === undefined);
    return this.#retries > 0 && !this.#isStarted && isBodyWhole;
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
    const { service, timeouts } = this.call;
    service.enter(this);
    if (this.#place !== undefined || this.#settled) return;
    const { name } = service.service;
    this.#startTimer = setTimeout(() => {
      this.#abort(
        new SallyportError('service_unavailable', { detail: `no free connection to ${name}`, retryAfterS: 1 }),
      );
    }, timeouts.headersMs);
  }

  resume(): void {
    this.wire?.resume();
  }

  onStalled(error: Error): void {
    this.#dropClient(error);
  }

  /** The client left or takes nothing; the service may have finished long ago. */
  #dropClient(error: Error): void {
    this.#abort(error);
    this.#download.fail(error);
  }

  #tooLate(what: string): void {
    if (this.hasHead) this.#abort(new Error(`${what} took too long`));
    else this.#refuse('service_timeout', what);
  }

  /** The service is at fault. */
  #refuse(code: 'service_bad_response' | 'service_connect_failed' | 'service_timeout', what: string): void {
    this.#place?.report(code === 'service_connect_failed' ? 'unreachable' : 'failed');
    this.#abort(new SallyportError(code, { detail: `${this.call.service.service.name} ${what}` }));
  }

  /** End both sides once, whoever failed. */
  #abort(error: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#startTimer);
    clearTimeout(this.#totalTimer);
    this.call.longAnswers.end(this);
    const { service, upload } = this.call;
    service.leave(this);
    this.#place?.target.connections.abandon(this);
    this.#release();
    upload?.discard();
    this.#download.fail(classify(error, this.#isStarted, service.service.name));
  }

  #release(): void {
    const place = this.#place;
    this.#place = undefined;
    this.wire = undefined;
    place?.release();
  }
}

/** By code, never by message. Nothing of the service's words or address reaches the client (SECURITY §4.16). */
function classify(error: Error, started: boolean, service: string): Error {
  if (isSallyportError(error)) return error;
  const code = String((error as Error & { code?: unknown }).code ?? error.name);
  const options = { detail: `${service} ${code}`, cause: error };
  switch (code) {
    case 'headers_timeout':
    case 'body_timeout':
      return new SallyportError('service_timeout', options);
    case 'closing':
      return new SallyportError('service_unavailable', options);
    // Something that cannot be written: a defect of ours.
    case 'TypeError':
      return error;
  }
  return new SallyportError(started ? 'service_bad_response' : 'service_connect_failed', options);
}
