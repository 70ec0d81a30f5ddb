import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { RedisNodeSettings, TlsSettings } from './config/types-store.ts';

/** How long a connection to the store may be quiet before TCP probes it. */
export const KEEP_ALIVE_MS = 30_000;

const RECONNECT_FIRST_MS = 50;
/** Longest pause between two attempts to connect to the store. */
export const RECONNECT_MAX_MS = 1_000;

/** The pause before attempt number `attempts` (from 0), doubled each time. */
export function reconnectDelayMs(attempts: number): number {
  return Math.min(RECONNECT_FIRST_MS * 2 ** Math.min(attempts, 10), RECONNECT_MAX_MS);
}

/**
 * Open a connection to a Redis or Valkey server: TCP or TLS as configured. `onOpen` runs once it can be written to.
 * @param buffer what comes is read into it, over what came before, so that no read needs memory of its own.
 * @param onRead called with how many bytes of it were read.
 */
export function openSocket(
  redis: RedisNodeSettings,
  buffer: Buffer,
  onRead: (length: number) => void,
  onOpen: () => void,
): Socket {
  const { host, port, tls } = redis;
  const onread = {
    buffer,
    callback(length: number) {
      onRead(length);
      return true;
    },
  };
  const common = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS, onread };
  return tls === undefined ? connectTcp(common, onOpen) : connectTls({ ...tlsOptions(tls), ...common }, onOpen);
}

/** TLS towards the store: certificates are always checked. */
export function tlsOptions(tls: TlsSettings): ConnectionOptions {
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
  };
}
