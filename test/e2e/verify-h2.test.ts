// ForwardAuth over HTTP/2: the answers of listen.verify, and who is refused.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { sensitiveHeaders } from 'node:http2';
import { connect as connectPlain } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { askH2, connectH2, type H2Server, startH2Server, TEST_TLS, verifyHeaders } from '../support/h2.ts';
import { connectRawH2, FLAG, FRAME, frame, headerBlock, settingsPayload, uint32 } from '../support/h2-raw.ts';
import { PUBLIC_URL } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', accept: 'text/html' };
/** RFC 9113 §6.5.2 */
const INITIAL_WINDOW_SIZE = 4;
const PSEUDO = { ':method': 'GET', ':scheme': 'https', ':authority': 'localhost' };

describe('verify over HTTP/2', () => {
  let server: H2Server;
  before(async () => {
    server = await startH2Server();
  });
  after(() => server.close());

  const ask = async (headers: Parameters<typeof askH2>[1], body?: Buffer) => {
    const session = connectH2(server.h2Port);
    try {
      return await askH2(session, headers, body);
    } finally {
      session.close();
    }
  };

  test('a public route: exactly 200, every identity header empty, no date, no body', async () => {
    const { status, raw, body } = await ask(verifyHeaders('/open/page'));
    assert.equal(status, 200);
    assert.equal(body, '');
    const names = raw.filter((_, index) => index % 2 === 0);
    assert.deepEqual(names.slice(0, 2), [':status', 'cache-control']);
    for (const name of ['authorization', 'x-user-id', 'x-auth-session']) assert.ok(names.includes(name), name);
    assert.ok(!names.includes('date') && !names.includes('set-cookie'));
  });

  test('what names the user or is a token enters no compression table', async () => {
    const { headers } = await ask(verifyHeaders('/open/page'));
    const never = (headers as { readonly [sensitiveHeaders]?: readonly string[] })[sensitiveHeaders];
    assert.deepEqual(
      never,
      Object.keys(headers).filter((name) => name === 'authorization' || name.startsWith('x-')),
    );
    assert.ok(never?.includes('authorization') && never.includes('x-user-email'));
  });

  test('signed out: 401 problem+json for a script, 302 to the login for a person', async () => {
    const script = await ask(verifyHeaders('/page'));
    assert.equal(script.status, 401);
    assert.equal(script.headers['content-type'], 'application/problem+json');
    assert.equal(script.headers['content-length'], String(Buffer.byteLength(script.body)));
    const problem = JSON.parse(script.body) as Record<string, unknown>;
    assert.deepEqual(
      [problem['code'], problem['request_id']],
      ['authentication_required', script.headers['x-request-id']],
    );
    const person = await ask(verifyHeaders('/page?a=1', NAVIGATION));
    assert.equal(person.status, 302);
    const target = encodeURIComponent(`${PUBLIC_URL}/page?a=1`);
    assert.equal(person.headers.location, `${PUBLIC_URL}/auth/login?return_to=${target}`);
  });

  test('the same answers as over HTTP/1.1, but for the request id', async () => {
    for (const [uri, more] of [
      ['/open/x', {}],
      ['/page', {}],
      ['/page', NAVIGATION],
      ['/a/../b', {}],
      ['/page', { 'x-forwarded-proto': 'http' }],
      ['/page', { 'x-forwarded-host': 'other.example' }],
      ['/page', { cookie: 'bff_session=a; bff_session=b' }],
    ] as const) {
      const { ':path': path, ...headers } = verifyHeaders(uri, more);
      const plain = await askPlain(server.ports.verify, String(path), headers as Record<string, string>);
      const secure = await ask(verifyHeaders(uri, more));
      const ownOfRequest = ['x-request-id', 'content-length', 'date', 'connection', 'keep-alive', 'uwebsockets'];
      const comparable = (all: Iterable<readonly [string, unknown]>): string[] =>
        [...all]
          .filter(([name]) => !name.startsWith(':') && !ownOfRequest.includes(name))
          .map(([name, value]) => `${name}: ${String(value)}`)
          .sort();
      assert.equal(secure.status, plain.status, uri);
      assert.deepEqual(comparable(Object.entries(secure.headers)), comparable(Object.entries(plain.headers)), uri);
      assert.equal(secure.body.length, plain.body.length, uri);
    }
  });

  test('HEAD has the length and no body', async () => {
    const { status, headers, body } = await ask({ ...verifyHeaders('/page'), ':method': 'HEAD' });
    assert.deepEqual([status, body], [401, '']);
    assert.match(String(headers['content-length']), /^[1-9][0-9]+$/);
  });

  test('other addresses are 404, other methods 405', async () => {
    assert.equal((await ask({ ...verifyHeaders('/page'), ':path': '/auth/login' })).status, 404);
    assert.equal((await ask({ ...verifyHeaders('/page'), ':path': '/' })).status, 404);
    assert.equal((await ask({ ...verifyHeaders('/page'), ':method': 'TRACE' })).status, 405);
  });

  test('a body is neither read nor waited for, and the connection goes on', async () => {
    const session = connectH2(server.h2Port);
    const answer = await askH2(session, { ...verifyHeaders('/open/x'), ':method': 'POST' }, Buffer.alloc(2_000_000));
    assert.deepEqual([answer.status, answer.code], [200, 0]);
    assert.equal((await askH2(session, verifyHeaders('/open/x'))).status, 200);
    session.close();
  });

  test('64 at once share one connection', async () => {
    const session = connectH2(server.h2Port);
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, n) => askH2(session, verifyHeaders(`/open/${n}`))),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    session.close();
  });

  test('the bounds are announced: 512 streams, the header list of limits.header_bytes, no push', async () => {
    const session = connectH2(server.h2Port);
    await new Promise((resolve) => session.once('remoteSettings', resolve));
    const { maxConcurrentStreams, maxHeaderListSize } = session.remoteSettings;
    assert.deepEqual(
      { maxConcurrentStreams, maxHeaderListSize },
      { maxConcurrentStreams: 512, maxHeaderListSize: 32_768 },
    );
    session.close();
  });

  test('a client without ALPN h2 gets no connection, plain text none either', async () => {
    const tls = connect({
      port: server.h2Port,
      host: '127.0.0.1',
      ca: readFileSync(TEST_TLS.certFile),
      ALPNProtocols: ['http/1.1'],
    });
    const ended = await new Promise<string>((resolve) => {
      tls.once('error', (error) => resolve(error.message));
      tls.once('close', () => resolve('closed'));
      tls.once('data', (chunk) => resolve(`answered ${chunk.toString('latin1')}`));
      tls.write('GET /auth/verify HTTP/1.1\r\nhost: x\r\n\r\n');
    });
    assert.match(ended, /alert no application protocol|closed/);
    const plain = connectPlain(server.h2Port, '127.0.0.1');
    plain.on('error', () => undefined);
    plain.write('GET /auth/verify HTTP/1.1\r\nhost: x\r\n\r\n');
    const text = await new Promise<string>((resolve) => {
      let received = '';
      plain.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
      plain.on('close', () => resolve(received));
    });
    assert.ok(!text.includes('HTTP/1.1 200'));
  });

  test('connections and requests are counted and counted down', async () => {
    const before = await server.metric('sallyport_connections');
    const session = connectH2(server.h2Port);
    await askH2(session, verifyHeaders('/open/x'));
    assert.equal(await server.metric('sallyport_connections'), before + 1);
    session.destroy();
    await until(async () => (await server.metric('sallyport_connections')) <= before, 'the connection is counted down');
  });

  test('the public listener does not answer verify beside it', async () => {
    const { ':path': path, ...headers } = verifyHeaders('/open/x');
    const answer = await fetch(`http://127.0.0.1:${server.ports.public}${path}`, {
      headers: headers as Record<string, string>,
    });
    assert.equal(answer.status, 404);
  });

  test('a stop while an answer is under way: GOAWAY with its stream, then the rest of it, then the end', async () => {
    const own = await startH2Server();
    const raw = await connectRawH2(own.h2Port, settingsPayload([INITIAL_WINDOW_SIZE, 0]));
    const headers = headerBlock({ ...PSEUDO, ...(verifyHeaders('/page') as Record<string, string>) });
    raw.send(frame(FRAME.headers, FLAG.endStream | FLAG.endHeaders, 1, headers));
    await raw.receive(({ type, stream }) => type === FRAME.headers && stream === 1, 'the head of the answer');
    const closing = own.close();
    const goaway = await raw.receive(({ type }) => type === FRAME.goaway, 'GOAWAY');
    assert.deepEqual([goaway.payload.readUInt32BE(0), goaway.payload.readUInt32BE(4)], [1, 0]);
    assert.equal(raw.isClosed(), false);
    raw.send(frame(FRAME.windowUpdate, 0, 1, uint32(65_535)));
    const body = await raw.receive(
      ({ type, flags }) => type === FRAME.data && (flags & FLAG.endStream) !== 0,
      'its body',
    );
    assert.match(body.payload.toString('utf8'), /authentication_required/);
    await closing;
    await until(() => raw.isClosed(), 'closed');
  });
});

/** Over HTTP/1.1, with exactly these headers. */
function askPlain(port: number, path: string, headers: Record<string, string>) {
  return new Promise<{ status: number; headers: IncomingHttpHeaders; body: string }>((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, headers, agent: false }, (incoming) => {
      let body = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

describe('peers over HTTP/2', () => {
  for (const [peers, trusted, status] of [
    ['proxies', [], 403],
    ['proxies', ['127.0.0.1/32'], 200],
    ['all', [], 200],
  ] as const) {
    test(`trusted_peers: ${peers}, trusted_proxies: ${JSON.stringify(trusted)}: ${status}`, async () => {
      const server = await startH2Server({
        settings: {
          trusted_proxies: trusted,
          listen: {
            verify_h2: {
              address: '127.0.0.1',
              port: 0,
              trusted_peers: peers,
              tls: { cert_file: TEST_TLS.certFile, key_file: TEST_TLS.keyFile },
            },
          },
        },
      });
      const session = connectH2(server.h2Port);
      assert.equal((await askH2(session, verifyHeaders('/open/x'))).status, status);
      session.close();
      await server.close();
    });
  }
});
