import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as the service behind Sallyport received it. */
export type SeenRequest = {
  readonly method: string;
  readonly url: string;
  /** Header lines in order, names as sent. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
};

/** The service behind the proxied routes: answers 200 and remembers every request. */
export type EchoService = {
  readonly url: string;
  /** Requests since the last `forget`; a request counts from its head on, even if its body never ends. */
  readonly seen: readonly SeenRequest[];
  forget(): void;
  close(): Promise<void>;
};

/** Start the echo service on a free loopback port. */
export async function startEcho(): Promise<EchoService> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const lines: [string, string][] = [];
    for (let at = 0; at < request.rawHeaders.length; at += 2) {
      lines.push([request.rawHeaders[at] ?? '', request.rawHeaders[at + 1] ?? '']);
    }
    const entry = { method: request.method ?? '', url: request.url ?? '', headers: lines, body: '' };
    seen.push(entry);
    request.on('data', (chunk: Buffer) => {
      entry.body += chunk.toString('latin1');
    });
    request.on('end', () => response.writeHead(200, { 'content-type': 'text/plain' }).end('echo'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    forget() {
      seen.length = 0;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
