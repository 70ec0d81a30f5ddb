import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** TLS that asks clients for a certificate, in front of a provider that reads it from a header. */
export type MtlsFront = {
  readonly url: string;
  /** Path of each request, and the subject of the certificate it came with; undefined = none. */
  readonly seen: readonly { readonly path: string; readonly subject: string | undefined }[];
  close(): Promise<void>;
};

/** Header in which the provider finds the certificate (DER, base64), and whether its CA is the front's own. */
export const CERTIFICATE_HEADER = 'x-tls-certificate';
export const AUTHORIZED_HEADER = 'x-tls-authorized';

/** Start it on a free loopback port. Takes connections with any certificate, or none: the provider judges. */
export async function startMtlsFront(
  tls: { readonly cert: string; readonly key: string; readonly ca: string },
  targetOrigin: () => string,
): Promise<MtlsFront> {
  const seen: { path: string; subject: string | undefined }[] = [];
  const server = createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    const socket = request.socket as TLSSocket;
    const certificate = socket.getPeerX509Certificate();
    seen.push({ path: request.url ?? '', subject: certificate?.subject });
    pass(targetOrigin(), request, response, {
      ...(certificate === undefined ? {} : { [CERTIFICATE_HEADER]: certificate.raw.toString('base64') }),
      [AUTHORIZED_HEADER]: String(socket.authorized),
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function pass(
  origin: string,
  request: IncomingMessage,
  response: ServerResponse,
  certificate: Readonly<Record<string, string>>,
): void {
  const { host: _host, ...headers } = request.headers;
  const outgoing = httpRequest(
    `${origin}${request.url}`,
    { method: request.method, headers: { ...headers, ...certificate }, agent: false },
    (incoming) => {
      response.writeHead(incoming.statusCode ?? 502, incoming.headers);
      incoming.pipe(response);
    },
  );
  outgoing.on('error', () => response.destroy());
  request.pipe(outgoing);
}
