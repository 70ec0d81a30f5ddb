// One connection carries many requests: what follows a proxied body must be answered.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { startProxyWorld, startService } from '../proxy/world.ts';
import { until } from '../support/until.ts';

/** Write one request and wait for the whole of its small answer. */
async function ask(socket: Socket, head: string, body: string, pieces: 'together' | 'apart'): Promise<string> {
  let received = '';
  const answered = new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer; received ${JSON.stringify(received)}`)), 5_000);
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (!received.includes('\r\n\r\nseen ')) return;
      clearTimeout(timer);
      socket.removeAllListeners('data');
      resolve(received);
    });
  });
  if (pieces === 'together') socket.write(head + body);
  else {
    socket.write(head);
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.write(body);
  }
  return answered;
}

describe('one connection through the proxy', () => {
  test('a request behind a POST is answered, whether the body came with its head or after it', async () => {
    const service = await startService((incoming, response) => {
      let length = 0;
      incoming.on('data', (chunk: Buffer) => {
        length += chunk.length;
      });
      incoming.on('end', () => response.end(`seen ${incoming.method} ${length}`));
    });
    const world = await startProxyWorld({
      services: { echo: { urls: [service.url] } },
      routes: [{ id: 'open', paths: ['/open/*'], target_service: 'echo', auth: 'none', csrf: 'none' }],
    });
    const socket = connect(world.port, '127.0.0.1');
    try {
      const host = new URL(world.origin).host;
      for (const pieces of ['together', 'apart', 'together'] as const) {
        const post = `POST /open/x HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 9\r\n\r\n`;
        assert.match(await ask(socket, post, '{"a": 12}', pieces), /seen POST 9$/);
        assert.match(await ask(socket, `GET /open/y HTTP/1.1\r\nHost: ${host}\r\n\r\n`, '', 'together'), /seen GET 0$/);
      }
    } finally {
      socket.destroy();
      await world.close();
      await service.close();
    }
  });

  test('who is refused in the middle of a large upload reads why, and goes on with the same connection', async () => {
    const world = await startProxyWorld({
      services: { echo: { urls: ['http://127.0.0.1:9'] } },
      routes: [{ id: 'closed', paths: ['/closed/*'], target_service: 'echo', csrf: 'none' }],
    });
    const socket = connect(world.port, '127.0.0.1');
    try {
      const host = new URL(world.origin).host;
      let received = '';
      socket.on('data', (chunk) => {
        received += chunk.toString('latin1');
      });
      socket.write(`POST /closed/x HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 8388608\r\n\r\n`);
      await until(() => received.includes('authentication_required'), 'the refusal');
      assert.doesNotMatch(received, /connection: close/i);
      for (let part = 0; part < 8; part += 1) {
        if (!socket.write(Buffer.alloc(1_048_576, 'x'))) await once(socket, 'drain');
      }
      received = '';
      socket.write(`GET /nowhere HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      await until(() => received.includes('HTTP/1.1 404'), 'the next answer');
    } finally {
      socket.destroy();
      await world.close();
    }
  });

  test('who is refused with more than that is sent away', async () => {
    const world = await startProxyWorld({
      services: { echo: { urls: ['http://127.0.0.1:9'] } },
      routes: [{ id: 'closed', paths: ['/closed/*'], target_service: 'echo', csrf: 'none', max_body: '1GiB' }],
    });
    const socket = connect(world.port, '127.0.0.1');
    try {
      const host = new URL(world.origin).host;
      const closed = once(socket, 'close');
      let received = '';
      socket.on('data', (chunk) => {
        received += chunk.toString('latin1');
      });
      socket.write(`POST /closed/x HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 16777217\r\n\r\n`);
      await closed;
      assert.match(received, /^HTTP\/1\.1 401 [\s\S]*connection: close/i);
    } finally {
      socket.destroy();
      await world.close();
    }
  });
});
