import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { ServiceTimeouts } from '../core/config/types-service.ts';
import { SallyportError } from '../core/errors.ts';
import type { Outcome, Place, ServiceRuntime, Waiter } from './http-pools.ts';
import type { Target } from './http-targets.ts';
import type { RequestProofs } from './proof.ts';
import { tlsOptions } from './service-socket.ts';

/** A handshake to send to a service. */
export type Dial = {
  readonly service: ServiceRuntime;
  /** Of the route. */
  readonly timeouts: Pick<ServiceTimeouts, 'connectMs' | 'headersMs'>;
  /** Path and query, sent as they are. */
  readonly target: string;
  /** Names and values in turn, without any of the handshake itself. */
  readonly headers: readonly string[];
  /** Of a token that is bound to a key; undefined = it is not. */
  readonly proofs: RequestProofs | undefined;
  readonly subprotocols: readonly string[];
  /** Largest message that is read of the service. */
  readonly messageMaxBytes: number;
  /** The service accepted. Listeners must be set before this returns: messages may follow at once. */
  onOpen(socket: WebSocket): void;
  /** It did not, or could not be reached. */
  onFail(error: SallyportError): void;
};

type Failure = 'service_connect_failed' | 'service_bad_response' | 'service_timeout';

/**
 * Open a WebSocket to a service: a handshake of our own, without extensions (SECURITY §4.13), no redirect followed,
 * certificates verified. Where no connection comes about it is tried again, as often as `retries` of the service allow.
 * Exactly one of `onOpen` and `onFail` is called, unless it is given up before.
 * @returns gives it up.
 * @throws as ServiceRuntime.enter
 */
export function dial(call: Dial): () => void {
  const dialing = new Dialing(call);
  dialing.enter();
  return () => dialing.giveUp();
}

class Dialing implements Waiter {
  readonly isSocket = true;
  avoid: Target | undefined;
  readonly #call: Dial;
  #retries: number;
  #socket: WebSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isConnected = false;
  #isSettled = false;

  constructor(call: Dial) {
    this.#call = call;
    this.#retries = call.service.service.retries;
  }

  /** @throws as ServiceRuntime.enter */
  enter(): void {
    const { service, timeouts } = this.#call;
    service.enter(this);
    if (this.#socket !== undefined || this.#isSettled) return;
    // Its name is being resolved.
    this.#timer = setTimeout(() => {
      service.leave(this);
      this.fail(new SallyportError('service_unavailable', { detail: `no address of ${service.service.name}` }));
    }, timeouts.headersMs);
  }

  run(place: Place): void {
    clearTimeout(this.#timer);
    this.#isConnected = false;
    const { target, subprotocols, headers, proofs, messageMaxBytes, service, timeouts } = this.#call;
    const { origin, lookup } = place.target;
    const socket = new WebSocket(origin, [...subprotocols], {
      headers: fieldsOf(proofs === undefined ? headers : [...headers, 'dpop', proofs.make(origin)]),
      maxPayload: messageMaxBytes,
      perMessageDeflate: false,
      followRedirects: false,
      ...tlsOptions(service.service.tls),
      ...(lookup === undefined ? {} : { lookup }),
      finishRequest: (request) => send(request, target, origin, () => this.#connected(place)),
    });
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#fail(place, 'service_connect_failed', 'connect timeout'), timeouts.connectMs);
    socket.on('error', (error: Error & { code?: unknown }) => {
      // One that was given up tells of it later on.
      if (socket !== this.#socket) return;
      const code = this.#isConnected ? 'service_bad_response' : 'service_connect_failed';
      this.#fail(place, code, String(error.code ?? error.name));
    });
    socket.on('unexpected-response', (request, response) => {
      request.destroy();
      // It answered, though not what was hoped for.
      const isChallenged = this.#isChallenged(place, response);
      const cause = `answered the handshake with ${response.statusCode}`;
      this.#fail(place, 'service_bad_response', cause, 'answered', isChallenged);
    });
    socket.on('open', () => {
      place.report('answered');
      if (this.#settle()) this.#call.onOpen(socket);
    });
    socket.on('close', () => place.release());
  }

  fail(error: SallyportError): void {
    if (this.#settle()) this.#call.onFail(error);
  }

  giveUp(): void {
    this.#call.service.leave(this);
    if (this.#settle()) this.#socket?.terminate();
  }

  #connected(place: Place): void {
    this.#isConnected = true;
    clearTimeout(this.#timer);
    if (this.#isSettled) return;
    this.#timer = setTimeout(() => this.#fail(place, 'service_timeout', 'handshake'), this.#call.timeouts.headersMs);
  }

  #fail(place: Place, code: Failure, cause: string, outcome?: Outcome, isChallenged = false): void {
    if (this.#isSettled || this.#socket === undefined) return;
    const socket = this.#socket;
    this.#socket = undefined;
    clearTimeout(this.#timer);
    place.report(outcome ?? (this.#isConnected ? 'failed' : 'unreachable'));
    socket.terminate();
    this.avoid = place.target;
    const { service } = this.#call;
    if (isChallenged) {
      this.avoid = undefined;
      this.#retry();
    } else if (!this.#isConnected && this.#retries > 0) {
      this.#retries -= 1;
      this.#retry();
    } else this.fail(new SallyportError(code, { detail: `${service.service.name} ${cause}` }));
  }

  /** The service wants its nonce in the proof (RFC 9449 §9): the handshake is sent once more. */
  #isChallenged({ target: { origin } }: Place, { statusCode = 0, headers }: IncomingMessage): boolean {
    const nonce = headers['dpop-nonce'];
    const challenge = headers['www-authenticate'] ?? '';
    const { proofs } = this.#call;
    return (
      proofs?.learn(origin, { status: statusCode, nonce: typeof nonce === 'string' ? nonce : null, challenge }) === true
    );
  }

  #retry(): void {
    try {
      this.enter();
    } catch (error) {
      this.fail(error as SallyportError);
    }
  }

  /** @returns true the first time. */
  #settle(): boolean {
    clearTimeout(this.#timer);
    const isFirst = !this.#isSettled;
    this.#isSettled = true;
    return isFirst;
  }
}

/** The client would send the path as the URL parser writes it; what was authorized is what is sent. */
function send(request: ClientRequest, target: string, origin: string, onConnect: () => void): void {
  request.path = target;
  request.once('socket', (socket: Socket) => {
    socket.once(origin.startsWith('https:') ? 'secureConnect' : 'connect', onConnect);
  });
  request.end();
}

function fieldsOf(headers: readonly string[]): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {};
  for (let i = 0; i < headers.length; i += 2) {
    const [name, value] = [headers[i] as string, headers[i + 1] as string];
    const known = fields[name];
    fields[name] = known === undefined ? value : [...(Array.isArray(known) ? known : [known]), value];
  }
  return fields;
}
