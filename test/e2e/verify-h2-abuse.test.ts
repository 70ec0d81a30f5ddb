// HTTP/2 peers that do what no gateway does: each loses its own connection, and nobody else notices.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { askH2, connectH2, type H2Server, startH2Server, verifyHeaders } from '../support/h2.ts';
import {
  connectRawH2,
  FLAG,
  FRAME,
  frame,
  headerBlock,
  type RawH2,
  settingsPayload,
  uint32,
} from '../support/h2-raw.ts';
import { until } from '../support/until.ts';

const CANCEL = 8;
const ENHANCE_YOUR_CALM = 11;
/** RFC 9113 §6.5.2 */
const INITIAL_WINDOW_SIZE = 4;
const HEADERS = headerBlock({
  ':method': 'GET',
  ':scheme': 'https',
  ':authority': 'localhost',
  ...(verifyHeaders('/open/x') as Record<string, string>),
});
const COMPLETE = FLAG.endStream | FLAG.endHeaders;

describe('abuse of the HTTP/2 listener', () => {
  let server: H2Server;
  let raw: RawH2;
  before(async () => {
    server = await startH2Server({ settings: { log: { level: 'debug', access: 'none' } } });
  });
  after(() => server.close());
  beforeEach(async () => {
    raw = await connectRawH2(server.h2Port);
  });

  /** Somebody else's connection, opened before the abuse and asked after it. */
  const bystander = async (abuse: () => Promise<void>): Promise<void> => {
    const session = connectH2(server.h2Port);
    assert.equal((await askH2(session, verifyHeaders('/open/before'))).status, 200);
    await abuse();
    assert.equal((await askH2(session, verifyHeaders('/open/after'))).status, 200);
    session.close();
    raw.close();
  };
  const requests = (count: number, first = 1): Buffer[] =>
    Array.from({ length: count }, (_, n) => frame(FRAME.headers, COMPLETE, first + n * 2, HEADERS));
  const resets = (count: number, first = 1): Buffer[] =>
    Array.from({ length: count }, (_, n) => frame(FRAME.rstStream, 0, first + n * 2, uint32(CANCEL)));

  test('rapid reset (CVE-2023-44487): above the bound the connection ends', () =>
    bystander(async () => {
      for (let batch = 0; batch < 20 && !raw.isClosed(); batch++) {
        const first = batch * 1_000 + 1;
        const given = resets(500, first);
        raw.send(...requests(500, first).flatMap((opened, n) => [opened, given[n] as Buffer]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => raw.isClosed(), 'the connection ends');
    }));

  test('mass cancellation: all 512 streams given up at once are no offence', () =>
    bystander(async () => {
      raw.send(...requests(512), ...resets(512));
      raw.send(...requests(1, 2_001));
      await raw.receive(
        ({ type, stream }) => type === FRAME.headers && stream === 2_001,
        'the next request is answered',
      );
      assert.equal(raw.goawayCode(), undefined);
    }));

  test('requests that were given up are not counted as under way', async () => {
    raw.send(...requests(200), ...resets(200));
    await until(async () => (await server.metric('sallyport_requests_in_flight')) === 1, 'only the question itself');
    raw.close();
  });

  test('CONTINUATION without end (CVE-2024-28182): the connection ends', () =>
    bystander(async () => {
      const part = headerBlock({ 'x-more': 'a'.repeat(100) });
      const floods = Array.from({ length: 2_000 }, () => frame(FRAME.continuation, 0, 1, part));
      raw.send(frame(FRAME.headers, FLAG.endStream, 1, HEADERS), ...floods);
      await until(() => raw.isClosed(), 'the connection ends');
    }));

  test('a header list above limits.header_bytes: 431', () =>
    bystander(async () => {
      const session = connectH2(server.h2Port);
      const [large, small] = await Promise.all([
        askH2(session, verifyHeaders('/open/x', { cookie: 'a'.repeat(40_000) })),
        askH2(session, verifyHeaders('/open/x', { cookie: 'a'.repeat(20_000) })),
      ]);
      assert.deepEqual([large.status, small.status], [431, 200]);
      session.close();
    }));

  test('more than 128 header fields: the stream is reset', () =>
    bystander(async () => {
      const many = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`x-field-${n}`, '1']));
      const session = connectH2(server.h2Port);
      assert.equal((await askH2(session, verifyHeaders('/open/x', many))).status, undefined);
      session.close();
    }));

  for (const [name, payload, type] of [
    ['PING', Buffer.alloc(8), FRAME.ping],
    ['SETTINGS', settingsPayload([INITIAL_WINDOW_SIZE, 65_535]), FRAME.settings],
  ] as const) {
    test(`${name} frames without end: ENHANCE_YOUR_CALM`, () =>
      bystander(async () => {
        raw.send(...Array.from({ length: 500 }, () => frame(type, 0, 0, payload)));
        await until(() => raw.isClosed(), 'the connection ends');
        assert.equal(raw.goawayCode(), ENHANCE_YOUR_CALM);
      }));

    test(`a few ${name} frames are answered`, async () => {
      raw.send(...Array.from({ length: 10 }, () => frame(type, 0, 0, payload)));
      const isAck = ({ type: received, flags }: { type: number; flags: number }) =>
        received === type && flags === FLAG.ack;
      await until(() => raw.frames.filter(isAck).length >= 10, 'acknowledged');
      raw.close();
    });
  }

  test('frames that cost little each, in megabytes: ENHANCE_YOUR_CALM within the next seconds', () =>
    bystander(async () => {
      const updates = Array.from({ length: 50_000 }, () => frame(FRAME.windowUpdate, 0, 0, uint32(1)));
      for (let n = 0; n < 4; n++) raw.send(...updates);
      await until(() => raw.isClosed(), 'the connection ends');
      assert.equal(raw.goawayCode(), ENHANCE_YOUR_CALM);
    }));

  test('a closed window holds an answer back, and nobody else', () =>
    bystander(async () => {
      const slow = await connectRawH2(server.h2Port, settingsPayload([INITIAL_WINDOW_SIZE, 0]));
      const signedOut = headerBlock({
        ':method': 'GET',
        ':scheme': 'https',
        ':authority': 'localhost',
        ...(verifyHeaders('/page') as Record<string, string>),
      });
      slow.send(...Array.from({ length: 100 }, (_, n) => frame(FRAME.headers, COMPLETE, 1 + n * 2, signedOut)));
      await until(() => slow.frames.filter(({ type }) => type === FRAME.headers).length === 100, 'the heads arrive');
      assert.equal(slow.frames.filter(({ type }) => type === FRAME.data).length, 0);
      assert.equal(await server.metric('sallyport_requests_in_flight'), 1);
      slow.close();
    }));

  test('a 513th stream is refused, not the connection', () =>
    bystander(async () => {
      const open = Array.from({ length: 513 }, (_, n) => frame(FRAME.headers, FLAG.endHeaders, 1 + n * 2, HEADERS));
      raw.send(...open);
      await raw.receive(({ type, stream }) => type === FRAME.headers && stream === 1, 'the first is answered');
      assert.equal(raw.isClosed(), false);
    }));
});
