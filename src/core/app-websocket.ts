import type { WebSocket, WebSocketBehavior } from 'uWebSockets.js';
import type { Flight } from './app-exchange.ts';
import type { Config } from './config/types.ts';

/** Open WebSockets of a listener, each by its user. */
export type OpenSockets = Map<SocketUser, Pick<WebSocket<SocketData>, 'cork'>>;

/** The client's end of an open WebSocket. Not to be used after `onClose` of its user. */
export type ClientSocket = Pick<WebSocket<unknown>, 'send' | 'end' | 'close' | 'ping' | 'getBufferedAmount'>;

/** Who an open WebSocket belongs to. None of these may throw. */
export type SocketUser = {
  onOpen(socket: ClientSocket): void;
  /** @param message valid during the call only: copy it. */
  onMessage(message: ArrayBuffer, isBinary: boolean): void;
  /** Some of what was waiting for the client has gone out. */
  onDrain(): void;
  /** The client sent a ping or pong; pings are answered already. */
  onSign(): void;
  /** @param code 1005 = none given, 1006 = no closing handshake; `reason` then says what the parser met. */
  onClose(code: number, reason: string): void;
  /** The process ends: say goodbye. */
  onLeave(): void;
};

/** What the native side keeps of a socket. Its members are copied: the user stays one object. */
export type SocketData = { readonly user: SocketUser; readonly flight: Flight };

/** Native bounds, for all sockets of a listener; routes have their own below them. */
export type SocketBounds = { readonly messageMaxBytes: number; readonly idleS: number };

/**
 * The native side ends a socket at this age, whatever happens (SECURITY §3). It counts modulo 240: that many minutes,
 * or 4 s ticks of idle time, would be none at all.
 */
const LIFETIME_MAX_MINUTES = 239;
/** What may wait for a client beyond one message: the data path pauses the service long before. */
const BACKPRESSURE_SLACK_BYTES = 2_097_152;
const [IDLE_MIN_S, IDLE_MAX_S] = [8, 952];

/**
 * Bounds for the routes of a configuration. The native side cuts the connection of a message above its bound without a
 * word, so it is twice that of the routes: messages in between get their 1009 from the data path.
 */
export function socketBounds({ routes }: Pick<Config, 'routes'>): SocketBounds {
  const settings = routes.flatMap(({ webSocket }) => (webSocket === undefined ? [] : [webSocket]));
  const messageMaxBytes = 2 * Math.max(0, ...settings.map((one) => one.messageMaxBytes));
  const idleS = Math.ceil(Math.max(0, ...settings.map((one) => one.idleMs)) / 1000) + 8;
  return { messageMaxBytes, idleS: Math.min(IDLE_MAX_S, Math.max(IDLE_MIN_S, idleS)) };
}

/**
 * The native behaviour of open sockets (D-30, D-31): no compression, pings left to the data path, nothing dropped in
 * silence.
 * @param sockets holds all open sockets.
 * @param onDefect told about whatever a user threw; its socket is closed.
 */
export function socketBehaviour(
  bounds: SocketBounds,
  sockets: OpenSockets,
  onDefect: (error: unknown) => void,
): WebSocketBehavior<SocketData> {
  const run = (socket: WebSocket<SocketData>, act: (user: SocketUser) => void): void => {
    try {
      act(socket.getUserData().user);
    } catch (error) {
      onDefect(error);
      socket.close();
    }
  };
  return {
    maxPayloadLength: bounds.messageMaxBytes,
    maxBackpressure: bounds.messageMaxBytes + BACKPRESSURE_SLACK_BYTES,
    closeOnBackpressureLimit: true,
    idleTimeout: bounds.idleS,
    maxLifetime: LIFETIME_MAX_MINUTES,
    sendPingsAutomatically: false,
    open(socket) {
      const { user, flight } = socket.getUserData();
      flight.count += 1;
      sockets.set(user, socket);
      run(socket, () => user.onOpen(socket));
    },
    message: (socket, message, isBinary) => run(socket, (user) => user.onMessage(message, isBinary)),
    drain: (socket) => run(socket, (user) => user.onDrain()),
    ping: (socket) => run(socket, (user) => user.onSign()),
    pong: (socket) => run(socket, (user) => user.onSign()),
    close(socket, code, message) {
      const { user, flight } = socket.getUserData();
      flight.count -= 1;
      sockets.delete(user);
      try {
        user.onClose(code, Buffer.from(message).toString('utf8'));
      } catch (error) {
        onDefect(error);
      }
    },
  };
}
