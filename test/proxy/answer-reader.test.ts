import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AnswerError } from '../../src/proxy/answer-problem.ts';
import { AnswerReader } from '../../src/proxy/answer-reader.ts';

type Heard = {
  readonly heads: { status: number; fields: readonly string[]; keepsAlive: boolean; keepAliveMs: number }[];
  body: string;
  ends: number;
  /** The connection may be used again. */
  isClean: boolean;
  error: string | undefined;
};

type Options = { readonly isHead?: boolean; readonly closes?: boolean };

/** Read a text in pieces of `size` bytes, the first one of `first`. */
function read(
  text: string,
  { isHead = false, closes = false }: Options = {},
  first = text.length,
  size = first,
): Heard {
  const heard: Heard = { heads: [], body: '', ends: 0, isClean: true, error: undefined };
  const reader = new AnswerReader({
    onHead: ({ status, fields, keepsAlive, keepAliveMs }) =>
      void heard.heads.push({ status, fields, keepsAlive, keepAliveMs }),
    onData: (part) => {
      heard.body += part.toString('latin1');
    },
    onEnd: () => {
      heard.ends += 1;
    },
  });
  reader.expect(isHead);
  const bytes = Buffer.from(text, 'latin1');
  try {
    for (let at = 0; at < bytes.length; at += at === 0 ? first : size) {
      const piece = Buffer.from(bytes.subarray(at, at + (at === 0 ? first : size)));
      heard.isClean = reader.read(piece) && heard.isClean;
      // Memory of a read is used again at once: nothing may still be read of it.
      piece.fill(0x21);
    }
    if (closes && !reader.end()) heard.error = 'cut';
  } catch (error) {
    assert.ok(error instanceof AnswerError, String(error));
    heard.error = error.code;
  }
  return heard;
}

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;

const good: Readonly<Record<string, readonly [text: string, body: string, options?: Options]>> = {
  'of known length': [`${OK}Content-Length: 5\r\nX-A:  b c\t\r\n\r\nhello`, 'hello'],
  'of no length': [`${OK}content-length: 0\r\n\r\n`, ''],
  'without a reason': ['HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok', 'ok'],
  'in chunks': [`${CHUNKED}2\r\nhe\r\n03\r\nllo\r\n0\r\n\r\n`, 'hello'],
  'in chunks with extensions and trailers': [`${CHUNKED}5;a="b"\r\nhello\r\n0;c\r\nX-T: 1\r\nY: 2\r\n\r\n`, 'hello'],
  'with upper-case sizes': [`${CHUNKED}A\r\n0123456789\r\n0\r\n\r\n`, '0123456789'],
  'until the connection ends': [`${OK}\r\nhello`, 'hello', { closes: true }],
  'to HEAD': [`${OK}Content-Length: 5\r\n\r\n`, '', { isHead: true }],
  'with 204': ['HTTP/1.1 204 No Content\r\n\r\n', ''],
  'with 304 that names a length': ['HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n', ''],
  'behind early hints': [`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`, 'ok'],
};

const bad: Readonly<Record<string, string>> = {
  'another protocol': 'SSH-2.0-OpenSSH_9.2\r\n',
  'another version': 'HTTP/2.0 200 OK\r\n\r\n',
  'a status that is none': 'HTTP/1.1 2x0 OK\r\n\r\n',
  'a short status': 'HTTP/1.1 20\r\n\r\n',
  'a long status': 'HTTP/1.1 2000 OK\r\n\r\n',
  'a small status': 'HTTP/1.1 099 OK\r\n\r\n',
  'no blank before the status': 'HTTP/1.1200 OK\r\n\r\n',
  'a line end without CR behind the status': `HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello`,
  'line ends without CR': 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello',
  'a field without a colon': `${OK}nothing\r\n\r\n`,
  'a field without a name': `${OK}: a\r\n\r\n`,
  'a blank before the colon': `${OK}Content-Length : 5\r\n\r\nhello`,
  'a folded line': `${OK}X-A: b\r\n Content-Length: 5\r\n\r\nhello`,
  'two lengths': `${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`,
  'a list of lengths': `${OK}Content-Length: 5, 5\r\n\r\nhello`,
  'a signed length': `${OK}Content-Length: +5\r\n\r\nhello`,
  'an endless length': `${OK}Content-Length: 99999999999999999999\r\n\r\nhello`,
  'an empty length': `${OK}Content-Length:\r\n\r\n`,
  'length and chunks': `${CHUNKED.slice(0, -2)}Content-Length: 5\r\n\r\n0\r\n\r\n`,
  'two codings': `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'another coding': `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  'a coding with a blank in it': `${OK}Transfer-Encoding: chunked\v\r\n\r\n0\r\n\r\n`,
  'chunks of HTTP/1.0': 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'a chunk size that is none': `${CHUNKED}zz\r\n`,
  'an empty chunk size': `${CHUNKED}\r\nhello\r\n0\r\n\r\n`,
  'a signed chunk size': `${CHUNKED}+5\r\nhello\r\n0\r\n\r\n`,
  'a chunk size with 0x': `${CHUNKED}0x5\r\nhello\r\n0\r\n\r\n`,
  'a blank behind a chunk size': `${CHUNKED}5 \r\nhello\r\n0\r\n\r\n`,
  'an endless chunk size': `${CHUNKED}fffffffffffffff\r\n`,
  'a chunk size that ends in LF alone': `${CHUNKED}5\nhello\r\n0\r\n\r\n`,
  'an extension that ends in LF alone': `${CHUNKED}5;a\nhello\r\n0\r\n\r\n`,
  'a CR within an extension': `${CHUNKED}5;a\rb\r\nhello\r\n0\r\n\r\n`,
  'a chunk that is longer than it says': `${CHUNKED}2\r\nhello\r\n0\r\n\r\n`,
  'a chunk that ends in LF alone': `${CHUNKED}5\r\nhello\n0\r\n\r\n`,
  'a trailer that ends in LF alone': `${CHUNKED}0\r\nX: 1\n\r\n`,
  'endless trailers': `${CHUNKED}0\r\n${'X-T: 1\r\n'.repeat(10_000)}`,
  'an endless extension': `${CHUNKED}5;${'a'.repeat(70_000)}`,
  'an endless head': `${OK}X-A: ${'a'.repeat(70_000)}`,
  'an endless head in one piece': `${OK}X-A: ${'a'.repeat(70_000)}\r\n\r\n`,
};

describe('the reader of answers', () => {
  for (const [name, [text, body, options]] of Object.entries(good)) {
    test(`reads an answer ${name}, wherever it is cut into pieces`, () => {
      const whole = read(text, options);
      assert.equal(whole.error, undefined);
      assert.equal(whole.body, body);
      assert.equal(whole.ends, 1);
      assert.equal(whole.isClean, true);
      for (let first = 1; first < text.length; first++) {
        assert.deepEqual(read(text, options, first, text.length), whole, `cut behind byte ${first}`);
      }
      assert.deepEqual(read(text, options, 1, 1), whole, 'byte by byte');
    });

    test(`does not take for a part of it what comes behind an answer ${name}`, () => {
      if (options?.closes === true) return;
      const more = read(`${text}${OK}Content-Length: 6\r\n\r\nstolen`, options);
      assert.equal(more.ends, 1);
      assert.equal(more.body, body);
      assert.equal(more.isClean, false);
    });

    test(`does not take the beginning of an answer ${name} for all of it`, () => {
      if (options?.closes === true) return;
      for (let bytes = 0; bytes < text.length; bytes++) {
        const { ends, error } = read(text.slice(0, bytes), { ...options, closes: true });
        assert.deepEqual([ends, error], [0, 'cut'], `${bytes} bytes`);
      }
    });
  }

  for (const [name, text] of Object.entries(bad)) {
    test(`refuses ${name}, wherever it is cut into pieces`, () => {
      const lengths = text.length > 1_000 ? [text.length, 700] : [text.length, 1, 2, 3, 7, 30];
      for (const length of lengths) {
        const { error, ends } = read(text, {}, length, length);
        assert.deepEqual([error, ends], ['malformed', 0], `in pieces of ${length}`);
      }
    });
  }

  test('says how the service treats the connection', () => {
    const head = (line: string, ...fields: string[]) =>
      read(`${line}\r\n${[...fields, 'Content-Length: 0'].join('\r\n')}\r\n\r\n`).heads[0];
    assert.equal(head('HTTP/1.1 200 OK')?.keepsAlive, true);
    assert.equal(head('HTTP/1.1 200 OK', 'Connection: Close')?.keepsAlive, false);
    assert.equal(head('HTTP/1.1 200 OK', 'Connection: keep-alive, close')?.keepsAlive, false);
    assert.equal(head('HTTP/1.0 200 OK', 'Connection: keep-alive')?.keepsAlive, false);
    assert.equal(head('HTTP/1.1 200 OK', 'Keep-Alive: timeout=5')?.keepAliveMs, 5_000);
    assert.equal(head('HTTP/1.1 200 OK', 'Keep-Alive: max=3, timeout=7')?.keepAliveMs, 7_000);
    assert.equal(head('HTTP/1.1 200 OK')?.keepAliveMs, -1);
  });

  test('reads nothing more when it is told to stop in between', () => {
    const heard: string[] = [];
    const reader = new AnswerReader({
      onHead: () => void heard.push('head'),
      onData(part) {
        heard.push(part.toString());
        reader.stop();
      },
      onEnd: () => void heard.push('end'),
    });
    reader.expect(false);
    assert.equal(reader.read(Buffer.from(`${CHUNKED}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n`)), false);
    assert.deepEqual(heard, ['head', 'he']);
  });

  test('takes nothing for an answer that nobody asked for', () => {
    const fail = (): never => assert.fail('heard of it');
    const reader = new AnswerReader({ onHead: fail, onData: fail, onEnd: fail });
    assert.equal(reader.read(Buffer.from(`${OK}Content-Length: 0\r\n\r\n`)), false);
  });
});
