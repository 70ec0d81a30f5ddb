import type { TlsSettings } from './types-store.ts';

/** Deadlines of calls to a service. */
export type ServiceTimeouts = {
  /** Until a connection is open. */
  readonly connectMs: number;
  /** From the sent request to the head of the answer. */
  readonly headersMs: number;
  /** Silence within a body, in either direction. */
  readonly bodyIdleMs: number;
  /** From the authorized request to the last byte of its answer; undefined = no such limit. */
  readonly totalMs: number | undefined;
};

/** Passive health of each address of a service. */
export type HealthSettings = {
  /** So many failures in a row end the traffic to an address. */
  readonly failures: number;
  /** Then a single request tries it again. */
  readonly ejectMs: number;
};

/** TLS towards a service. */
export type ServiceTls = TlsSettings & {
  /** Any certificate is taken. */
  readonly insecure: boolean;
};
