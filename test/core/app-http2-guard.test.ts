// Time bounds of HTTP/2 connections: real ones, with the clock of the sweep moved by hand.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Http2Guard } from '../../src/core/app-http2-guard.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { askH2, connectH2, TEST_TLS } from '../support/h2.ts';
import { until } from '../support/until.ts';

describe('the time bounds of HTTP/2 connections', () => {
  const hot = { connections: 0 };
  let guard: Http2Guard;
  let server: Http2SecureServer;
  let port: number;
  let opened: ServerHttp2Stream[];

  beforeEach(async () => {
    opened = [];
    guard = new Http2Guard(hot, 32_768);
    server = createSecureServer({ cert: readFileSync(TEST_TLS.certFile), key: readFileSync(TEST_TLS.keyFile) });
    server.on('session', (session: ServerHttp2Session) => guard.admit(session));
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      guard.track(stream, () => void opened.splice(opened.indexOf(stream), 1));
      opened.push(stream);
      if (headers[':path'] === '/now') stream.respond({ ':status': 200 }, { endStream: true });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterEach(() => {
    guard.close();
    server.close();
  });
  const later = (ms: number): void => guard.sweep(performance.now() + ms);

  test('a stream that is not answered in 30 s is reset, the connection goes on', async () => {
    const session = connectH2(port);
    const stuck = askH2(session, { ':path': '/never' });
    await until(() => opened.length === 1, 'the stream is open');
    later(LIMITS.http2StreamMs - 1_000);
    assert.equal(opened.length, 1);
    later(LIMITS.http2StreamMs + 1_000);
    const { status, code } = await stuck;
    assert.deepEqual([status, code], [undefined, 8]);
    assert.equal((await askH2(session, { ':path': '/now' })).status, 200);
    session.destroy();
  });

  test('a connection without streams ends with GOAWAY after three minutes', async () => {
    const session = connectH2(port);
    await askH2(session, { ':path': '/now' });
    later(LIMITS.http2FirstStreamMs + 1_000);
    assert.equal(guard.size, 1, 'it had a stream: half a minute is nothing');
    const code = new Promise((resolve) => session.once('goaway', resolve));
    later(LIMITS.http2IdleMs + 1_000);
    assert.equal(await code, 0);
    await until(() => guard.size === 0, 'closed');
  });

  test('one that never had a stream ends after half a minute', async () => {
    const session = connectH2(port);
    await until(() => guard.size === 1, 'connected');
    later(LIMITS.http2FirstStreamMs - 1_000);
    assert.equal(guard.size, 1);
    later(LIMITS.http2FirstStreamMs + 1_000);
    await until(() => guard.size === 0, 'closed');
    session.destroy();
  });

  test('one with an open stream does not count as idle', async () => {
    const session = connectH2(port);
    void askH2(session, { ':path': '/never' });
    await until(() => opened.length === 1, 'the stream is open');
    later(LIMITS.http2StreamMs - 1_000);
    assert.equal(guard.size, 1);
    session.destroy();
    await until(() => guard.size === 0 && opened.length === 0, 'its end is noticed');
    assert.equal(hot.connections, 0);
  });
});
