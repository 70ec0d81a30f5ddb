// One connection carries many requests: what follows a proxied body must be answered.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { startProxyWorld, startService } from '../proxy/world.ts';

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
});
