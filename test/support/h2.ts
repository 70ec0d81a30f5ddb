import { readFileSync } from 'node:fs';
import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { join } from 'node:path';
import { asTraefik } from './gateway.ts';
import { PUBLIC_URL, startTestServer, type TestServer, type TestServerOptions } from './test-server.ts';

const FOLDER = join(import.meta.dirname, '../fixtures/tls');

/** A certificate for loopback and its key; nothing secret, made for the tests. */
export const TEST_TLS = { certFile: join(FOLDER, 'cert.pem'), keyFile: join(FOLDER, 'key.pem') };

/** `listen.verify_h2` of a test. */
export const LISTEN_H2 = {
  address: '127.0.0.1',
  port: 0,
  tls: { cert_file: TEST_TLS.certFile, key_file: TEST_TLS.keyFile },
};

/** A provider that nobody asks. */
export const UNUSED_IDPS = {
  version: 1,
  providers: {
    main: {
      issuer: 'http://127.0.0.1:9',
      client_id: 'bff',
      client_auth: { secret: 'a-client-secret-of-some-length' },
      endpoints: {
        authorization: 'http://127.0.0.1:9/authorize',
        token: 'http://127.0.0.1:9/token',
        jwks: 'http://127.0.0.1:9/jwks',
      },
    },
  },
};

/** A test server and its HTTP/2 port. */
export type H2Server = TestServer & { readonly h2Port: number };

/** A server with the HTTP/2 listener, a public route `/open` and everything else behind a session. */
export async function startH2Server(options: Partial<TestServerOptions> = {}): Promise<H2Server> {
  const { settings, ...rest } = options;
  const server = await startTestServer({
    idps: UNUSED_IDPS,
    routes: { version: 1, routes: [{ id: 'open', paths: ['/open/*'], auth: 'none' }] },
    settings: { ...settings, listen: { verify_h2: LISTEN_H2, ...(settings?.['listen'] as object | undefined) } },
    ...rest,
  });
  return { ...server, h2Port: server.ports.verifyH2 ?? 0 };
}

/** Connect as a gateway does that knows the certificate. */
export function connectH2(port: number): ClientHttp2Session {
  const session = connect(`https://localhost:${port}`, { ca: readFileSync(TEST_TLS.certFile) });
  session.on('error', () => undefined);
  return session;
}

/** An answer over HTTP/2, or how its stream ended without one. */
export type H2Answer = {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly raw: readonly string[];
  readonly body: string;
  /** RFC 9113 §7 error code of the stream's end. */
  readonly code: number;
};

/** What Traefik sends for a page of the public address. */
export function verifyHeaders(uri: string, more: OutgoingHttpHeaders = {}): OutgoingHttpHeaders {
  return {
    ':path': '/auth/verify',
    ...asTraefik(PUBLIC_URL, uri),
    ...more,
  };
}

/** One request on a connection; never rejects. */
export function askH2(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: Buffer): Promise<H2Answer> {
  return new Promise((resolve) => {
    if (session.destroyed || session.closed) {
      resolve({ status: undefined, headers: {}, raw: [], body: '', code: -1 });
      return;
    }
    const stream = session.request(headers, { endStream: body === undefined });
    let [status, answer, raw]: [number | undefined, IncomingHttpHeaders, readonly string[]] = [undefined, {}, []];
    const chunks: Buffer[] = [];
    stream.on(
      'response',
      (received: IncomingHttpHeaders & IncomingHttpStatusHeader, _flags: number, list: string[]) => {
        [status, answer, raw] = [received[':status'], received, list];
      },
    );
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => undefined);
    stream.on('close', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      resolve({ status, headers: answer, raw, body: text, code: stream.rstCode });
    });
    if (body !== undefined) stream.end(body);
  });
}
