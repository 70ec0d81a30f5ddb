import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { parseAddress } from './address.ts';
import { LIMITS } from './limits.ts';

/** One connection and what it did lately. */
type Connection = {
  readonly session: ServerHttp2Session;
  readonly peer: Uint8Array;
  /** Open streams and when they began, oldest first. */
  readonly streams: Map<ServerHttp2Stream, number>;
  /** When the last stream began, or the connection. */
  lastUsedAt: number;
  hasStreamed: boolean;
  /** Counts of the second that runs. */
  pings: number;
  settings: number;
  opened: number;
  /** Bytes received before it. */
  bytesBefore: number;
};

const SWEEP_MS = 1_000;
const CANCEL = 8;
/** RFC 9113 §7: the peer behaves in a way that may cause excessive load. */
const ENHANCE_YOUR_CALM = 11;
/** RFC 9113 §6.9.2 */
const FIRST_WINDOW_BYTES = 65_535;
const NO_ADDRESS = new Uint8Array(4);

/**
 * Bounds of HTTP/2 connections that node:http2 does not have: PING and SETTINGS frames and bytes in a second, streams
 * that nobody reads, idle time. Resets, header lists, CONTINUATION frames and memory are node's and nghttp2's own,
 * set by options. Who goes above a bound loses that one connection.
 */
export class Http2Guard {
  readonly #connections = new Map<ServerHttp2Session, Connection>();
  readonly #hot: { connections: number };
  readonly #bytesPerStream: number;
  readonly #sweeper: NodeJS.Timeout;
  #isDraining = false;

  /** @param hot counts connections of the process. @param headerBytes of one request. */
  constructor(hot: { connections: number }, headerBytes: number) {
    this.#hot = hot;
    this.#bytesPerStream = headerBytes + FIRST_WINDOW_BYTES;
    this.#sweeper = setInterval(() => this.sweep(performance.now()), SWEEP_MS);
    this.#sweeper.unref();
  }

  /** Open connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** Watch a new connection until it is closed. */
  admit(session: ServerHttp2Session): void {
    const connection: Connection = {
      session,
      peer: parseAddress(session.socket.remoteAddress ?? '') ?? NO_ADDRESS,
      streams: new Map(),
      lastUsedAt: performance.now(),
      hasStreamed: false,
      pings: 0,
      settings: 0,
      opened: 0,
      bytesBefore: 0,
    };
    this.#connections.set(session, connection);
    this.#hot.connections += 1;
    session.on('close', () => {
      this.#connections.delete(session);
      this.#hot.connections -= 1;
    });
    session.on('ping', () => {
      connection.pings += 1;
      if (connection.pings > LIMITS.http2PingsPerSecond) calm(connection);
    });
    session.on('remoteSettings', () => {
      connection.settings += 1;
      if (connection.settings > LIMITS.http2SettingsPerSecond) calm(connection);
    });
    // A broken connection has no further story: its streams are told, and `close` follows.
    session.on('error', () => undefined);
    if (this.#isDraining) endGracefully(connection);
  }

  /** Address of a stream's peer; undefined once its connection is gone. */
  peerOf({ session }: ServerHttp2Stream): Uint8Array | undefined {
    return session === undefined ? undefined : this.#connections.get(session as ServerHttp2Session)?.peer;
  }

  /** Watch a new stream. @param onClose runs once, however the stream ends. */
  track(stream: ServerHttp2Stream, onClose: () => void): void {
    const connection = this.#connections.get(stream.session as ServerHttp2Session);
    if (connection === undefined) return;
    const now = performance.now();
    connection.streams.set(stream, now);
    connection.lastUsedAt = now;
    connection.hasStreamed = true;
    connection.opened += 1;
    // Resets come as errors; `close` follows each.
    stream.on('error', () => undefined);
    stream.on('close', () => {
      connection.streams.delete(stream);
      onClose();
    });
  }

  /**
   * End what is idle, unread or too busy, and begin a new second. Runs by itself once a second.
   * @param now monotonic ms, of `performance.now`.
   */
  sweep(now: number): void {
    for (const connection of [...this.#connections.values()]) {
      const received = bytesReceived(connection);
      const allowed = connection.opened * this.#bytesPerStream + LIMITS.http2BytesPerSecond;
      if (received - connection.bytesBefore > allowed) calm(connection);
      connection.bytesBefore = received;
      connection.pings = 0;
      connection.settings = 0;
      connection.opened = 0;
      endStalled(connection, now);
      const idleMs = connection.hasStreamed ? LIMITS.http2IdleMs : LIMITS.http2FirstStreamMs;
      if (connection.streams.size === 0 && now - connection.lastUsedAt > idleMs) endGracefully(connection);
    }
  }

  /** Take no new streams and say so; each connection closes when its last stream is done. */
  drain(): void {
    this.#isDraining = true;
    for (const connection of [...this.#connections.values()]) endGracefully(connection);
  }

  /** End every connection now. */
  close(): void {
    clearInterval(this.#sweeper);
    for (const { session } of [...this.#connections.values()]) session.destroy();
  }
}

function bytesReceived({ session }: Connection): number {
  return session.destroyed ? 0 : session.socket.bytesRead;
}

function calm({ session }: Connection): void {
  session.destroy(new Error('the peer asks for too much'), ENHANCE_YOUR_CALM);
}

function endStalled({ streams }: Connection, now: number): void {
  for (const [stream, beganAt] of streams) {
    if (now - beganAt <= LIMITS.http2StreamMs) return;
    stream.close(CANCEL);
  }
}

/**
 * GOAWAY with the last stream that was read: what is under way is finished, what arrives behind it is the peer's to ask
 * elsewhere (RFC 9113 §6.8). A first GOAWAY with the largest id is not to be had: nghttp2 ignores new streams from
 * then on, unless it is told that this is a notice, which node does not.
 */
function endGracefully({ session }: Connection): void {
  if (!session.destroyed && !session.closed) session.close();
}
