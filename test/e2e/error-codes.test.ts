import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { RawResponse } from '../../scripts/attacks/raw-client.ts';
import { NOT_AVAILABLE } from '../../src/core/config/availability.ts';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import { headerOf } from '../support/raw-client.ts';
import { SPA_ORIGIN } from '../support/test-server.ts';
import { PRODUCERS, type Producer } from './error-producers.ts';
import { type ErrorWorld, startErrorWorld } from './error-world.ts';

/** A code that nothing outside can produce in this version. */
type Waiting = {
  readonly reason: string;
  /** The configuration keys whose refusal keeps it so: file, then path in availability.ts. */
  readonly refused: readonly (readonly [file: string, path: string])[];
};

const WAITING: Readonly<Partial<Record<ErrorCode, Waiting>>> = {
  pdp_unavailable: { reason: 'there are no external decisions', refused: [['pdp.yaml', 'points']] },
};

/** All but the one that stands for a defect of ours: nothing outside may cause it. test/core/app.test.ts makes some. */
const CODES = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => code !== 'internal_error');
const SOURCE = join(import.meta.dirname, '../../src');

describe('the table of error codes', () => {
  test('each code has a producer or a reason why it cannot have one', () => {
    const both = CODES.filter((code) => Object.hasOwn(PRODUCERS, code) === Object.hasOwn(WAITING, code));
    assert.deepEqual(both, []);
  });

  for (const [code, { reason, refused }] of Object.entries(WAITING)) {
    test(`${code} cannot be produced yet: ${reason}`, () => {
      for (const [file, path] of refused) {
        const rules = NOT_AVAILABLE[file] ?? [];
        assert.ok(
          rules.some((rule) => rule.path === path),
          `${file} ${path} is available: ${code} needs a producer`,
        );
      }
      assert.deepEqual(filesNaming(code), [], 'the source does not name it yet');
    });
  }

  test('each code that can be produced is named by the source', () => {
    assert.deepEqual(
      Object.keys(PRODUCERS).filter((code) => filesNaming(code).length === 0),
      [],
    );
  });
});

describe('every error code from outside', () => {
  let world: ErrorWorld;
  before(async () => {
    world = await startErrorWorld();
  });
  after(() => world.close());

  for (const code of CODES) {
    const producer = PRODUCERS[code];
    if (producer === undefined) continue;
    test(`${code} is ${producer.withoutPage ? 'JSON even for a person' : 'a page for a person'}`, async () => {
      const response = await producer.run(world, 'person');
      if (producer.withoutPage) assertProblem(response, code, { ...producer, withoutCors: true });
      else assertPage(response, code);
    });
    test(`${code} is problem+json for a script`, async () => {
      assertProblem(await producer.run(world, 'script'), code, producer);
    });
    test(`${code} wrote a line of the level of the table`, () => {
      const { lab, storeless, narrow } = world;
      const lines = [lab.server, storeless, narrow].flatMap(({ log }) => log).filter((line) => line['code'] === code);
      assert.ok(lines.length >= 2);
      for (const { level, reason, request_id } of lines) {
        assert.equal(level, ERRORS[code].level);
        assert.ok(typeof reason === 'string' && reason !== '' && typeof request_id === 'string');
      }
    });
  }
});

function assertPage(response: RawResponse, code: ErrorCode): void {
  assert.deepEqual([response.status, noteOf(response)?.code], [ERRORS[code].status, code], response.body);
  assert.equal(headerOf(response, 'content-type'), 'text/html; charset=utf-8');
  assert.equal(headerOf(response, 'cache-control'), 'no-store');
  assert.match(headerOf(response, 'content-security-policy') ?? '', /script-src 'none'/);
  assert.equal(headerOf(response, 'x-request-id'), noteOf(response)?.requestId);
  assert.ok(response.body.includes(`<h1>${ERRORS[code].title}</h1>`));
  assert.match(response.body, /<p>[A-Za-z][^<]{10,}\.<\/p>/, 'a sentence to act on');
  const links = [...response.body.matchAll(/<a class="[^"]+" href="(https:\/\/app\.example\.test\/[^"]*)">/g)];
  assert.ok(links.length > 0, 'a way forward');
  assertRetry(response, undefined);
}

function assertProblem(response: RawResponse, code: ErrorCode, { withoutCors }: Pick<Producer, 'withoutCors'>): void {
  const { status, title } = ERRORS[code];
  assert.equal(response.status, status, response.body);
  assert.equal(headerOf(response, 'content-type'), 'application/problem+json');
  assert.equal(headerOf(response, 'cache-control'), 'no-store');
  const { detail, request_id, login_url, retry_after, ...rest } = JSON.parse(response.body) as Record<string, unknown>;
  assert.deepEqual(rest, { type: `urn:sallyport:error:${code}`, title, status, code });
  assert.match(String(detail), /^[A-Za-z].{10,}\.$/);
  assert.equal(request_id, headerOf(response, 'x-request-id'));
  if (login_url !== undefined)
    assert.match(String(login_url), /^https:\/\/app\.example\.test\/auth\/login(?:\?[\w%=&.-]+)?$/);
  if (status === 401) assert.match(headerOf(response, 'www-authenticate') ?? '', /^Bearer realm="sallyport"/);
  // A program with a bearer token has no use for our login.
  if (status === 401) assert.equal(login_url === undefined, code === 'invalid_token');
  if (status === 405) assert.notEqual(headerOf(response, 'allow'), undefined);
  assertRetry(response, retry_after);
  assert.match(headerOf(response, 'vary') ?? '', /\bOrigin\b/);
  const allowed = ['access-control-allow-origin', 'access-control-allow-credentials'].map((name) =>
    headerOf(response, name),
  );
  assert.deepEqual(allowed, withoutCors === true ? [undefined, undefined] : [SPA_ORIGIN, 'true']);
}

/** 503 says when to come back, and header and body say the same. */
function assertRetry(response: RawResponse, member: unknown): void {
  const header = headerOf(response, 'retry-after');
  if (response.status === 503) assert.match(header ?? '', /^[1-9]\d{0,2}$/);
  if (headerOf(response, 'content-type') === 'application/problem+json') {
    assert.equal(member === undefined ? undefined : String(member), header);
  }
}

function noteOf({ body }: RawResponse): { readonly code: string; readonly requestId: string } | undefined {
  const [, code = '', requestId = ''] = /<small>Code ([a-z_]+) · request ([\w-]+)<\/small>/.exec(body) ?? [];
  return code === '' ? undefined : { code, requestId };
}

/** Source files other than the table that name a code. */
function filesNaming(code: string): string[] {
  const files = globSync('**/*.ts', { cwd: SOURCE }).filter(
    (path) => path !== 'core/errors.ts' && !path.startsWith('cli/'),
  );
  return files.filter((path) => readFileSync(join(SOURCE, path), 'utf8').includes(`'${code}'`));
}
