import type { Dispatcher } from 'undici';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import type { Call } from './call.ts';
import { Download } from './download.ts';
import type { Target, Waiter } from './http-pools.ts';
import { filterResponse } from './response-headers.ts';

/** Informational answers read of one service for one request; more are a flood. */
const INFORMATIONAL_MAX = 16;
const STATUS_MAX = 599;

/**
 * Send a request to its service and stream the answer back (D-33). Sends once: nothing is retried, no redirect is
 * followed. Whatever goes wrong before the head is written becomes a 502, 503 or 504; after it, the client's
 * connection is closed, because a cut answer must not look complete.
 * @throws `overloaded` if the service has no place left.
 */
export function forward(call: Call): void {
  new Forwarding(call).start();
}

/** One request under way to a service: undici's handler, and what the client's side tells it. */
class Forwarding implements Dispatcher.DispatchHandler, Waiter {
  readonly #call: Call;
  readonly #download: Download;
  /** Set once the request has a place; undefined again when it gave the place back. */
  #target: Target | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #queueTimer: NodeJS.Timeout | undefined;
  #informational = 0;
  /** Nothing more is wanted of the service. */
  #settled = false;

  constructor(call: Call) {
    this.#call = call;
    this.#download = new Download(
      call,
      () => this.#controller?.resume(),
      (error) => this.#dropClient(error),
    );
  }

  start(): void {
    const { exchange, upload, service } = this.#call;
    service.enter(this);
    exchange.onAbort = () => this.#dropClient(new SallyportError('bad_request', { detail: 'the client left' }));
    upload?.on('error', (error) => this.#abort(error));
    if (this.#controller !== undefined || this.#settled) return;
    const { name, timeouts } = service.service;
    this.#queueTimer = setTimeout(() => {
      const options = { detail: `no free connection to ${name}`, retryAfterS: 1 };
      this.#abort(new SallyportError('service_unavailable', options));
    }, timeouts.headersMs);
  }

  /** A connection is free. */
  run(target: Target): void {
    this.#target = target;
    const { exchange, upload, headers, target: path } = this.#call;
    const { method, contentLength } = exchange.context;
    if (contentLength > 0) headers.push('content-length', String(contentLength));
    target.pool.dispatch({ path, method, headers, body: upload ?? null, idempotent: false }, this);
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
    if ('problem' in head || status > STATUS_MAX) {
      this.#abort(badResponse('problem' in head ? head.problem : `status ${status}`));
      return;
    }
    this.#download.begin(status, head.fields, head.contentLength);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#settled && !this.#download.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.#release(false);
    if (this.#settled) return;
    this.#settled = true;
    this.#download.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const isUnreachable = !this.#settled && this.#controller === undefined && !isSallyportError(error);
    this.#release(isUnreachable);
    this.#abort(error);
  }

  /** The client left or takes nothing; the service may have finished long ago. */
  #dropClient(error: Error): void {
    this.#abort(error);
    this.#download.fail(error);
  }

  /** End both sides once, whoever failed. */
  #abort(error: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#queueTimer);
    const { service, upload } = this.#call;
    service.leave(this);
    // Without a controller the request waits for its connection; `onRequestStart` ends it and gives the place back.
    this.#controller?.abort(error);
    upload?.discard();
    this.#download.fail(classify(error, this.#controller !== undefined, service.service.name));
  }

  #release(connectFailed: boolean): void {
    if (this.#target === undefined) return;
    this.#call.service.release(this.#target, connectFailed);
    this.#target = undefined;
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

function badResponse(detail: string): SallyportError {
  return new SallyportError('service_bad_response', { detail });
}
