import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { call, codeOf, type ProxyWorld, startProxyWorld, type TestAnswer } from '../proxy/world.ts';
import { until } from '../support/until.ts';

/** What a raw service does with one request. */
type Misbehaviour = (socket: Socket) => void;

/** What the client gets: a problem code, a cut connection, or an answer whose body is given. */
type Expected = { readonly code: string } | { readonly cut: true } | { readonly status: number; readonly body: string };

const BAD: Expected = { code: 'service_bad_response' };
const TIMEOUT: Expected = { code: 'service_timeout' };
const CUT: Expected = { cut: true };
const say =
  (text: string): Misbehaviour =>
  (socket) =>
    socket.write(text);
const sayAndEnd =
  (text: string): Misbehaviour =>
  (socket) =>
    socket.end(text);
const HEAD = 'HTTP/1.1 200 OK\r\n';

const cases: Readonly<Record<string, readonly [Misbehaviour, Expected]>> = {
  'closes without a word': [(socket) => socket.end(), BAD],
  'resets the connection': [(socket) => socket.resetAndDestroy(), BAD],
  'closes in the status line': [sayAndEnd('HTTP/1.1 20'), BAD],
  'closes in a header': [sayAndEnd(`${HEAD}content-ty`), BAD],
  'closes after the headers': [sayAndEnd(`${HEAD}content-length: 5\r\n`), BAD],
  'closes before the first byte of the body': [sayAndEnd(`${HEAD}content-length: 5\r\n\r\n`), BAD],
  'closes in a body of known length': [sayAndEnd(`${HEAD}content-length: 5\r\n\r\nhe`), CUT],
  'closes in a chunk': [sayAndEnd(`${HEAD}transfer-encoding: chunked\r\n\r\n5\r\nhe`), CUT],
  'closes before the last chunk': [sayAndEnd(`${HEAD}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`), CUT],
  'sends a chunk size that is none': [say(`${HEAD}transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n`), BAD],
  'sends a chunk size beyond every number': [
    say(`${HEAD}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello`),
    BAD,
  ],
  'sends a chunk that is longer than it says': [
    say(`${HEAD}transfer-encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n`),
    CUT,
  ],
  'sends both lengths': [say(`${HEAD}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`), BAD],
  'sends two different lengths': [say(`${HEAD}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!`), BAD],
  'sends a length that is no number': [say(`${HEAD}content-length: five\r\n\r\nhello`), BAD],
  'sends a negative length': [say(`${HEAD}content-length: -5\r\n\r\nhello`), BAD],
  'sends a length beyond every number': [say(`${HEAD}content-length: 99999999999999999999999\r\n\r\nhello`), BAD],
  'sends a transfer coding that is none': [say(`${HEAD}transfer-encoding: nonsense\r\n\r\nhello`), BAD],
  'speaks another protocol': [say('SSH-2.0-OpenSSH_9.2\r\n'), BAD],
  'answers in HTTP/0.9': [sayAndEnd('<html>hello</html>'), BAD],
  'sends a header bomb': [say(`${HEAD}x: ${'a'.repeat(200_000)}\r\ncontent-length: 0\r\n\r\n`), BAD],
  'sends a thousand headers': [
    say(`${HEAD}${Array.from({ length: 1000 }, (_, i) => `x-${i}: 1\r\n`).join('')}content-length: 0\r\n\r\n`),
    BAD,
  ],
  'sends a NUL in a header': [say(`${HEAD}x: a\0b\r\ncontent-length: 0\r\n\r\n`), BAD],
  'sends a lone CR in a header': [say(`${HEAD}x: a\rb: c\r\ncontent-length: 0\r\n\r\n`), BAD],
  'sends a header without a name': [say(`${HEAD}: a\r\ncontent-length: 0\r\n\r\n`), BAD],
  'sends a space before the colon': [say(`${HEAD}x : a\r\ncontent-length: 0\r\n\r\n`), BAD],
  'sends status 999': [say('HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n'), BAD],
  'sends status 099': [say('HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n'), BAD],
  'switches protocols unasked': [
    say('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n'),
    BAD,
  ],
  'says continue unasked': [say(`HTTP/1.1 100 Continue\r\n\r\n${HEAD}content-length: 0\r\n\r\n`), BAD],
  'floods with early hints': [say(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n`.repeat(500)), BAD],
  'hints a little and then answers': [
    say(`${'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(3)}${HEAD}content-length: 2\r\n\r\nok`),
    { status: 200, body: 'ok' },
  ],
  'smuggles a second answer': [
    say(`${HEAD}content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen`),
    { status: 200, body: 'ok' },
  ],
  'smuggles bytes after the answer': [say(`${HEAD}content-length: 2\r\n\r\nok and more`), { status: 200, body: 'ok' }],
  'sends a body with 204': [
    say('HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\nstolen'),
    { status: 204, body: '' },
  ],
  'sends a body with 304': [say('HTTP/1.1 304 Not Modified\r\n\r\nstolen'), { status: 304, body: '' }],
  'sends trailers': [
    say(`${HEAD}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nset-cookie: bff_session=x\r\n\r\n`),
    { status: 200, body: 'ok' },
  ],
  'ends a body of unknown length by closing': [sayAndEnd(`${HEAD}\r\nok`), { status: 200, body: 'ok' }],
  'never answers': [() => {}, TIMEOUT],
  'trickles its headers': [(socket) => trickle(socket, `${HEAD}x-slow: 1\r\n`), TIMEOUT],
  'stops in the headers': [say(`${HEAD}x-slow: 1\r\n`), TIMEOUT],
  'stops before the body': [say(`${HEAD}content-length: 5\r\n\r\n`), TIMEOUT],
  'stops in the body': [say(`${HEAD}content-length: 5\r\n\r\nhe`), CUT],
};

/** One byte every 50 ms. */
function trickle(socket: Socket, text: string): void {
  let at = 0;
  const timer = setInterval(() => {
    if (socket.destroyed || at === text.length) clearInterval(timer);
    else socket.write(text[at++] as string);
  }, 50);
}

/** A raw TCP service: `/raw/<number>` chooses the case, `/raw/ok` is answered well. */
async function startRawService(): Promise<{ server: Server; port: number; open: Set<Socket> }> {
  const open = new Set<Socket>();
  const names = Object.keys(cases);
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      if (!text.includes('\r\n\r\n')) return;
      const name = /^[A-Z]+ \/raw\/(\S+)/.exec(text)?.[1] ?? '';
      text = '';
      if (name === 'ok') socket.write(`${HEAD}content-length: 4\r\n\r\ngood`);
      else cases[names[Number(name)] as string]?.[0](socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port, open };
}

async function outcome(port: number, path: string): Promise<TestAnswer | 'cut'> {
  try {
    return await call({ port, path });
  } catch {
    return 'cut';
  }
}

describe('a service that misbehaves', () => {
  let world: ProxyWorld;
  let raw: Awaited<ReturnType<typeof startRawService>>;
  before(async () => {
    raw = await startRawService();
    const timeouts = { connect: '500ms', headers: '700ms', body_idle: '700ms' };
    world = await startProxyWorld({
      services: {
        raw: { urls: [`http://127.0.0.1:${raw.port}`], timeouts, token: { source: 'none' } },
        // Port 1 of loopback: nobody listens there.
        gone: { urls: ['http://127.0.0.1:1'], timeouts, token: { source: 'none' } },
      },
      routes: [
        { id: 'raw', paths: ['/raw/*'], target_service: 'raw', auth: 'none' },
        { id: 'gone', paths: ['/gone'], target_service: 'gone', auth: 'none' },
      ],
    });
  });
  after(async () => {
    await world.close();
    for (const socket of raw.open) socket.destroy();
    raw.server.close();
  });

  for (const [index, name] of Object.keys(cases).entries()) {
    test(`that ${name} harms nobody else`, async () => {
      const expected = cases[name]?.[1] as Expected;
      const answer = await outcome(world.port, `/raw/${index}`);
      if ('cut' in expected) assert.equal(answer, 'cut');
      else {
        assert.notEqual(answer, 'cut');
        checkAnswer(answer as TestAnswer, expected);
      }
      const next = await outcome(world.port, '/raw/ok');
      assert.equal((next as TestAnswer).body.toString(), 'good');
    });
  }

  test('that is not there gives 502 service_connect_failed', async () => {
    const answer = await call({ port: world.port, path: '/gone' });
    assert.equal(answer.status, 502);
    assert.equal(codeOf(answer), 'service_connect_failed');
  });

  test('leaves no request behind', async () => {
    // The request that asks is one of them.
    await until(async () => (await world.metric('sallyport_requests_in_flight')) === 1, 'nothing is in flight');
  });
});

function checkAnswer(answer: TestAnswer, expected: Exclude<Expected, { cut: true }>): void {
  if ('code' in expected) {
    assert.equal(codeOf(answer), expected.code);
    assert.equal(answer.status, expected.code === 'service_timeout' ? 504 : 502);
    assert.doesNotMatch(answer.body.toString(), /127\.0\.0\.1|hello|UND_ERR/);
    return;
  }
  assert.equal(answer.status, expected.status);
  assert.equal(answer.body.toString(), expected.body);
  assert.equal(answer.headers['set-cookie'], undefined);
}
