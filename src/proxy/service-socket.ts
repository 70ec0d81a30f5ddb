import { isIP, type LookupFunction, connect as openTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as openTls } from 'node:tls';
import type { ServiceTls } from '../core/config/types-service.ts';

const KEEP_ALIVE_PROBE_MS = 60_000;

/** Where a socket leads, and how it is trusted. */
export type SocketSettings = {
  /** `http://crud-a:8000` */
  readonly origin: string;
  /** Connects to one address of the name; undefined where the origin is an address itself. */
  readonly lookup: LookupFunction | undefined;
  readonly tls: ServiceTls | undefined;
  /** Where everything is read to, one after the other: nobody keeps a view of it beyond `onBytes`. */
  readonly readBuffer: Uint8Array;
};

/** What happens on a socket. */
export type SocketListener = {
  /** It is open, and its peer is the one it should be. */
  onOpen(): void;
  /** @returns false = no more until the socket is resumed. */
  onBytes(bytes: Buffer): boolean;
  /** The peer has nothing more to say. */
  onPeerEnd(): void;
  onError(error: Error): void;
  onClose(): void;
};

/** Opens sockets to one address. */
export type SocketOpener = {
  /** Value of Host. */
  readonly host: string;
  open(listener: SocketListener): Socket;
};

/** Create the opener: HTTP/1.1 over TCP or TLS, the session of the last TLS connection resumed. */
export function createSocketOpener({ origin, lookup, tls, readBuffer }: SocketSettings): SocketOpener {
  const { host, hostname, port, protocol } = new URL(origin);
  const isSecure = protocol === 'https:';
  const name = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  const address = {
    host: name,
    port: port === '' ? (isSecure ? 443 : 80) : Number(port),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
    ...(lookup === undefined ? {} : { lookup }),
  };
  const trust = { servername: isIP(name) === 0 ? name : '', ALPNProtocols: ['http/1.1'], ...tlsOptions(tls) };
  const view = Buffer.from(readBuffer.buffer, readBuffer.byteOffset, readBuffer.byteLength);
  let session: Buffer | undefined;
  return {
    host,
    open(listener) {
      const callback = (bytes: number): boolean => listener.onBytes(view.subarray(0, bytes));
      const options = { ...address, onread: { buffer: readBuffer, callback } };
      const resumed = session === undefined ? {} : { session };
      const socket = isSecure ? openTls({ ...options, ...trust, ...resumed } as ConnectionOptions) : openTcp(options);
      if (isSecure) {
        socket.on('session', (latest: Buffer) => {
          session = latest;
        });
      }
      return socket
        .on(isSecure ? 'secureConnect' : 'connect', () => listener.onOpen())
        .on('end', () => listener.onPeerEnd())
        .on('error', (error) => listener.onError(error))
        .on('close', () => listener.onClose());
    },
  };
}

/** How connections to a service are trusted: always checked, except where the operator spelled it out. */
export function tlsOptions(tls: ServiceTls | undefined): Record<string, string | boolean> {
  if (tls === undefined) return { rejectUnauthorized: true };
  const { ca, cert, key, serverName, insecure } = tls;
  return {
    rejectUnauthorized: !insecure,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}
