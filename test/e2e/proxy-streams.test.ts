import assert from 'node:assert/strict';
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { call, codeOf, type ProxyWorld, startProxyWorld, startService, type TestService } from '../proxy/world.ts';
import { until } from '../support/until.ts';

const MIB = 1_048_576;
const BIG_BYTES = 50 * MIB;
/** Kernel buffers of two loopback hops and ours; far from the whole body. */
const IN_FLIGHT_MAX_BYTES = 30 * MIB;
const PART = Buffer.alloc(64 * 1024, 'sallyport ');
const BIG_SHA = sha256OfBig();

function sha256OfBig(): string {
  const hash = createHash('sha256');
  for (let sent = 0; sent < BIG_BYTES; sent += PART.length) hash.update(PART);
  return hash.digest('hex');
}

/** Write 50 MiB with respect for back-pressure. */
async function writeBig(sink: ServerResponse | ClientRequest, progress: { sent: number }): Promise<void> {
  sink.setMaxListeners(0);
  while (progress.sent < BIG_BYTES && !sink.destroyed) {
    const room = sink.write(PART);
    progress.sent += PART.length;
    if (!room) await Promise.race([once(sink, 'drain'), once(sink, 'close')]);
  }
  sink.end();
}

function open(world: ProxyWorld, method: string, path: string, headers: Record<string, string> = {}): ClientRequest {
  const all = { connection: 'keep-alive', ...headers };
  return request({ host: '127.0.0.1', port: world.port, method, path, headers: all, agent: false }).on(
    'error',
    () => {},
  );
}

async function responseOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return response;
}

/** What the service does with each path, and what it saw. */
class Streams {
  readonly download = { sent: 0 };
  readonly upload = { received: 0, hash: undefined as string | undefined };
  uploadGate: () => void = () => {};
  closed = 0;
  events: ServerResponse | undefined;

  handle(incoming: IncomingMessage, response: ServerResponse): void {
    response.on('close', () => {
      if (!response.writableFinished) this.closed += 1;
    });
    const path = incoming.url ?? '';
    if (path.startsWith('/s/big')) this.sendBig(response, path.endsWith('-known'));
    else if (path === '/s/take') this.takeBig(incoming, response);
    else if (path === '/s/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      this.events = response;
    } else if (path === '/s/early') {
      // Answers before the body is read.
      response.writeHead(403, { 'content-type': 'text/plain' }).end('no');
    } else if (path === '/s/count' || path === '/s/small') {
      let count = 0;
      incoming.on('data', (chunk: Buffer) => (count += chunk.length));
      incoming.on('end', () => response.end(`${count} ${incoming.headers['transfer-encoding'] ?? 'length'}`));
    } else if (path.startsWith('/s/status/')) {
      const [status, length] = path.slice('/s/status/'.length).split('/');
      response.writeHead(Number(status), length === undefined ? {} : { 'content-length': length }).end();
    } else if (path !== '/s/silence') response.end('ok');
  }

  sendBig(response: ServerResponse, known: boolean): void {
    this.download.sent = 0;
    if (known) response.setHeader('content-length', BIG_BYTES);
    void writeBig(response, this.download);
  }

  takeBig(incoming: IncomingMessage, response: ServerResponse): void {
    const hash: Hash = createHash('sha256');
    this.upload.received = 0;
    incoming.pause();
    incoming.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      this.upload.received += chunk.length;
    });
    incoming.pause();
    this.uploadGate = () => incoming.resume();
    incoming.on('end', () => response.end(hash.digest('hex')));
  }
}

describe('the proxy streams', () => {
  const streams = new Streams();
  let world: ProxyWorld;
  let service: TestService;
  before(async () => {
    service = await startService((incoming, response) => streams.handle(incoming, response));
    world = await startProxyWorld({
      services: { s: { urls: [service.url], token: { source: 'none' } } },
      routes: [
        { id: 's', paths: ['/s/*'], target_service: 's', auth: 'none', max_body: '64MiB' },
        { id: 'small', paths: ['/s/small'], target_service: 's', auth: 'none', max_body: '1KiB' },
      ],
    });
  });
  after(async () => {
    await world.close();
    await service.close();
  });

  for (const kind of ['known', 'unknown']) {
    test(`50 MiB of ${kind} length down, no faster than the client reads`, async () => {
      const outgoing = open(world, 'GET', `/s/big-${kind}`);
      outgoing.end();
      const response = await responseOf(outgoing);
      assert.equal(response.headers['content-length'], kind === 'known' ? String(BIG_BYTES) : undefined);
      response.pause();
      await settle(() => streams.download.sent);
      assert.ok(streams.download.sent < IN_FLIGHT_MAX_BYTES, `${streams.download.sent} bytes without a reader`);
      const hash = createHash('sha256');
      for await (const chunk of response) hash.update(chunk as Buffer);
      assert.equal(hash.digest('hex'), BIG_SHA);
      assert.equal(streams.download.sent, BIG_BYTES);
    });

    test(`50 MiB of ${kind} length up, no faster than the service reads`, async () => {
      const headers: Record<string, string> = kind === 'known' ? { 'content-length': String(BIG_BYTES) } : {};
      const outgoing = open(world, 'POST', '/s/take', headers);
      const progress = { sent: 0 };
      const sending = writeBig(outgoing, progress);
      await settle(() => progress.sent);
      assert.ok(progress.sent < IN_FLIGHT_MAX_BYTES, `${progress.sent} bytes without a reader`);
      streams.uploadGate();
      const [response] = await Promise.all([responseOf(outgoing), sending]);
      const [chunk] = (await once(response, 'data')) as [Buffer];
      assert.equal(chunk.toString(), BIG_SHA);
    });
  }

  test('an event stream event by event, and opens it before the first', async () => {
    const outgoing = open(world, 'GET', '/s/events');
    outgoing.end();
    const response = await responseOf(outgoing);
    assert.equal(response.headers['content-type'], 'text/event-stream');
    let text = '';
    response.on('data', (chunk: Buffer) => (text += chunk.toString()));
    for (const event of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
      streams.events?.write(event);
      await until(() => text.endsWith(event), `${event} arrives by itself`);
    }
    // The line that opened it means nothing to a reader of events.
    assert.equal(text, '\ndata: 1\n\ndata: 2\n\ndata: 3\n\n');
    outgoing.on('error', () => {}).destroy();
    await until(() => streams.events?.destroyed === true, 'the service hears that the reader left');
  });

  test('the abort of a client to the service, at each stage', async () => {
    const stages: readonly (() => ClientRequest)[] = [
      () => open(world, 'GET', '/s/silence').end(),
      () => open(world, 'GET', '/s/big-known').end(),
      () => open(world, 'GET', '/s/big-unknown').end(),
      () => {
        const outgoing = open(world, 'POST', '/s/take', { 'content-length': '1000000' });
        outgoing.write('a part');
        return outgoing;
      },
    ];
    for (const begin of stages) {
      const { closed } = streams;
      const seen = service.seen.length;
      const outgoing = begin();
      await until(() => service.seen.length > seen, 'the service has the request');
      await sleep(30);
      outgoing.on('error', () => {}).destroy();
      await until(() => streams.closed > closed, 'the service hears of it');
    }
    await until(async () => (await world.metric('sallyport_requests_in_flight')) === 1, 'nothing is in flight');
  });

  test('no body above the limit: at once by its length, midway without one', async () => {
    const seen = service.seen.length;
    const declared = await call({
      port: world.port,
      path: '/s/small',
      method: 'POST',
      headers: { connection: 'keep-alive' },
      body: 'x'.repeat(1025),
    });
    assert.equal(declared.status, 413);
    assert.equal(codeOf(declared), 'body_too_large');
    assert.equal(declared.headers.connection, 'close');
    assert.equal(service.seen.length, seen);
    const outgoing = open(world, 'POST', '/s/small');
    outgoing.write('x'.repeat(1000));
    await until(() => service.seen.length > seen, 'the service has the request');
    outgoing.write('x'.repeat(1000));
    assert.equal((await responseOf(outgoing)).statusCode, 413);
    await until(() => service.last().destroyed, 'the service hears of it');
  });

  test('bodies with the framing of the request', async () => {
    const known = await call({ port: world.port, path: '/s/count', method: 'POST', body: 'hello' });
    assert.equal(known.body.toString(), '5 length');
    const chunked = open(world, 'POST', '/s/count');
    chunked.write('hel');
    await sleep(20);
    chunked.end('lo!');
    const response = await responseOf(chunked);
    assert.equal(String((await once(response, 'data'))[0]), '6 chunked');
    // What follows a chunked body must not become a request (SECURITY §3.5).
    assert.equal(response.headers.connection, 'close');
    const empty = await call({ port: world.port, path: '/s/count', method: 'POST' });
    assert.equal(empty.body.toString(), '0 length');
  });

  test('an answer that comes before the body is read', async () => {
    const outgoing = open(world, 'POST', '/s/early', { 'content-length': '1000000' });
    outgoing.write('a part');
    const response = await responseOf(outgoing);
    assert.equal(response.statusCode, 403);
    assert.equal(String((await once(response, 'data'))[0]), 'no');
    assert.equal(response.headers.connection, 'close');
    outgoing.on('error', () => {}).destroy();
  });

  test('answers without a body, with the length that belongs to them', async () => {
    const cases = [
      { method: 'HEAD', path: '/s/status/200/7', status: 200, length: '7' },
      { method: 'HEAD', path: '/s/status/200', status: 200, length: undefined },
      { method: 'GET', path: '/s/status/204', status: 204, length: undefined },
      { method: 'GET', path: '/s/status/304', status: 304, length: undefined },
      { method: 'GET', path: '/s/status/200/0', status: 200, length: '0' },
      { method: 'GET', path: '/s/status/500/0', status: 500, length: '0' },
    ];
    for (const { method, path, status, length } of cases) {
      const answer = await call({ port: world.port, method, path });
      assert.equal(answer.status, status, path);
      assert.equal(answer.headers['content-length'], length, `${method} ${path}`);
      assert.equal(answer.body.length, 0);
    }
  });
});

/** Wait until a number has not grown for 300 ms. */
async function settle(read: () => number): Promise<void> {
  let last = -1;
  await until(
    async () => {
      const now = read();
      const isStill = now > 0 && now === last;
      last = now;
      await sleep(300);
      return isStill;
    },
    'the flow stands still',
    15_000,
  );
}
