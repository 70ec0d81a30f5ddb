import type { RawData, WebSocket } from 'ws';
import type { ClientSocket, SocketUser } from '../core/app-websocket.ts';
import type { Clock } from '../core/clock.ts';
import type { WebSocketSettings } from '../core/config/types-websocket.ts';
import { LIMITS } from '../core/limits.ts';
import { codeForClient, codeForService, SESSION_ENDED } from './websocket-codes.ts';

/** What a link needs to know. */
export type LinkOptions = {
  readonly settings: WebSocketSettings;
  readonly clock: Clock;
  /** The service's end, open. */
  readonly service: WebSocket;
  /** The client sent a message. */
  onActivity(): void;
  /** The client is gone. */
  onEnd(): void;
};

/** What is said to the client when all that waits for it has gone out. `code` 0 = a close frame without a code. */
type Goodbye = { readonly code: number; readonly reason: string; until: number };

/**
 * A client's WebSocket joined to a service's: messages whole and in order, back-pressure both ways (D-31), signs of
 * life, close codes. Control frames stay on their side: each side's pings are answered by us.
 */
export class Link implements SocketUser {
  readonly #options: LinkOptions;
  readonly #service: WebSocket;
  /** undefined before the upgrade, and once it is closed. */
  #client: ClientSocket | undefined;
  #goodbye: Goodbye | undefined;
  #isPaused = false;
  #clientHeardAt: number;
  #serviceHeardAt: number;
  #pingedAt = Number.NEGATIVE_INFINITY;

  constructor(options: LinkOptions) {
    const { service, clock } = options;
    this.#options = options;
    this.#service = service;
    this.#clientHeardAt = clock.now();
    this.#serviceHeardAt = this.#clientHeardAt;
    const heard = (): void => {
      this.#serviceHeardAt = clock.now();
    };
    service.on('message', (data, isBinary) => this.#toClient(data, isBinary));
    service.on('ping', heard);
    service.on('pong', heard);
    service.on('close', (code, reason) => this.#sayGoodbye(codeForClient(code), reason.toString('utf8')));
  }

  onOpen(client: ClientSocket): void {
    this.#client = client;
  }

  onMessage(message: ArrayBuffer, isBinary: boolean): void {
    this.#clientHeardAt = this.#options.clock.now();
    if (this.#goodbye !== undefined) return;
    if (message.byteLength > this.#options.settings.messageMaxBytes) {
      this.end(1009, 'the message is too large', 1009);
    } else if (this.#service.bufferedAmount > LIMITS.webSocketServiceBytes) {
      this.end(1013, 'the service does not keep up', 1013);
    } else {
      this.#options.onActivity();
      // The native memory is gone after this call: copy.
      this.#service.send(Buffer.from(new Uint8Array(message)), { binary: isBinary }, ignore);
    }
  }

  onDrain(): void {
    const client = this.#client;
    if (client === undefined) return;
    // Reading is a sign of life, too.
    this.#clientHeardAt = this.#options.clock.now();
    const waiting = client.getBufferedAmount();
    // As long as it reads it may read to the end; not beyond the session's.
    if (this.#goodbye !== undefined && this.#goodbye.code !== SESSION_ENDED) this.#goodbye.until = this.#goodbyeEnd();
    if (waiting === 0 && this.#goodbye !== undefined) this.#finish(client, this.#goodbye);
    else if (waiting <= LIMITS.webSocketClientBytes) this.#resume();
  }

  onSign(): void {
    this.#clientHeardAt = this.#options.clock.now();
  }

  onClose(code: number, reason: string): void {
    this.#client = undefined;
    this.#options.onEnd();
    if (this.#goodbye !== undefined) return;
    this.#goodbye = { code: 0, reason: '', until: 0 };
    const own = codeForService(code, reason);
    if (own === undefined) this.#service.terminate();
    else this.#closeService(own.code, own.reason);
  }

  onLeave(): void {
    this.end(1001, 'going away', 1001);
  }

  /** Close both sides. @param toService code for the service, without the reason. */
  end(code: number, reason: string, toService: number): void {
    if (this.#goodbye !== undefined) return;
    this.#sayGoodbye(code, reason);
    this.#closeService(toService, '');
  }

  /** Cut the connection to the service, without a word. */
  destroy(): void {
    this.#service.terminate();
  }

  /** Look at the time: goodbyes that take too long, sides that are silent, pings that are due. */
  tick(now: number): void {
    const client = this.#client;
    if (this.#goodbye !== undefined) {
      if (now >= this.#goodbye.until) client?.close();
      return;
    }
    const { idleMs } = this.#options.settings;
    // A paused service cannot be heard.
    const serviceHeardAt = this.#isPaused ? now : this.#serviceHeardAt;
    if (now - this.#clientHeardAt >= idleMs) client?.close();
    else if (now - serviceHeardAt >= idleMs) this.#service.terminate();
    else if (now - Math.min(this.#clientHeardAt, serviceHeardAt) >= idleMs / 2 && now - this.#pingedAt >= idleMs / 4) {
      this.#pingedAt = now;
      client?.ping();
      this.#service.ping(undefined, undefined, ignore);
    }
  }

  #toClient(data: RawData, isBinary: boolean): void {
    this.#serviceHeardAt = this.#options.clock.now();
    const client = this.#client;
    if (client === undefined || this.#goodbye !== undefined) return;
    client.send(data as Buffer, isBinary, false);
    if (this.#client === undefined || client.getBufferedAmount() <= LIMITS.webSocketClientBytes) return;
    this.#isPaused = true;
    this.#service.pause();
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#serviceHeardAt = this.#options.clock.now();
    this.#service.resume();
  }

  #sayGoodbye(code: number, reason: string): void {
    if (this.#goodbye !== undefined) return;
    const client = this.#client;
    this.#goodbye = { code, reason, until: this.#goodbyeEnd() };
    // Nothing more is forwarded, but what waits goes out first, as long as the client reads.
    if (client !== undefined && client.getBufferedAmount() === 0) this.#finish(client, this.#goodbye);
  }

  #goodbyeEnd(): number {
    return this.#options.clock.now() + LIMITS.webSocketGoodbyeMs;
  }

  #finish(client: ClientSocket, { code, reason }: Goodbye): void {
    if (code === 0) client.end();
    else client.end(code, reason);
  }

  #closeService(code: number, reason: string): void {
    // Its close frame must be read.
    this.#resume();
    if (code === 0) this.#service.close();
    else this.#service.close(code, reason);
  }
}

/** What cannot be sent is told by `close`. */
function ignore(): void {}
