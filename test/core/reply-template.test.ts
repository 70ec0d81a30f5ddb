import type { HttpResponse } from 'uWebSockets.js';
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Problem, Reply } from '../../src/core/answer.ts';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { compileOriginRules } from '../../src/core/origin.ts';
import { compileReplies } from '../../src/core/problem.ts';
import { createHeaderCheck, writeReply } from '../../src/core/reply.ts';
import { compileTemplate } from '../../src/core/reply-template.ts';
import { compileSites } from '../../src/core/sites.ts';
import { contextOf, getSite, worldConfig } from './world.ts';

const compose = (text: string): Reply => ({
  status: 401,
  headers: [
    ['cache-control', 'no-store'],
    ['x-request-id', text],
    ['vary', 'Origin'],
  ],
  body: `{"request_id":"${text}","more":"·"}`,
});

/** What the native core is told to write. */
function written(reply: Reply, head = false): string {
  const calls: string[] = [];
  const note =
    (name: string) =>
    (...values: unknown[]): void =>
      void calls.push(`${name} ${values.join('|')}`);
  const response = { writeStatus: note('status'), end: note('end'), endWithoutBody: note('head') };
  writeReply(response as unknown as HttpResponse, reply, head, false);
  return calls.join('\n');
}

const plain = ({ status, headers, body }: Reply): Reply => ({ status, headers, body });

describe('an answer out of a template', () => {
  test('is the one that would have been composed, as values and as written', () => {
    const template = compileTemplate(compose);
    // Whatever a replacement pattern could mean, too.
    const texts = fc.stringMatching(/^[A-Za-z0-9_$&'`-]*$/);
    fc.assert(
      fc.property(texts, fc.boolean(), (text, head) => {
        const filled = template.fill(text);
        assert.deepEqual(plain(filled), compose(text));
        assert.equal(written(filled, head), written(compose(text), head));
      }),
    );
  });

  test('is written with its lines behind the status', () => {
    assert.equal(
      written(compileTemplate(compose).fill('r7')),
      'status 401 Unauthorized\r\ncache-control: no-store\r\nx-request-id: r7\r\nvary: Origin\n' +
        'end {"request_id":"r7","more":"·"}|false',
    );
  });

  test('has its text once in the headers and once in the body at most', () => {
    const twice = (text: string): Reply => ({ status: 200, headers: [['a', `${text} ${text}`]], body: '' });
    const nowhere = (text: string): Reply => ({ status: 200, headers: [['a', 'b']], body: text });
    for (const wrong of [twice, nowhere]) assert.throws(() => compileTemplate(wrong), TypeError);
  });

  test('is refused if its text or its template cannot be written (R-008)', () => {
    const check = createHeaderCheck();
    const template = compileTemplate(compose);
    check(template.fill('r1'));
    for (const text of ['a\r\nset-cookie: b=c', 'a\nb', '\u0000', 'é']) {
      assert.throws(() => check(template.fill(text)), TypeError, JSON.stringify(text));
    }
    const split = compileTemplate((text) => ({ status: 200, headers: [['a', `${text}\r\nb: c`]], body: '' }));
    for (let round = 0; round < 2; round += 1) assert.throws(() => check(split.fill('r1')), TypeError);
  });
});

const config = worldConfig();
const sites = compileSites(config);
const makeReplies = () => compileReplies(config, compileOriginRules(config));

/** Everything that refusals of one code differ in. */
function* problems(code: ErrorCode): Generator<Problem> {
  const challenge = [['www-authenticate', 'Bearer error="invalid_token"']] as const;
  const headers = [
    undefined,
    [],
    challenge,
    [['www-authenticate', 'DPoP algs="ES256"']] as const,
    [['allow', 'GET']] as const,
  ];
  for (const navigation of [false, true]) {
    for (const site of [undefined, getSite(sites, 'main'), getSite(sites, 'plain')]) {
      yield { code, navigation, site };
      yield { code, navigation, site, detail: 'Not now.' };
      yield { code, navigation, site, loginUrl: 'https://app.example.test/auth/login' };
      yield { code, navigation, site, retryAfterS: 1 };
      yield { code, navigation, site, retryAfterS: 2 };
      for (const given of headers) if (given !== undefined) yield { code, navigation, site, headers: given };
    }
  }
}

const askers = [
  contextOf({ requestId: 'a-1' }),
  contextOf({ requestId: 'b_2', origin: 'https://app.example.test' }),
  contextOf({ requestId: 'c3', origin: 'https://tenant1.apps.example.test' }),
  contextOf({ requestId: 'd4', origin: 'https://evil.test' }),
  contextOf({ requestId: 'e5', origin: 'https://app.example.test', method: 'OPTIONS', corsMethod: 'PUT' }),
];

describe('a refusal that was prepared', () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    test(`${code}: is the one that is composed for this request alone`, () => {
      const kept = makeReplies();
      for (const problem of problems(code)) {
        for (const context of askers) {
          const alone = makeReplies().problem(context, { ...problem });
          const before = kept.problem(contextOf({ ...context, requestId: 'other' }), problem);
          assert.notEqual(before.body, alone.body);
          const reply = kept.problem(context, { ...problem });
          assert.deepEqual(plain(reply), plain(alone));
          assert.equal(written(reply), written(plain(alone)));
        }
      }
    });
  }

  test('is composed once for all who are refused alike, whoever is asked for', () => {
    const replies = makeReplies();
    const problem = (): Problem => ({
      code: 'invalid_token',
      navigation: false,
      site: getSite(sites, 'main'),
      headers: [['www-authenticate', `Bearer error="invalid_token"`]],
    });
    const templates = Array.from({ length: 100 }, (_, at) => {
      const reply = replies.problem(contextOf({ requestId: `r${at}`, origin: `https://evil${at}.test` }), problem());
      return 'template' in reply ? reply.template : undefined;
    });
    assert.equal(new Set(templates).size, 1);
    assert.notEqual(templates[0], undefined);
  });

  test('may differ in what callers choose without being kept for ever', () => {
    const replies = makeReplies();
    const problem: Problem = { code: 'access_denied', navigation: false, site: getSite(sites, 'main') };
    const of = (origin: string) => {
      const reply = replies.problem(contextOf({ origin }), problem);
      return 'template' in reply ? reply.template : undefined;
    };
    const first = of('https://t0.apps.example.test');
    assert.equal(of('https://t0.apps.example.test'), first);
    for (let at = 1; at <= LIMITS.problemVariantsMax; at += 1) of(`https://t${at}.apps.example.test`);
    assert.notEqual(of('https://t0.apps.example.test'), first);
  });
});
