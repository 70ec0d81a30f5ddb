import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { App, type Handler } from '../../src/core/app.ts';
import { systemClock } from '../../src/core/clock.ts';
import { createLog } from '../../src/core/log.ts';
import { createGeneration, type Generation } from '../../src/generation.ts';
import { sendBytes } from '../support/raw-client.ts';
import { load } from './config/support.ts';

const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'none' };
const SECRET = 'what-only-the-defect-knows';

describe('a defect in a handler', () => {
  const lines: Record<string, unknown>[] = [];
  let generation: Generation;
  let app: App;
  let port: number;

  before(async () => {
    const sink = new Writable({
      write(chunk, _encoding, done) {
        lines.push(JSON.parse(String(chunk)) as Record<string, unknown>);
        done();
      },
    });
    const config = load({});
    generation = createGeneration({ config, log: createLog(config.log, sink), clock: systemClock });
    const handler: Handler = ({ context }) => {
      if (context.path === '/throws') throw new TypeError(SECRET);
      if (context.path === '/rejects') return Promise.reject(new TypeError(SECRET));
      if (context.path === '/header') {
        app.reply(exchangeOf(context.path), { status: 200, headers: [['x', 'a\r\nset-cookie: b']], body: '' });
      }
      return undefined;
    };
    const exchanges = new Map<string, Parameters<Handler>[0]>();
    const exchangeOf = (path: string): Parameters<Handler>[0] => {
      const exchange = exchanges.get(path);
      assert.ok(exchange);
      return exchange;
    };
    app = new App(generation.parts.app, () => (exchange, req) => {
      exchanges.set(exchange.context.path, exchange);
      return handler(exchange, req);
    });
    port = await app.listen('127.0.0.1', 0, false);
  });
  after(async () => {
    app.stopListening();
    app.close();
    await generation.close([]);
  });

  for (const path of ['/throws', '/rejects', '/header']) {
    test(`${path}: 500 as problem+json, which says nothing of it, and the log does`, async () => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      const sent = await response.text();
      const body = JSON.parse(sent) as { readonly code: string; readonly request_id: string };
      assert.deepEqual([response.status, body.code], [500, 'internal_error']);
      assert.equal(response.headers.get('content-type'), 'application/problem+json');
      assert.equal(response.headers.get('set-cookie'), null);
      assert.ok(!sent.includes(SECRET));
      const logged = lines.filter(({ request_id }) => request_id === body.request_id);
      assert.ok(logged.some(({ level, msg }) => level === 'error' && msg === 'a defect was met while answering'));
      assert.ok(logged.some(({ code }) => code === 'internal_error'));
    });
  }

  test('a person gets a page', async () => {
    // Not by fetch: it writes the fetch metadata itself.
    const request = get({ host: '127.0.0.1', port, path: '/throws', headers: NAVIGATION });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.deepEqual([response.statusCode, response.headers['content-type']], [500, 'text/html; charset=utf-8']);
    assert.match(await text(response), /<h1>/);
  });

  for (const method of ['get', 'Get', 'gET', 'GETS', 'GE']) {
    test(`${method} is no GET: 405`, async () => {
      const { responses } = await sendBytes(port, Buffer.from(`${method} /throws HTTP/1.1\r\nHost: a\r\n\r\n`));
      assert.deepEqual(
        responses.map(({ status }) => status),
        [405],
      );
    });
  }

  test('none is left under way', () => {
    assert.equal(generation.parts.app.metrics.hot.inFlight, 0);
    assert.equal(generation.parts.app.flight.count, 0);
  });
});
