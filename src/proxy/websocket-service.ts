import type { ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Service } from '../core/config/types.ts';
import { SallyportError } from '../core/errors.ts';
import { tlsOptions } from './http-pools.ts';

/** A handshake to send to a service. */
export type Dial = {
  readonly service: Service;
  /** One of the service's URLs. */
  readonly origin: string;
  /** Path and query, sent as they are. */
  readonly target: string;
  /** Names and values in turn, without any of the handshake itself. */
  readonly headers: readonly string[];
  readonly subprotocols: readonly string[];
  /** Largest message that is read of the service. */
  readonly messageMaxBytes: number;
  /** The service accepted. Listeners must be set before this returns: messages may follow at once. */
  onOpen(socket: WebSocket): void;
  /** It did not, or could not be reached. */
  onFail(error: SallyportError): void;
};

/**
 * Open a WebSocket to a service: a handshake of our own, without extensions (SECURITY §4.13), no redirect followed,
 * certificates verified. Exactly one of `onOpen` and `onFail` is called, unless it is given up before.
 * @returns gives it up.
 */
export function dial(call: Dial): () => void {
  const { service, origin, headers, subprotocols, messageMaxBytes } = call;
  const { connectMs, headersMs } = service.timeouts;
  let isSettled = false;
  let isConnected = false;
  const settle = (): boolean => {
    clearTimeout(timer);
    const isFirst = !isSettled;
    isSettled = true;
    return isFirst;
  };
  const fail = (code: 'service_connect_failed' | 'service_bad_response' | 'service_timeout', cause: string): void => {
    if (!settle()) return;
    socket.terminate();
    call.onFail(new SallyportError(code, { detail: `${service.name} ${cause}` }));
  };
  const onConnect = (): void => {
    isConnected = true;
    clearTimeout(timer);
    if (!isSettled) timer = setTimeout(() => fail('service_timeout', 'handshake'), headersMs);
  };
  const socket = new WebSocket(origin, [...subprotocols], {
    headers: fieldsOf(headers),
    maxPayload: messageMaxBytes,
    perMessageDeflate: false,
    followRedirects: false,
    rejectUnauthorized: true,
    ...tlsOptions(service.tls),
    finishRequest: (request) => send(request, call, onConnect),
  });
  let timer = setTimeout(() => fail('service_connect_failed', 'connect timeout'), connectMs);
  socket.on('error', (error: Error & { code?: unknown }) => {
    fail(isConnected ? 'service_bad_response' : 'service_connect_failed', String(error.code ?? error.name));
  });
  socket.on('unexpected-response', (request, response) => {
    request.destroy();
    fail('service_bad_response', `answered the handshake with ${response.statusCode}`);
  });
  socket.on('open', () => {
    if (settle()) call.onOpen(socket);
  });
  return () => {
    if (settle()) socket.terminate();
  };
}

/** The client would send the path as the URL parser writes it; what was authorized is what is sent. */
function send(request: ClientRequest, { target, origin }: Dial, onConnect: () => void): void {
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
