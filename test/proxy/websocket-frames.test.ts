import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { closePayload, openRawWebSocket, type RawFrame } from '../support/raw-websocket.ts';
import { until } from '../support/until.ts';
import {
  closeOf,
  goodHandshake,
  MESSAGE_MAX_BYTES,
  nextMessage,
  type SocketWorld,
  startSocketWorld,
} from './websocket-world.ts';

const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];

let lab: SocketWorld;

before(async () => {
  lab = await startSocketWorld();
});

after(() => lab.close());

describe('a WebSocket through the proxy echoes', () => {
  test('text and binary messages of 0 bytes to 16 MiB, byte for byte', async () => {
    const socket = await lab.connect('/echo/sizes');
    for (const size of [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1_048_576, MESSAGE_MAX_BYTES]) {
      const sent = randomBytes(size);
      socket.send(sent);
      const binary = await nextMessage(socket);
      assert.ok(binary.isBinary && sent.equals(binary.data), `binary ${size}`);
      const text = sent.toString('hex').slice(0, size);
      socket.send(text);
      const answer = await nextMessage(socket);
      assert.ok(!answer.isBinary && answer.data.toString('latin1') === text, `text ${size}`);
    }
    socket.terminate();
  });

  test('text of every plane of Unicode', async () => {
    const socket = await lab.connect('/echo/x');
    const text = '\u0000\u007f\u0080ÿĀ\u07ff\u0800\ud7ff\ue000\ufffd\uffff\u{10000}\u{10ffff}👩‍🚀';
    socket.send(text);
    assert.equal((await nextMessage(socket)).data.toString('utf8'), text);
    socket.terminate();
  });

  test('500 messages in order, both kinds mixed', async () => {
    const socket = await lab.connect('/echo/x');
    const got: string[] = [];
    socket.on('message', (data, isBinary) => got.push(`${isBinary}${String(data)}`));
    const sent = Array.from({ length: 500 }, (_, i) => ({ text: String(i).repeat(1 + (i % 40)), binary: i % 3 === 0 }));
    for (const { text, binary } of sent) socket.send(text, { binary });
    await until(() => got.length === 500, 'all messages came back');
    assert.deepEqual(
      got,
      sent.map(({ text, binary }) => `${binary}${text}`),
    );
    socket.terminate();
  });

  test('fragmented messages with control frames between the fragments', async () => {
    const raw = await openRawWebSocket(lab.world.port, '/echo/x', goodHandshake(lab.world.origin, lab.alice));
    raw.send(
      { opcode: TEXT, payload: 'Hel', fin: false },
      { opcode: PING, payload: 'between' },
      { opcode: CONTINUATION, payload: '', fin: false },
      { opcode: PONG, payload: 'unasked' },
      { opcode: CONTINUATION, payload: 'lo' },
      { opcode: BINARY, payload: Buffer.from([1]), fin: false },
      { opcode: CONTINUATION, payload: Buffer.from([2]) },
    );
    let [count, text] = [0, ''];
    raw.socket.on('data', (chunk: Buffer) => {
      count += chunk.length;
      text += chunk.toString('latin1');
    });
    await until(() => count >= 9 + 7 + 4, 'pong and both echoes came');
    assert.ok(text.includes('between') && text.includes('Hello') && text.includes('\x82\x02\x01\x02'), text);
    raw.socket.destroy();
  });

  test('fragments of the service as one message, and its early messages', async () => {
    lab.service.on('/echo/fragments', (socket) => {
      socket.send('early');
      socket.send('a', { fin: false });
      socket.ping('between');
      socket.send('b', { fin: false });
      socket.send('c', { fin: true });
    });
    const got: string[] = [];
    const socket = await lab.connect('/echo/fragments', { onMessage: (data) => got.push(String(data)) });
    await until(() => got.length === 2, 'both messages came');
    assert.deepEqual(got, ['early', 'abc']);
    socket.terminate();
  });
});

describe('pings', () => {
  test('of the client and of the service are answered by the proxy with their payload', async () => {
    let answered = '';
    lab.service.on('/echo/pings', (socket) => {
      socket.on('pong', (data) => {
        answered = data.toString();
      });
      socket.ping('from the service');
    });
    const socket = await lab.connect('/echo/pings');
    const pong = once(socket, 'pong');
    socket.ping('from the client');
    assert.equal(String((await pong)[0]), 'from the client');
    await until(() => answered === 'from the service', 'the service got its pong');
    socket.terminate();
  });
});

describe('messages above max_message', () => {
  test('of the client close both sides with 1009; up to it they pass', async () => {
    const socket = await lab.connect('/small/x');
    socket.send('x'.repeat(1024));
    assert.equal((await nextMessage(socket)).data.length, 1024);
    const before = lab.service.closes.length;
    const close = closeOf(socket);
    socket.send('x'.repeat(1025));
    assert.equal(await close, '1009 the message is too large');
    await until(() => lab.service.closes.length > before, 'the service was told');
    assert.equal(lab.service.closes.at(-1)?.code, 1009);
  });

  test('of the service close the service with 1009 and the client with 1014', async () => {
    lab.service.on('/small/large', (socket) => socket.send('x'.repeat(1025)));
    const before = lab.service.closes.length;
    const socket = await lab.connect('/small/large');
    assert.equal(await closeOf(socket), '1014');
    await until(() => lab.service.closes.length > before, 'the service was told');
    assert.equal(lab.service.closes.at(-1)?.code, 1009);
  });
});

describe('frames that break the protocol end the client, and the service is told why', () => {
  const invalid = Buffer.from([0x63, 0x61, 0x66, 0xe9]);
  const cases: readonly [string, readonly RawFrame[], number][] = [
    ['text that is no UTF-8', [{ opcode: TEXT, payload: invalid }], 1007],
    ['a surrogate in UTF-8', [{ opcode: TEXT, payload: Buffer.from([0xed, 0xa0, 0x80]) }], 1007],
    [
      'no UTF-8 over two fragments',
      [
        { opcode: TEXT, payload: 'ok', fin: false },
        { opcode: CONTINUATION, payload: invalid },
      ],
      1007,
    ],
    ['a compressed message that was not negotiated', [{ opcode: TEXT, payload: 'x', rsv: 4 }], 1002],
    ['a reserved bit', [{ opcode: TEXT, payload: 'x', rsv: 2 }], 1002],
    ['a reserved opcode', [{ opcode: 3, payload: 'x' }], 1002],
    ['a reserved control opcode', [{ opcode: 11, payload: 'x' }], 1002],
    ['a fragmented ping', [{ opcode: PING, payload: 'x', fin: false }], 1002],
    ['a ping of 126 bytes', [{ opcode: PING, payload: 'x'.repeat(126) }], 1002],
    ['a continuation of nothing', [{ opcode: CONTINUATION, payload: 'x' }], 1002],
    [
      'a new message inside a fragmented one',
      [
        { opcode: TEXT, payload: 'x', fin: false },
        { opcode: TEXT, payload: 'y' },
      ],
      1002,
    ],
    ['close code 999', [{ opcode: CLOSE, payload: closePayload(999) }], 1005],
    ['close code 1005 on the wire', [{ opcode: CLOSE, payload: closePayload(1005) }], 1005],
    ['close code 1006 on the wire', [{ opcode: CLOSE, payload: closePayload(1006, 'Received invalid UTF-8') }], 1005],
    ['close code 5000', [{ opcode: CLOSE, payload: closePayload(5000) }], 1005],
    [
      'a close reason that is no UTF-8',
      [{ opcode: CLOSE, payload: Buffer.concat([closePayload(1000), invalid]) }],
      1005,
    ],
  ];
  for (const [name, frames, code] of cases) {
    test(name, async () => {
      const raw = await openRawWebSocket(lab.world.port, '/echo/x', goodHandshake(lab.world.origin, lab.alice));
      const before = lab.service.closes.length;
      raw.send(...frames);
      await raw.ended;
      await until(() => lab.service.closes.length > before, 'the service was told');
      assert.equal(lab.service.closes.at(-1)?.code, code);
      const next = await lab.connect('/echo/x');
      next.send('still here');
      assert.equal(String((await nextMessage(next)).data), 'still here');
      next.terminate();
      await until(() => lab.service.open.size === 0, 'the next socket is gone');
    });
  }
});

test('compression is never negotiated', async () => {
  const answer = await lab.handshake('/echo/x', {
    ...goodHandshake(lab.world.origin, lab.alice),
    'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits, x-webkit-deflate-frame',
  });
  assert.equal(answer.status, 101);
  assert.equal(answer.headers['sec-websocket-extensions'], undefined);
  assert.equal(lab.service.seen.at(-1)?.headers['sec-websocket-extensions'], undefined);
});
