import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ERRORS, type ErrorCode, isSallyportError, SallyportError } from '../../src/core/errors.ts';

/** DECISIONS D-41, word for word. */
const TABLE: Readonly<Record<number, string>> = {
  400: 'bad_request ambiguous_target forwarded_headers_invalid invalid_return_to unknown_idp login_loop transaction_missing transaction_expired callback_invalid',
  401: 'authentication_required invalid_token insufficient_user_authentication no_token_available',
  403: 'access_denied login_denied csrf_failed origin_not_allowed untrusted_proxy address_not_allowed',
  404: 'not_found',
  405: 'method_not_allowed',
  413: 'body_too_large',
  414: 'target_too_long',
  421: 'unknown_host',
  429: 'rate_limited',
  500: 'internal_error',
  502: 'service_connect_failed service_bad_response idp_bad_response token_audience_mismatch',
  503: 'store_unavailable idp_unavailable pdp_unavailable service_unavailable overloaded',
  504: 'service_timeout',
};

describe('the error table', () => {
  test('holds exactly the decided codes with the decided status', () => {
    const decided = Object.entries(TABLE).flatMap(([status, codes]) =>
      codes.split(' ').map((code) => [code, Number(status)]),
    );
    const ours = Object.entries(ERRORS).map(([code, { status }]) => [code, status]);
    const byCode = (a: (string | number)[], b: (string | number)[]): number => (String(a[0]) < String(b[0]) ? -1 : 1);
    assert.deepEqual(ours.sort(byCode), decided.sort(byCode));
  });

  test('each code has words for people and a level; ours to mend are errors or warnings', () => {
    for (const [code, { title, detail, level, status }] of Object.entries(ERRORS)) {
      assert.match(title, /^[A-Z][^.]*$/, code);
      assert.match(detail, /^[A-Za-z].*\.$/, code);
      if (status >= 500) assert.ok(level === 'error' || level === 'warn', code);
    }
  });
});

describe('an operating error', () => {
  test('shows the table’s sentence unless told otherwise, and keeps the detail for the log', () => {
    const plain = new SallyportError('not_found', { detail: 'only verify is served here' });
    assert.equal(plain.publicDetail, ERRORS.not_found.detail);
    assert.equal(plain.message, 'not_found: only verify is served here');
    assert.equal(plain.status, 404);
    assert.deepEqual(plain.headers, []);
    assert.equal(new SallyportError('not_found').message, 'not_found');
    assert.equal(new SallyportError('not_found', { publicDetail: 'Gone.' }).publicDetail, 'Gone.');
  });

  test('carries its cause and is told from other errors', () => {
    const cause = new Error('socket');
    const error = new SallyportError('idp_unavailable', {
      cause,
      retryAfterS: 5,
      loginUrl: 'https://a.test/auth/login',
    });
    assert.equal(error.cause, cause);
    assert.equal(error.retryAfterS, 5);
    assert.equal(error.loginUrl, 'https://a.test/auth/login');
    assert.equal(isSallyportError(error), true);
    for (const other of [cause, undefined, null, 'not_found', { code: 'not_found' satisfies ErrorCode }]) {
      assert.equal(isSallyportError(other), false);
    }
  });
});
