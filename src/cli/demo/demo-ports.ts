import { createServer } from 'node:net';
import { DEMO_PORTS_COUNT } from './demo-options.ts';
import { PortTakenError } from './http-server.ts';

/** The port of each part, all on 127.0.0.1. */
export type DemoPorts = {
  /** What users open: Traefik, or Sallyport itself without it. */
  readonly front: number;
  readonly provider: number;
  /** Sallyport's public listener behind Traefik; without Traefik it is `front`. */
  readonly sallyport: number;
  readonly verify: number;
  readonly admin: number;
  readonly spa: number;
  readonly api: number;
  readonly dashboard: number;
  readonly reports: number;
};

/**
 * The documented order: N front door, N+1 OpenID Provider, N+2 Sallyport behind Traefik, N+3 verify, N+4 admin,
 * N+5 application files, N+6 API, N+7 dashboard, N+8 reports API.
 */
export function assignPorts(base: number, withTraefik: boolean): DemoPorts {
  return {
    front: base,
    provider: base + 1,
    sallyport: withTraefik ? base + 2 : base,
    verify: base + 3,
    admin: base + 4,
    spa: base + 5,
    api: base + 6,
    dashboard: base + 7,
    reports: base + 8,
  };
}

/**
 * Makes sure that nobody listens on any of the demo's ports, before any part starts: Sallyport's core shares a port
 * that another process holds instead of failing, so a late look would be too late.
 * Errors: PortTakenError with the first port in use.
 */
export async function assertPortsFree(base: number): Promise<void> {
  for (let port = base; port < base + DEMO_PORTS_COUNT; port++) {
    await assertPortFree(port);
  }
}

function assertPortFree(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? new PortTakenError(port) : error);
    });
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve()));
  });
}
