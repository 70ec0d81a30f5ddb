import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { isSallyportError } from '../../src/core/errors.ts';
import { createOutbound, type OutboundOptions } from '../../src/core/outbound.ts';
import { decodeBody, WholeResponse } from '../../src/core/outbound-response.ts';
import { skipWithout } from '../support/parts.ts';
import { createCertificates } from '../support/redis-tls.ts';

const OPTIONS: OutboundOptions = {
  connectTimeoutMs: 10_000,
  totalTimeoutMs: 60_000,
  bodyMaxBytes: 1_000,
  ca: undefined,
  cert: undefined,
  key: undefined,
};
/** Connections of one client to one server, as `createOutbound` has it. */
const CONNECTIONS = 32;
const DEADLINE_MS = 2_000;

const code = (wanted: string) => (error: unknown) => isSallyportError(error) && error.code === wanted;

describe('calls to a provider', () => {
  const asked: IncomingMessage[] = [];
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let origin: string;
  const server = createServer((request, response) => {
    asked.push(request);
    answer(request, response);
  });
  const outbound = createOutbound(OPTIONS);

  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(async () => {
    await outbound.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test('carry path, query, form and headers, and ask for no content coding', async () => {
    let body = '';
    answer = (request, response) => {
      request.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      request.on('end', () => response.writeHead(201, { 'X-One': '1', 'Set-Cookie': ['a=1', 'b=2'] }).end('{"é":1}'));
    };
    const response = await outbound.fetch(`${origin}/token?a=%20b`, {
      method: 'POST',
      headers: { accept: 'application/json' },
      body: new URLSearchParams({ code: 'a b' }),
    });
    const { url, method, headers } = asked.at(-1) as IncomingMessage;
    assert.deepEqual([url, method, body], ['/token?a=%20b', 'POST', 'code=a+b']);
    assert.equal(headers['accept'], 'application/json');
    assert.equal(headers['accept-encoding'], 'identity');
    assert.equal(headers['content-length'], '8');
    assert.ok(response instanceof Response);
    assert.deepEqual([response.status, response.headers.get('x-one')], [201, '1']);
    assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2']);
    assert.deepEqual(await response.json(), { é: 1 });
  });

  test('unpack what nobody asked to be packed, in the order of its codings', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'Content-Encoding': 'GZIP, br' }).end(brotliCompressSync(gzipSync('{}')));
    };
    assert.equal(await (await outbound.fetch(origin)).text(), '{}');
  });

  test('follow no redirect and read past informational answers', async () => {
    answer = (_request, response) => {
      response.writeProcessing();
      response.writeHead(307, { location: `${origin}/elsewhere` }).end();
    };
    const before = asked.length;
    assert.equal((await outbound.fetch(origin)).status, 307);
    assert.equal(asked.length, before + 1);
  });

  test('fail for a body over the bound, with and without a length', async () => {
    for (const headers of [{ 'content-length': '1001' }, {}]) {
      answer = (_request, response) => void response.writeHead(200, headers).end('x'.repeat(1_001));
      await assert.rejects(outbound.fetch(origin), code('idp_bad_response'));
    }
  });

  test('fail for a header that cannot be sent, a connection that cannot be had, and another protocol', async () => {
    await assert.rejects(outbound.fetch(origin, { headers: { 'x-a': 'b\r\nc: d' } }), code('idp_unavailable'));
    await assert.rejects(outbound.fetch('http://127.0.0.1:1/'), code('idp_unavailable'));
    await assert.rejects(outbound.fetch('ftp://127.0.0.1/'), code('idp_unavailable'));
  });

  test('that waited for a connection past their deadline are never sent', async () => {
    const held: ServerResponse[] = [];
    const arrived = new Promise<void>((resolve) => {
      answer = (_request, response) => {
        held.push(response);
        if (held.length === CONNECTIONS) resolve();
      };
    });
    const short = createOutbound({ ...OPTIONS, totalTimeoutMs: DEADLINE_MS });
    const calls = Array.from({ length: CONNECTIONS + 1 }, (_, at) => short.fetch(`${origin}/call${at}`));
    const outcomes = Promise.allSettled(calls);
    await arrived;
    // All deadlines pass at once: none of the calls ends, and frees its connection, before the last one's.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, DEADLINE_MS);
    for (const outcome of await outcomes) {
      assert.ok(outcome.status === 'rejected' && code('service_timeout')(outcome.reason));
    }
    await short.close();
    assert.ok(!asked.some(({ url }) => url === `/call${CONNECTIONS}`));
  });
});

describe('calls to a provider that offers HTTP/2', { skip: skipWithout('openssl') }, () => {
  test('use HTTP/1.1', async () => {
    const certificates = await createCertificates();
    const { files, ca } = certificates;
    const [key, cert] = [readFileSync(files.serverKey), readFileSync(files.serverCert)];
    const server = createSecureServer({ key, cert, allowHTTP1: true }, ({ httpVersion }, response) => {
      response.end(httpVersion);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const outbound = createOutbound({ ...OPTIONS, ca });
    try {
      const response = await outbound.fetch(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      assert.equal(await response.text(), '1.1');
    } finally {
      await outbound.close();
      await new Promise((resolve) => server.close(resolve));
      await certificates.remove();
    }
  });
});

describe('the content of an answer', () => {
  const decode = (bytes: Buffer, coding: string) => decodeBody(bytes, [['content-encoding', coding]], 100).toString();

  test('is unpacked', () => {
    assert.equal(decode(gzipSync('one'), 'x-gzip'), 'one');
    assert.equal(decode(deflateSync('two'), ' deflate , identity'), 'two');
    assert.equal(decode(Buffer.from('three'), ''), 'three');
  });

  test('is bounded, packed or not', () => {
    for (const [bytes, coding] of [
      [gzipSync(Buffer.alloc(1_000)), 'gzip'],
      [brotliCompressSync(Buffer.alloc(101)), 'br'],
      [Buffer.alloc(101), 'identity'],
    ] as const) {
      assert.throws(() => decode(bytes, coding), code('idp_bad_response'), coding);
    }
  });

  test('is refused where it is packed more than twice', () => {
    const thrice = gzipSync(gzipSync(gzipSync('{}')));
    assert.throws(() => decode(thrice, 'gzip, gzip, gzip'), code('idp_bad_response'));
  });

  test('is refused in an unknown coding, and where it is not what it says', () => {
    assert.throws(() => decode(Buffer.from('x'), 'constructor'), code('idp_bad_response'));
    assert.throws(() => decode(Buffer.from('{}'), 'gzip'), /incorrect header/);
  });

  test('is read once, as UTF-8 without its mark', async () => {
    const response = new WholeResponse(200, [['Content-Type', 'application/json']], Buffer.from('\ufeff{"a":1}'));
    const copy = response.clone();
    assert.deepEqual(await response.json(), { a: 1 });
    assert.equal(response.bodyUsed, true);
    await assert.rejects(response.text(), TypeError);
    assert.throws(() => response.clone(), TypeError);
    assert.equal(copy.bodyUsed, false);
    assert.equal(copy.headers.get('content-type'), 'application/json');
    assert.equal(await copy.text(), '{"a":1}');
  });
});
