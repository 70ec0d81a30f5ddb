import { STATUS_CODES } from 'node:http';
import type { Dispatcher } from 'undici';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import type { Call } from './call.ts';
import { Download } from './download.ts';
import type { Target } from './http-pools.ts';
import { filterResponse } from './response-headers.ts';

/** Informational answers read of one service for one request; more are a flood. */
const INFORMATIONAL_MAX = 16;

/**
 * Send a request to its service and stream the answer back (D-33). Sends once: nothing is retried, no redirect is
 * followed. Whatever goes wrong before the head is written becomes a 502, 503 or 504; after it, the client's
 * connection is closed, because a cut answer must not look complete.
 * @throws `overloaded` if the service has no place left.
 */
export function forward(call: Call): void {
  new Forwarding(call, call.service.acquire()).start();
}

/** One request under way to a service: undici's handler, and what the client's side tells it. */
class Forwarding implements Dispatcher.DispatchHandler {
  readonly #call: Call;
  readonly #target: Target;
  readonly #download: Download;
  #controller: Dispatcher.DispatchController | undefined;
  #queueTimer: NodeJS.Timeout | undefined;
  #informational = 0;
  #settled = false;

  constructor(call: Call, target: Target) {
    this.#call = call;
    this.#target = target;
    this.#download = new Download(
      call,
      () => this.#controller?.resume(),
      (error) => this.#stall(error),
    );
  }

  start(): void {
    const { exchange, upload, headers, target, service } = this.#call;
    const { method, contentLength } = exchange.context;
    exchange.onAbort = () => this.#abort(new SallyportError('bad_request', { detail: 'the client left' }));
    upload?.on('error', (error) => this.#abort(error));
    if (contentLength > 0) headers.push('content-length', String(contentLength));
    const { headersMs } = service.service.timeouts;
    this.#queueTimer = setTimeout(() => {
      this.#abort(
        new SallyportError('service_unavailable', {
          detail: `${this.#target.origin} no free connection`,
          retryAfterS: 1,
        }),
      );
    }, headersMs);
    this.#target.pool.dispatch({ path: target, method, headers, body: upload ?? null, idempotent: false }, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    clearTimeout(this.#queueTimer);
    this.#controller = controller;
    if (this.#settled) controller.abort(new Error('no longer wanted'));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#settled) return;
    if (status < 200) {
      this.#informational += 1;
      if (this.#informational > INFORMATIONAL_MAX) this.#abort(badResponse('informational answers without end'));
      return;
    }
    const head = filterResponse(controller.rawHeaders as Buffer[], this.#call.response);
    if ('problem' in head || STATUS_CODES[status] === undefined) {
      this.#abort(badResponse('problem' in head ? head.problem : `status ${status}`));
      return;
    }
    this.#download.begin(status, head.fields, head.contentLength);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#settled && !this.#download.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    if (this.#settled) return;
    this.#settle(false);
    this.#download.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#abort(error);
  }

  /** The client takes nothing; the service may have finished long ago. */
  #stall(error: Error): void {
    this.#abort(error);
    this.#download.fail(error);
  }

  /** End both sides once, whoever failed. */
  #abort(error: Error): void {
    if (this.#settled) return;
    const started = this.#controller !== undefined;
    const problem = classify(error, started, this.#target.origin);
    this.#settle(problem instanceof SallyportError && problem.code === 'service_connect_failed');
    this.#controller?.abort(error);
    this.#call.upload?.discard();
    this.#download.fail(problem);
  }

  #settle(connectFailed: boolean): void {
    this.#settled = true;
    clearTimeout(this.#queueTimer);
    this.#call.service.release(this.#target, connectFailed);
  }
}

/** By code, never by message. Nothing of the service's words or address reaches the client (SECURITY §4.16). */
function classify(error: Error, started: boolean, origin: string): Error {
  if (isSallyportError(error)) return error;
  const code = String((error as Error & { code?: unknown }).code ?? error.name);
  const options = { detail: `${origin} ${code}`, cause: error };
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

function badResponse(detail: string): SallyportError {
  return new SallyportError('service_bad_response', { detail });
}
