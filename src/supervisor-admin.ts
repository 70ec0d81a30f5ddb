import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Listen } from './core/config/types-listen.ts';

/** What operators ask of the supervisor. */
export type AdminAnswers = {
  readiness(): Promise<{ readonly ready: boolean; readonly body: object }>;
  /** Prometheus text; undefined = off by configuration. */
  readonly metrics: (() => Promise<string>) | undefined;
};

/** The operator's listener of a supervisor. */
export type AdminServer = { readonly port: number; close(): Promise<void> };

/** Serve metrics and readiness of all workers together. @throws Error if the address is taken or not ours */
export function startAdminServer({ address, port }: Listen, answers: AdminAnswers): Promise<AdminServer> {
  const server = createServer((request, response) => {
    answer(request, response, answers).catch(() => {
      if (response.headersSent) response.destroy();
      else reply(response, 500, 'application/json', '{"status":"failed"}');
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new Error(`cannot listen on ${address}:${port}: the address is taken or not ours`, { cause })),
    );
    server.listen({ host: address, port, exclusive: true }, () => {
      // A connection that cannot be accepted, for want of file descriptors, must not end the supervisor.
      server.removeAllListeners('error').on('error', () => undefined);
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise((done) => {
            server.close(() => done());
            server.closeAllConnections();
          }),
      });
    });
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, answers: AdminAnswers): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0];
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return reply(response, 405, 'application/json', '{"code":"method_not_allowed"}');
  }
  if (path === '/readyz') {
    const { ready, body } = await answers.readiness();
    return reply(response, ready ? 200 : 503, 'application/json', JSON.stringify(body));
  }
  if (path !== '/metrics' || answers.metrics === undefined) {
    return reply(response, 404, 'application/json', '{"code":"not_found"}');
  }
  return reply(response, 200, 'text/plain; version=0.0.4; charset=utf-8', await answers.metrics());
}

function reply(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
}
