import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { call, type ProxyWorld, startProxyWorld, startService, type TestService } from '../proxy/world.ts';
import { until } from '../support/until.ts';

const BODY_IDLE_MS = 600;
/** Many chunks in each packet. */
const PIECE = Buffer.alloc(1_000, 0x62);
const PIECES = 40_000;
const GULP_BYTES = 4_000_000;

/** What a client does on a new connection; it may leave, or wait for what the server does. */
type Client = (socket: Socket, head: (line: string, ...headers: string[]) => string) => Promise<void> | void;

const leave = (socket: Socket): void => {
  socket.destroy();
};
const reset = (socket: Socket): void => {
  socket.resetAndDestroy();
};
/** Send, wait until it surely arrived, and go. */
const sendAndGo =
  (text: (head: Parameters<Client>[1]) => string, go: (socket: Socket) => void): Client =>
  async (socket, head) => {
    socket.write(text(head));
    await sleep(40);
    go(socket);
  };

/** Clients that leave by themselves. */
const leaving: Readonly<Record<string, Client>> = {
  'says nothing': leave,
  'leaves in the request line': sendAndGo(() => 'GET /c/ok HT', leave),
  'leaves in a header': sendAndGo(() => 'GET /c/ok HTTP/1.1\r\nhost: 127', leave),
  'leaves right after its request': (socket, head) => {
    socket.write(head('GET /c/ok'));
    socket.end();
  },
  'leaves while the service is silent': sendAndGo((head) => head('GET /c/silence'), leave),
  'resets while the service is silent': sendAndGo((head) => head('GET /c/silence'), reset),
  'leaves in a download of known length': sendAndGo((head) => head('GET /c/big'), leave),
  'resets in a download of known length': sendAndGo((head) => head('GET /c/big'), reset),
  'leaves in a chunked download': sendAndGo((head) => head('GET /c/endless'), leave),
  'resets in a chunked download': sendAndGo((head) => head('GET /c/endless'), reset),
  'leaves before its body': sendAndGo((head) => head('POST /c/read', 'content-length: 9'), leave),
  'leaves in its body': sendAndGo((head) => `${head('POST /c/read', 'content-length: 9')}hell`, leave),
  'resets in its body': sendAndGo((head) => `${head('POST /c/read', 'content-length: 9')}hell`, reset),
  'leaves in a chunk': sendAndGo((head) => `${head('POST /c/read', 'transfer-encoding: chunked')}9\r\nhell`, leave),
  'leaves between chunks': sendAndGo(
    (head) => `${head('POST /c/read', 'transfer-encoding: chunked')}4\r\nhell\r\n`,
    leave,
  ),
  'expects to continue and leaves': sendAndGo(
    (head) => head('POST /c/read', 'content-length: 9', 'expect: 100-continue'),
    leave,
  ),
  'asks HEAD and leaves': sendAndGo((head) => head('HEAD /c/silence'), leave),
};

/** Clients that stay until the server ends the connection. */
const staying: Readonly<Record<string, Client>> = {
  'sends a second request while the first is pending': async (socket, head) => {
    socket.write(head('GET /c/silence'));
    await sleep(40);
    socket.write(head('GET /c/ok'));
  },
  'smuggles a request behind a chunked body': (socket, head) => {
    socket.write(`${head('POST /c/read', 'transfer-encoding: chunked')}0\r\n\r\n${head('GET /c/secret')}`);
  },
  'sends a chunk size that is none': (socket, head) => {
    socket.write(`${head('POST /c/read', 'transfer-encoding: chunked')}xyz\r\n`);
  },
  'sends more than the limit in chunks': (socket, head) => {
    socket.write(`${head('POST /c/small', 'transfer-encoding: chunked')}5dc\r\n${'x'.repeat(1500)}\r\n`);
  },
  'declares more than the limit': (socket, head) => {
    socket.write(head('POST /c/small', 'content-length: 1500'));
  },
  'declares both lengths': (socket, head) => {
    socket.write(head('POST /c/read', 'content-length: 4', 'transfer-encoding: chunked'));
  },
  'declares two lengths': (socket, head) => {
    socket.write(head('POST /c/read', 'content-length: 4', 'content-length: 5'));
  },
  'stops reading a download of known length': (socket, head) => {
    socket.pause();
    socket.write(head('GET /c/big'));
    // A peer that reads nothing does not see the end either: look after the deadline.
    setTimeout(() => socket.resume(), BODY_IDLE_MS * 3);
  },
  'stops reading a chunked download': (socket, head) => {
    socket.pause();
    socket.write(head('GET /c/endless'));
    setTimeout(() => socket.resume(), BODY_IDLE_MS * 3);
  },
};

function timeouts(headers: string): object {
  return { connect: '1s', headers, body_idle: `${BODY_IDLE_MS}ms` };
}

describe('a client that misbehaves', () => {
  let world: ProxyWorld;
  let service: TestService;
  const open = new Set<object>();
  const paths: string[] = [];
  before(async () => {
    service = await startService((incoming, response) => {
      open.add(response);
      response.on('close', () => open.delete(response));
      const path = incoming.url ?? '';
      paths.push(path);
      if (path === '/c/big') {
        response.writeHead(200, { 'content-length': 100_000_000 });
        response.write(Buffer.alloc(20_000_000));
      } else if (path === '/c/pieces') {
        for (let i = 0; i < PIECES; i++) response.write(PIECE);
        response.end();
      } else if (path === '/c/endless') response.write(Buffer.alloc(20_000_000));
      else if (!path.startsWith('/c/silence')) {
        incoming.resume().on('end', () => response.end('ok'));
      }
    });
    world = await startProxyWorld({
      services: {
        s: { urls: [service.url], token: { source: 'none' }, timeouts: timeouts('20s') },
        short: { urls: [service.url], token: { source: 'none' }, timeouts: timeouts('1s') },
      },
      routes: [
        { id: 's', paths: ['/c/*'], target_service: 's', auth: 'none', max_body: '32MiB' },
        { id: 'short', paths: ['/c/silence/short'], target_service: 'short', auth: 'none', max_body: '32MiB' },
        { id: 'small', paths: ['/c/small'], target_service: 's', auth: 'none', max_body: '1KiB' },
      ],
    });
  });
  after(async () => {
    await world.close();
    await service.close();
  });

  /** Nothing of a client is left: no request at the service, none in flight here; and the next one is answered. */
  async function checkNothingIsLeft(): Promise<void> {
    await until(() => open.size === 0, 'the service has no request left');
    await until(async () => (await world.metric('sallyport_requests_in_flight')) === 1, 'nothing is in flight');
    assert.equal((await call({ port: world.port, path: '/c/ok' })).body.toString(), 'ok');
  }

  function dial(): Socket {
    return connect(world.port, '127.0.0.1').on('error', () => {});
  }

  function head(line: string, ...headers: string[]): string {
    return [`${line} HTTP/1.1`, `host: 127.0.0.1:${world.port}`, ...headers, '', ''].join('\r\n');
  }

  for (const [name, client] of Object.entries(leaving)) {
    test(`and ${name} leaves nothing behind`, async () => {
      const socket = dial();
      socket.resume();
      await client(socket, head);
      await checkNothingIsLeft();
    });
  }

  for (const [name, client] of Object.entries(staying)) {
    test(`and ${name} is cut off`, async () => {
      const socket = dial();
      const closed = new Promise((resolve) => socket.on('close', resolve));
      socket.resume();
      await client(socket, head);
      await closed;
      await checkNothingIsLeft();
    });
  }

  test('and takes a chunked answer in gulps, each within the deadline, gets all of it', async () => {
    const socket = dial();
    let received = 0;
    socket.on('data', (bytes: Buffer) => {
      received += bytes.reduce((count, byte) => count + (byte === 0x62 ? 1 : 0), 0);
    });
    const closed = new Promise<void>((resolve) => void socket.on('close', () => resolve()));
    socket.write(head('GET /c/pieces', 'connection: close'));
    const all = PIECE.length * PIECES;
    for (let wanted = GULP_BYTES; received < all; wanted += GULP_BYTES) {
      await until(() => received >= Math.min(wanted, all), 'the next gulp');
      socket.pause();
      await sleep(BODY_IDLE_MS / 4);
      socket.resume();
    }
    socket.destroy();
    await closed;
  });

  test('and trickles its body is answered 400', async () => {
    const socket = dial();
    let text = '';
    socket.on('data', (bytes) => (text += bytes.toString()));
    socket.write(`${head('POST /c/read', 'content-length: 1000')}x`);
    await until(() => text.includes('HTTP/1.1 400 '), 'an answer');
    assert.match(text, /bad_request/);
    socket.destroy();
    await checkNothingIsLeft();
  });

  test('never reaches a service with what it smuggled', () => {
    assert.ok(!paths.includes('/c/secret'), 'the smuggled request arrived');
  });

  test('among hundreds that leave at random moments harms nobody', async () => {
    const lines = ['GET /c/ok', 'GET /c/silence', 'GET /c/big', 'GET /c/endless'];
    const clients = Array.from({ length: 300 }, async (_, index) => {
      const socket = dial();
      socket.resume();
      socket.write(head(lines[index % lines.length] as string));
      await sleep((index * 7) % 50);
      if (index % 3 === 0) socket.resetAndDestroy();
      else socket.destroy();
    });
    await Promise.all(clients);
    await checkNothingIsLeft();
  });

  test('and leaves while nobody reads its body is let go at the deadline of the service', async () => {
    const socket = dial();
    socket.write(head('POST /c/silence/short', 'content-length: 20000000') + 'x'.repeat(15_000_000));
    await until(() => paths.at(-1) === '/c/silence/short', 'the service has the request');
    // Reading stands still on both sides: neither we nor the service see the end.
    socket.destroy();
    await until(async () => (await world.metric('sallyport_requests_in_flight')) === 1, 'nothing is in flight');
  });
});
