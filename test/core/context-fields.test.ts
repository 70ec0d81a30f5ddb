import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { createContextReader } from '../../src/core/context.ts';
import {
  PROBLEM_DUPLICATE,
  PROBLEM_FORWARDED,
  PROBLEM_METHOD,
  PROBLEM_TARGET,
  PROBLEM_TARGET_LENGTH,
} from '../../src/core/context-problems.ts';

const PEER = new Uint8Array([10, 0, 0, 1]);
const REQUEST = { ':method': 'GET', ':scheme': 'https', ':authority': 'verify:8443', ':path': '/auth/verify?x=1&y' };

function reader(trusts = true) {
  return createContextReader({ trusted: () => trusts, clock: systemClock, csrfHeader: 'x-csrf', targetMaxBytes: 64 });
}

function fields(...lists: readonly (Readonly<Record<string, string>> | readonly string[])[]): string[] {
  return lists.flatMap((list) => (Array.isArray(list) ? [...list] : Object.entries(list).flat()));
}

describe('a context of HTTP/2 fields', () => {
  test('holds request line, host, headers and peer as one of HTTP/1.1 does', () => {
    const context = reader().readFields(
      fields(REQUEST, { 'x-forwarded-uri': '/a', 'x-forwarded-host': 'app', 'x-csrf': '1', 'user-agent': 'u' }),
      PEER,
    );
    const { method, path, query, host, forwardedUri, forwardedHost, csrfProof, userAgent, peer, trusted } = context;
    assert.deepEqual(
      { method, path, query, host, forwardedUri, forwardedHost, csrfProof, userAgent, peer, trusted },
      {
        method: 'GET',
        path: '/auth/verify',
        query: 'x=1&y',
        host: 'verify:8443',
        forwardedUri: '/a',
        forwardedHost: 'app',
        csrfProof: '1',
        userAgent: 'u',
        peer: PEER,
        trusted: true,
      },
    );
    assert.equal(context.problems, 0);
  });

  test('joins the crumbs of a cookie (RFC 9113 §8.2.3)', () => {
    assert.equal(reader().readFields(fields(REQUEST, ['cookie', 'a=1', 'cookie', 'b=2']), PEER).cookie, 'a=1; b=2');
  });

  test('is reused by the next request, which sees nothing of it, unless it is kept', () => {
    const one = reader();
    const first = one.readFields(fields(REQUEST, { cookie: 'a=1', 'content-length': '4' }), PEER);
    const second = one.readFields(fields({ ...REQUEST, ':path': '/p' }), PEER);
    assert.equal(second, first);
    assert.deepEqual([second.cookie, second.contentLength, second.path, second.query], ['', -1, '/p', '']);
    one.keep();
    assert.notEqual(one.readFields(fields(REQUEST), PEER), first);
    assert.equal(first.path, '/p');
  });

  test('takes Host where there is no :authority', () => {
    const { ':authority': _, ...rest } = REQUEST;
    assert.equal(reader().readFields(fields(rest, { host: 'h' }), PEER).host, 'h');
  });

  test('asks the matcher whether the peer is trusted', () => {
    assert.equal(reader(false).readFields(fields(REQUEST), PEER).trusted, false);
  });

  for (const [why, list, problem] of [
    ['Host beside another :authority', fields(REQUEST, { host: 'other' }), PROBLEM_DUPLICATE],
    ['Host beside the same :authority', fields(REQUEST, { host: 'verify:8443' }), 0],
    ['two Authorization fields', fields(REQUEST, ['authorization', 'a', 'authorization', 'b']), PROBLEM_DUPLICATE],
    ['two forwarded hosts', fields(REQUEST, ['x-forwarded-host', 'a', 'x-forwarded-host', 'a']), PROBLEM_FORWARDED],
    ['a method outside the list', fields({ ...REQUEST, ':method': 'TRACE' }), PROBLEM_METHOD],
    ['CONNECT, which has no path', fields({ ':method': 'CONNECT', ':authority': 'x:1' }), PROBLEM_METHOD],
    ['a raw #', fields({ ...REQUEST, ':path': '/a#b' }), PROBLEM_TARGET],
    ['a long target', fields({ ...REQUEST, ':path': `/${'a'.repeat(64)}` }), PROBLEM_TARGET_LENGTH],
  ] as const) {
    test(`${why}: ${problem}`, () => assert.equal(reader().readFields(list, PEER).problems, problem));
  }
});
