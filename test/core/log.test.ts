import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLog } from '../../src/core/log.ts';

function logged(write: (log: ReturnType<typeof createLog>) => void): string {
  const lines: string[] = [];
  write(createLog({ level: 'debug' }, { write: (line) => void lines.push(line) }));
  return lines.join('');
}

describe('the log', () => {
  test('replaces the values of secret members wherever they stand', () => {
    const secrets = {
      access_token: 'S1',
      cookie: 'S2',
      state: 'S3',
      handle: 'S4',
      client_secret: 'S5',
      'set-cookie': 'S6',
    };
    const text = logged((log) => log.info({ ...secrets, a: secrets, b: { c: secrets } }, 'x'));
    assert.doesNotMatch(text, /S[1-6]/);
    assert.equal(text.match(/\[redacted\]/g)?.length, 18);
  });

  test('shows error codes: they are what refusals are searched by', () => {
    const line = JSON.parse(logged((log) => log.warn({ code: 'csrf_failed', reason: 'origin' }, 'csrf_failed')));
    assert.equal(line.code, 'csrf_failed');
    assert.equal(line.level, 'warn');
    assert.match(line.time, /^\d{4}-\d\d-\d\dT.*Z$/);
  });

  test('writes an error with its causes, but none of the members that libraries hang on it', () => {
    const cause = Object.assign(new Error('inner'), { code: 'E_INNER', body: 'S1' });
    const error = Object.assign(new Error('outer', { cause }), { request: { headers: { authorization: 'S2' } } });
    const text = logged((log) => log.error({ err: error }, 'failed'));
    assert.match(text, /"message":"outer"/);
    assert.match(text, /"code":"E_INNER"/);
    assert.doesNotMatch(text, /S[12]/);
  });

  test('keeps format directives of a user as text', () => {
    assert.match(
      logged((log) => log.info({ path: '/%s%n%d' }, 'request')),
      /"path":"\/%s%n%d"/,
    );
  });
});
