import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { openRawWebSocket } from '../support/raw-websocket.ts';
import { until } from '../support/until.ts';
import { closeOf, goodHandshake, type SocketWorld, startSocketWorld } from './websocket-world.ts';
import { codeOf } from './world.ts';

/** What the misbehaving service does with a handshake, by path. */
const answers = new Map<string, (socket: Socket, key: string) => void>();
const wild = createTcpServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', (head: Buffer) => {
    const [, path = ''] = /^GET (\S+) /.exec(head.toString('latin1')) ?? [];
    const [, key = ''] = /sec-websocket-key: (\S+)/i.exec(head.toString('latin1')) ?? [];
    answers.get(path)?.(socket, key);
  });
});

let lab: SocketWorld;
let good: Record<string, string>;

before(async () => {
  wild.listen(0, '127.0.0.1');
  await once(wild, 'listening');
  const { port } = wild.address() as { port: number };
  const timeouts = { connect: '1s', headers: '300ms', body_idle: '1s' };
  lab = await startSocketWorld({
    services: {
      wild: { urls: [`http://127.0.0.1:${port}`], token: { source: 'none' }, timeouts },
      nobody: { urls: ['http://127.0.0.1:1'], token: { source: 'none' }, timeouts },
    },
    routes: [
      { id: 'wild', paths: ['/wild/*'], target_service: 'wild', auth: 'none', websocket: {} },
      { id: 'nobody', paths: ['/nobody'], target_service: 'nobody', auth: 'none', websocket: {} },
    ],
  });
  good = goodHandshake(lab.world.origin, lab.alice);
});

after(async () => {
  await lab.close();
  wild.close();
});

async function accept(key: string): Promise<string> {
  const bytes = new TextEncoder().encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  const hash = Buffer.from(await crypto.subtle.digest('SHA-1', bytes)).toString('base64');
  return `HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${hash}\r\n`;
}

describe('close codes and reasons reach the other side', () => {
  for (const code of [1000, 1001, 1003, 1008, 1011, 4000, 4401, 4999]) {
    test(`${code} of the client`, async () => {
      const socket = await openRawWebSocket(lab.world.port, '/echo/x', good);
      const before = lab.service.closes.length;
      socket.send({ opcode: 8, payload: Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from('grün')]) });
      await until(() => lab.service.closes.length > before, 'the service saw it');
      assert.deepEqual(lab.service.closes.at(-1), { code, reason: 'grün' });
      assert.match((await socket.ended).join(), new RegExp(`^8:${code.toString(16).padStart(4, '0')}`));
    });
  }

  for (const code of [1000, 1001, 1008, 1011, 1012, 1013, 3000, 3999, 4000, 4999]) {
    test(`${code} of the service, after the messages before it`, async () => {
      lab.service.on(`/echo/close-${code}`, (socket) => {
        socket.send('x'.repeat(300_000));
        socket.close(code, 'grün');
      });
      let bytes = 0;
      const onMessage = (data: Buffer): void => {
        bytes += data.length;
      };
      const socket = await lab.connect(`/echo/close-${code}`, { onMessage });
      assert.equal(await closeOf(socket), `${code} grün`);
      assert.equal(bytes, 300_000);
    });
  }

  test('none stays none, both ways; the codes that the native parser does not know become none', async () => {
    for (const payload of [Buffer.alloc(0), Buffer.from([3000 >> 8, 3000 & 255])]) {
      const before = lab.service.closes.length;
      const raw = await openRawWebSocket(lab.world.port, '/echo/x', good);
      raw.send({ opcode: 8, payload });
      await until(() => lab.service.closes.length > before, 'the service saw it');
      assert.deepEqual(lab.service.closes.at(-1), { code: 1005, reason: '' });
    }
    lab.service.on('/echo/none', (socket) => socket.close());
    assert.equal(await closeOf(await lab.connect('/echo/none')), '1005');
  });
});

describe('a service that', () => {
  const refusals: readonly [string, string, (socket: Socket, key: string) => void, string][] = [
    ['ends the connection', 'ends', (socket) => socket.end(), '502 service_bad_response'],
    ['resets the connection', 'resets', (socket) => socket.resetAndDestroy(), '502 service_bad_response'],
    ['says nothing', 'silent', () => {}, '504 service_timeout'],
    ['answers half a head', 'half', (socket) => socket.write('HTTP/1.1 101 X\r\nupgrade'), '504 service_timeout'],
    ['speaks no HTTP', 'garbage', (socket) => socket.write('\0\x01garbage\r\n\r\n'), '502 service_bad_response'],
    [
      'refuses with 403',
      'no',
      (socket) => socket.write('HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n'),
      '502 service_bad_response',
    ],
    [
      'redirects',
      'to',
      (socket) => socket.write('HTTP/1.1 302 X\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n'),
      '502 service_bad_response',
    ],
    [
      'answers 200',
      'ok',
      (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'),
      '502 service_bad_response',
    ],
    [
      'accepts with a wrong key',
      'key',
      (socket) => void accept('other').then((head) => socket.write(`${head}\r\n`)),
      '502 service_bad_response',
    ],
    [
      'upgrades to something else',
      'h2c',
      (socket) => socket.write('HTTP/1.1 101 X\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n'),
      '502 service_bad_response',
    ],
    [
      'chooses a subprotocol nobody offered',
      'sub',
      (socket, key) => void accept(key).then((head) => socket.write(`${head}sec-websocket-protocol: x\r\n\r\n`)),
      '502 service_bad_response',
    ],
    [
      'negotiates compression nobody offered',
      'ext',
      (socket, key) =>
        void accept(key).then((head) => socket.write(`${head}sec-websocket-extensions: permessage-deflate\r\n\r\n`)),
      '502 service_bad_response',
    ],
    [
      'sends a header bomb',
      'bomb',
      (socket) => socket.write(`HTTP/1.1 101 X\r\n${'a: b\r\n'.repeat(20_000)}`),
      '502 service_bad_response',
    ],
    [
      'floods with 1xx',
      'flood',
      (socket) => {
        const timer = setInterval(() => socket.write('HTTP/1.1 103 X\r\n\r\n'), 20);
        socket.on('close', () => clearInterval(timer));
      },
      '504 service_timeout',
    ],
  ];
  for (const [name, path, act, expected] of refusals) {
    test(`${name}: ${expected}`, async () => {
      answers.set(`/wild/${path}`, act);
      const answer = await lab.handshake(`/wild/${path}`, good);
      assert.equal(`${answer.status} ${codeOf(answer)}`, expected);
      assert.ok(!answer.body.toString().includes('127.0.0.1'));
    });
  }

  test('is not there: 502 service_connect_failed', async () => {
    const answer = await lab.handshake('/nobody', good);
    assert.equal(`${answer.status} ${codeOf(answer)}`, '502 service_connect_failed');
  });

  const faults: readonly [string, string, Buffer][] = [
    ['sends masked frames', 'masked', Buffer.from([0x81, 0x81, 1, 2, 3, 4, 0x61])],
    ['sends a reserved opcode', 'opcode', Buffer.from([0x83, 0x00])],
    ['sends compressed frames', 'rsv', Buffer.from([0xc1, 0x01, 0x61])],
    ['sends text that is no UTF-8', 'utf8', Buffer.from([0x81, 0x01, 0xff])],
    ['sends a long control frame', 'control', Buffer.from([0x89, 0x7e, 0x00, 0x80])],
    ['sends the close code 1006', 'code', Buffer.from([0x88, 0x02, 0x03, 0xee])],
    ['promises a message of 2^60 bytes', 'huge', Buffer.from([0x82, 0x7f, 0x10, 0, 0, 0, 0, 0, 0, 0])],
    ['sends HTTP after the upgrade', 'http', Buffer.from('HTTP/1.1 200 OK\r\n\r\n')],
  ];
  for (const [name, path, bytes] of faults) {
    test(`${name}, in the same packet as its 101: the client gets 1014 and nothing of it`, async () => {
      answers.set(`/wild/${path}`, (socket, key) => {
        void accept(key).then((head) => socket.write(Buffer.concat([Buffer.from(`${head}\r\n`), bytes])));
      });
      const got: Buffer[] = [];
      const socket = await lab.connect(`/wild/${path}`, { onMessage: (data) => got.push(data) });
      assert.equal(await closeOf(socket), '1014');
      assert.equal(got.length, 0);
    });
  }

  test('dies: the client gets 1014', async () => {
    lab.service.on('/echo/dies', (socket) => setImmediate(() => socket.terminate()));
    assert.equal(await closeOf(await lab.connect('/echo/dies')), '1014');
  });
});

describe('a client that', () => {
  test('leaves while the service is dialled: the service sees the end of its connection', async () => {
    let left = false;
    answers.set('/wild/left', (socket) => {
      socket.on('close', () => {
        left = true;
      });
      client.destroy();
    });
    const { connect } = await import('node:net');
    const client = connect(lab.world.port, '127.0.0.1');
    const lines = Object.entries(good).map(([name, value]) => `${name}: ${value}`);
    client.write(`GET /wild/left HTTP/1.1\r\nhost: 127.0.0.1:${lab.world.port}\r\n${lines.join('\r\n')}\r\n\r\n`);
    await until(() => left, 'the service saw it');
  });

  for (const [name, how] of [
    ['resets its connection', (socket: Socket) => void socket.resetAndDestroy()],
    ['ends its connection without a close frame', (socket: Socket) => void socket.end()],
  ] as const) {
    test(`${name}: the service is cut off in turn`, async () => {
      const before = lab.service.closes.length;
      const raw = await openRawWebSocket(lab.world.port, '/echo/x', good);
      how(raw.socket);
      await until(() => lab.service.closes.length > before, 'the service saw it');
      assert.equal(lab.service.closes.at(-1)?.code, 1006);
    });
  }

  test('stops reading: the service is paused, and what it cannot send stays with it', async () => {
    let sentBytes = 0;
    lab.service.on('/open/flood', (socket) => {
      const chunk = Buffer.alloc(65_536);
      const pump = (): void => {
        if (socket.readyState !== socket.OPEN || sentBytes >= 512 * 1_048_576) return;
        sentBytes += chunk.length;
        socket.send(chunk, () => setImmediate(pump));
      };
      pump();
    });
    const client = await lab.connect('/open/flood');
    client.pause();
    const rssBefore = process.memoryUsage().rss;
    let last = -1;
    const isHeldUp = async (): Promise<boolean> => {
      last = sentBytes;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return last > 0 && sentBytes === last;
    };
    await until(isHeldUp, 'the service is held up', 20_000);
    // What the kernel buffers of the connections, and 64 KiB of ours.
    assert.ok(last < 64 * 1_048_576, `${last} bytes were taken`);
    assert.ok(process.memoryUsage().rss - rssBefore < 128 * 1_048_576);
    client.resume();
    await until(() => sentBytes > last + 16 * 1_048_576, 'it goes on when the client reads');
    client.terminate();
  });

  test('sends faster than its service reads is closed with 1013, both sides', async () => {
    lab.service.on('/open/stuck', (socket) => socket.pause());
    const socket = await lab.connect('/open/stuck');
    const close = closeOf(socket);
    const chunk = Buffer.alloc(1_048_576);
    for (let i = 0; i < 64; i++) socket.send(chunk, () => {});
    assert.equal(await close, '1013 the service does not keep up');
    for (const one of lab.service.open) one.terminate();
  });
});

describe('a side that falls silent', () => {
  test('is pinged, and cut off when it does not answer for the idle time of the route', async () => {
    const answering = await lab.connect('/brief');
    const silent = await lab.connect('/brief', { autoPong: false });
    let pings = 0;
    silent.on('ping', () => {
      pings += 1;
    });
    const close = closeOf(silent);
    lab.world.advanceMs(4_500);
    await until(() => pings === 1, 'it was pinged');
    lab.world.advanceMs(4_500);
    assert.equal(await close, '1006');
    assert.equal(answering.readyState, answering.OPEN);
    answering.terminate();
  });
});

test('a server that stops says goodbye with 1001, to both sides', async () => {
  const other = await startSocketWorld();
  const close = closeOf(await other.connect('/echo/x'));
  await other.close();
  assert.equal(await close, '1001 going away');
  assert.equal(other.service.closes[0]?.code, 1001);
});
