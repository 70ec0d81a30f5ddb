import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, beforeEach, describe, mock, test } from 'node:test';
import type { Outgoing } from '../../src/proxy/outgoing.ts';
import { ServiceConnections } from '../../src/proxy/service-connections.ts';
import { createSocketOpener } from '../../src/proxy/service-socket.ts';
import { Ticks } from '../../src/proxy/ticks.ts';
import type { BodySink, Upload } from '../../src/proxy/upload.ts';
import { createCertificates, type TestCertificates } from '../support/redis-tls.ts';
import { until } from '../support/until.ts';

/** What the service does with one request. */
type Service = (socket: Socket, request: string) => void;

const answer = (body: string, ...fields: string[]): string =>
  ['HTTP/1.1 200 OK', `Content-Length: ${body.length}`, ...fields, '', body].join('\r\n');

/** A body of which the test is the client. */
function body(): { upload: Upload; sink(): BodySink } {
  let sink: BodySink | undefined;
  const upload = {
    pipe(to: BodySink) {
      sink = to;
    },
  };
  return {
    upload: upload as Upload,
    sink: () => {
      assert.ok(sink !== undefined);
      return sink;
    },
  };
}

describe('connections over TLS', () => {
  const BYTES = 3_000_000;
  let certificates: TestCertificates;
  let server: TlsServer;
  let connections: ServiceConnections;
  /** How the service ends its answer. */
  let ending: (response: ServerResponse) => void;

  before(async () => {
    certificates = await createCertificates();
    const { ca, files } = certificates;
    const options = { cert: await readFile(files.serverCert), key: await readFile(files.serverKey), ca };
    server = createTlsServer(options, (_request, response) => {
      response.writeHead(200, { 'content-length': BYTES }).write(Buffer.alloc(BYTES, 0x61));
      ending(response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const tls = { ca, cert: undefined, key: undefined, serverName: undefined, insecure: false };
    const readBuffer = Buffer.allocUnsafeSlow(65_536);
    const opener = createSocketOpener({ origin, lookup: undefined, tls, readBuffer });
    connections = new ServiceConnections({ opener, ticks: new Ticks(), connectMs: 10_000, max: 1 });
  });
  after(async () => {
    await connections.destroy();
    server.close();
    await certificates.remove();
  });

  /** Read an answer with a rest after each part. */
  function readSlowly(): Promise<number> {
    let received = 0;
    let isResting = false;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const request: Outgoing = {
      method: 'GET',
      target: '/',
      lines: '',
      upload: undefined,
      contentLength: -1,
      headersMs: 20_000,
      bodyIdleMs: 20_000,
      wire: undefined,
      onStart() {},
      onHead() {},
      onData(part) {
        assert.equal(isResting, false, 'a part in the middle of a rest');
        assert.ok(part.every((byte) => byte === 0x61));
        received += part.length;
        isResting = true;
        setTimeout(() => {
          isResting = false;
          request.wire?.resume();
        }, 2);
        return false;
      },
      onEnd: () => resolve(received),
      onFail: reject,
    };
    connections.send(request);
    return promise;
  }

  const endings: Readonly<Record<string, (response: ServerResponse) => void>> = {
    'that stays open': (response) => response.end(),
    'that ends behind it': (response) => response.end(() => response.socket?.end()),
  };
  for (const [name, end] of Object.entries(endings)) {
    test(`give an answer in the pace of its reader, all of it, on a connection ${name}`, async () => {
      ending = end;
      assert.equal(await readSlowly(), BYTES);
      assert.equal(await readSlowly(), BYTES);
    });
  }
});

describe('connections to a service', () => {
  let server: Server;
  let port: number;
  let service: Service;
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  let opened = 0;
  let connections: ServiceConnections;

  before(async () => {
    server = createServer((socket) => {
      opened += 1;
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket)).on('error', () => {});
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes.toString('latin1');
        if (!text.includes('\r\n\r\n')) return;
        const request = text;
        text = '';
        requests.push(request);
        service(socket, request);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  after(() => server.close());
  beforeEach(() => {
    opened = 0;
    requests.length = 0;
    service = (socket) => socket.write(answer('ok'));
    connections = create();
  });
  afterEach(() => connections.destroy());

  function create(max = 4): ServiceConnections {
    const origin = `http://127.0.0.1:${port}`;
    const readBuffer = Buffer.allocUnsafeSlow(65_536);
    const opener = createSocketOpener({ origin, lookup: undefined, tls: undefined, readBuffer });
    return new ServiceConnections({ opener, ticks: new Ticks(), connectMs: 1_000, max });
  }

  function ask(changes: Partial<Outgoing> = {}): Promise<string> & { request: Outgoing } {
    let heard = '';
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const request: Outgoing = {
      method: 'GET',
      target: '/',
      lines: '',
      upload: undefined,
      contentLength: -1,
      headersMs: 1_000,
      bodyIdleMs: 1_000,
      wire: undefined,
      onStart() {},
      onHead({ status }) {
        heard += status;
      },
      onData(part) {
        heard += ` ${part.toString()}`;
        return true;
      },
      onEnd: () => resolve(heard),
      onFail: reject,
      ...changes,
    };
    connections.send(request);
    return Object.assign(promise, { request });
  }

  const failsWith = (code: string) => (error: unknown) => (error as { code?: unknown }).code === code;

  test('are used again, and the one used last first', async () => {
    for (let i = 0; i < 5; i++) assert.equal(await ask(), '200 ok');
    assert.ok(opened <= 2, `${opened} connections`);
    assert.match(requests[0] ?? '', /^GET \/ HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\nconnection: keep-alive\r\n\r\n$/);
  });

  test('are not more than allowed, and each has one request at a time', async () => {
    connections = create(2);
    let most = 0;
    let pending = 0;
    service = (socket) => {
      pending += 1;
      most = Math.max(most, pending);
      setTimeout(() => {
        pending -= 1;
        socket.write(answer('ok'));
      }, 5);
    };
    await Promise.all(Array.from({ length: 12 }, () => ask()));
    assert.equal(opened, 2);
    assert.equal(most, 2);
  });

  const onceOnly: Readonly<Record<string, readonly [Service, Partial<Outgoing>?]>> = {
    'an answer to HEAD': [(socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'), { method: 'HEAD' }],
    'an answer that closes': [(socket) => socket.write(answer('ok', 'Connection: close'))],
    'an answer of HTTP/1.0': [(socket) => socket.write(answer('ok', 'Connection: keep-alive').replace('1.1', '1.0'))],
    'an answer until the connection ends': [(socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nok')],
    'a 204 that announces a body': [(socket) => socket.write('HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n')],
    'a connection that is kept too short': [(socket) => socket.write(answer('ok', 'Keep-Alive: timeout=2'))],
    'bytes behind the answer': [(socket) => socket.write(`${answer('ok')}${answer('stolen')}`)],
    'bytes a moment behind the answer': [
      (socket) => {
        socket.write(answer('ok'));
        setImmediate(() => socket.write(answer('stolen')));
      },
    ],
    'an answer before the body was sent': [
      (socket) => socket.write(answer('ok')),
      {
        method: 'POST',
        contentLength: 9,
        upload: { pipe: (sink: BodySink) => void sink.write(Buffer.from('part'), () => {}) } as unknown as Upload,
      },
    ],
    'a body that means nothing with the method': [
      (socket) => socket.write(answer('ok')),
      {
        contentLength: 4,
        upload: {
          pipe(sink: BodySink) {
            sink.write(Buffer.from('body'), () => {});
            sink.finish();
          },
        } as unknown as Upload,
      },
    ],
  };
  for (const [name, [first, how]] of Object.entries(onceOnly)) {
    test(`are not used again after ${name}`, async () => {
      // A single one: who asks next has to wait for what becomes of it.
      connections = create(1);
      service = first;
      assert.match(await ask(how), /^20[04]( ok)?$/);
      service = (socket) => socket.write(answer('next'));
      assert.equal(await ask(), '200 next');
      assert.equal(opened, 2);
    });
  }

  test('that the service has closed meanwhile are not used', async () => {
    connections = create(1);
    service = (socket) => socket.end(answer('ok'));
    assert.equal(await ask(), '200 ok');
    assert.equal(await ask(), '200 ok');
    assert.equal(opened, 2);
  });

  test('end with whoever gives up a request, and make room for the next', async () => {
    connections = create(1);
    service = () => {};
    const { request } = ask({ onFail: assert.fail });
    await until(() => requests.length === 1, 'the service has the request');
    connections.abandon(request);
    await until(() => sockets.size === 0, 'the service hears of it');
    service = (socket) => socket.write(answer('next'));
    const waiting = ask({ onFail: assert.fail, onStart: assert.fail });
    connections.abandon(waiting.request);
    assert.equal(await ask(), '200 next');
  });

  test('send a body as it was declared, and nothing that is longer or shorter', async () => {
    service = (socket, text) => socket.write(answer(text.slice(text.indexOf('\r\n\r\n') + 4)));
    for (const [contentLength, expected] of [
      [4, '200 body'],
      [-1, '200 4\r\nbody\r\n0\r\n\r\n'],
    ] as const) {
      const { upload, sink } = body();
      const asked = ask({ method: 'PUT', upload, contentLength, onStart: () => setImmediate(send) });
      const send = (): void => {
        sink().write(Buffer.from('body'), () => {});
        sink().finish();
      };
      assert.equal(await asked, expected);
    }
    for (const text of ['bod', 'body!']) {
      const { upload, sink } = body();
      const send = (): void => {
        sink().write(Buffer.from(text), () => {});
        sink().finish();
      };
      const asked = ask({ method: 'PUT', upload, contentLength: 4, onStart: () => setImmediate(send) });
      await assert.rejects(asked, failsWith('malformed'));
    }
  });

  test('write no target that could be read as something else', async () => {
    for (const target of ['/ HTTP/1.1\r\n', 'http://other/', '/\u0100', '']) {
      await assert.rejects(ask({ target }), TypeError);
    }
    assert.deepEqual(requests, []);
  });

  test('fail what is under way when they are destroyed, and what is asked afterwards', async () => {
    service = () => {};
    const asked = ask();
    const failed = assert.rejects(asked, failsWith('closing'));
    await until(() => requests.length === 1, 'the service has the request');
    await connections.destroy();
    await failed;
    await assert.rejects(ask(), failsWith('closing'));
    await until(() => sockets.size === 0, 'every socket is closed');
  });

  test('let what is under way end when they are closed', async () => {
    service = (socket) => setTimeout(() => socket.write(answer('late')), 20);
    const asked = ask();
    await until(() => requests.length === 1, 'the service has the request');
    const closed = connections.close();
    assert.equal(await asked, '200 late');
    await closed;
    await until(() => sockets.size === 0, 'every socket is closed');
  });

  describe('with time in our hands', () => {
    beforeEach(() => {
      mock.timers.enable({ apis: ['setInterval'] });
      connections = create();
    });
    afterEach(() => mock.timers.reset());

    test('wait for the head and between the parts of a body, and not while they are told to pause', async () => {
      service = () => {};
      const silent = ask();
      const failed = assert.rejects(silent, failsWith('headers_timeout'));
      await until(() => requests.length === 1, 'the service has the request');
      mock.timers.tick(1_300);
      await failed;
      service = (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart');
      let isHeard = false;
      const onData = (): boolean => {
        isHeard = true;
        return false;
      };
      const paused = ask({ onData });
      await until(() => isHeard, 'a part of the answer');
      mock.timers.tick(60_000);
      const cut = assert.rejects(paused, failsWith('body_timeout'));
      paused.request.wire?.resume();
      mock.timers.tick(1_300);
      await cut;
    });

    test('are closed when nobody has used them for a while, sooner than the service would', async () => {
      service = (socket) => socket.write(answer('ok', 'Keep-Alive: timeout=5'));
      await ask();
      mock.timers.tick(2_000);
      assert.equal(sockets.size, 1);
      mock.timers.tick(1_300);
      await until(() => sockets.size === 0, 'the service hears of it');
    });

    test('give the client all its time, and the service none that it does not need, while a body is sent', async () => {
      const { upload, sink } = body();
      let isBegun = false;
      const onStart = (): void => {
        isBegun = true;
      };
      service = () => {};
      const asked = ask({ method: 'POST', upload, contentLength: 100_000_000, onStart });
      const failed = assert.rejects(asked, failsWith('headers_timeout'));
      await until(() => isBegun, 'the request is begun');
      assert.equal(
        sink().write(Buffer.from('part'), () => {}),
        true,
      );
      mock.timers.tick(60_000);
      await until(() => requests.length === 1, 'the service has the head');
      for (const socket of sockets) socket.pause();
      // More than the system takes by itself.
      assert.equal(
        sink().write(Buffer.alloc(50_000_000), () => {}),
        false,
      );
      mock.timers.tick(1_300);
      await failed;
    });
  });
});
