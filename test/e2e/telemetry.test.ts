import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { call, codeOf, type TestAnswer } from '../proxy/world.ts';
import { type SignInWorld, startSignInWorld } from '../support/signed-in.ts';

const LISTED = 'https://spa.example.test';
const NAMES = ['web_vitals_lcp', 'js_error'];

let world: SignInWorld;
let port: number;

before(async () => {
  world = await startSignInWorld({
    settings: {
      telemetry_sink: {
        enabled: true,
        names: NAMES,
        rate_limit: { average: 1, period: '1h', burst: 100, key: 'client_ip' },
      },
    },
  });
  port = Number(new URL(world.base).port);
});

after(() => world.close());

type Sending = { readonly type?: string; readonly headers?: Record<string, string>; readonly from?: string };

function send(
  body: unknown,
  { type = 'application/json', headers = {}, from = '192.0.2.1' }: Sending = {},
): Promise<TestAnswer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const own = { host: new URL(world.base).host, 'content-type': type, 'x-forwarded-for': from };
  return call({ port, path: '/api/v1/metrics', method: 'POST', headers: { ...own, ...headers }, body: text });
}

async function page(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${world.server.ports.admin}/metrics`)).text();
}

async function lines(name: string): Promise<string[]> {
  return (await page()).split('\n').filter((line) => line.startsWith(`sallyport_frontend_${name}`));
}

describe('the telemetry sink', () => {
  test('takes JSON and what sendBeacon sends, answers 204 with nothing, and Prometheus shows the numbers', async () => {
    const sample = { name: 'web_vitals_lcp', value: 1234.5, unit: 'ms', labels: { page: '/checkout', rating: 'good' } };
    const answers = [
      await send(sample),
      await send([sample, { ...sample, value: 0.5 }], { type: 'text/plain;charset=UTF-8' }),
      await send({ name: 'js_error' }, { type: 'application/json; charset=utf-8' }),
      await send('', { type: '' }),
      await send([]),
    ];
    for (const { status, body, headers } of answers) {
      assert.deepEqual([status, body.length, headers['set-cookie']], [204, 0, undefined]);
      assert.equal(headers['cache-control'], 'no-store');
      assert.match(String(headers.vary), /Origin/);
    }
    assert.deepEqual(await lines(''), [
      'sallyport_frontend_web_vitals_lcp_sum{page="/checkout",rating="good",unit="ms"} 2469.5',
      'sallyport_frontend_web_vitals_lcp_count{page="/checkout",rating="good",unit="ms"} 3',
      'sallyport_frontend_js_error_sum 1',
      'sallyport_frontend_js_error_count 1',
    ]);
  });

  const refused: Readonly<Record<string, unknown>> = {
    'no JSON': '{',
    'a text': '"x"',
    'an array in an array': [[]],
    null: 'null',
    'a name that is not listed': { name: 'other', value: 1 },
    'no name': { value: 1 },
    'a name of an object': { name: '__proto__', value: 1 },
    'a text as value': { name: 'js_error', value: '1' },
    'a negative value': { name: 'js_error', value: -0.001 },
    'a value beyond every number': '{"name":"js_error","value":1e999}',
    NaN: '{"name":"js_error","value":NaN}',
    'a value that would drown a sum': { name: 'js_error', value: 1e300 },
    'null as value': { name: 'js_error', value: null },
    'a unit that is an address': { name: 'js_error', value: 1, unit: 'a@b.example' },
    'labels that are a list': { name: 'js_error', labels: ['a'] },
    'nested labels': { name: 'js_error', labels: { a: { b: 'c' } } },
    'a label name that is an address': { name: 'js_error', labels: { 'a@b.example': 'x' } },
    'a label name that breaks out': { name: 'js_error', labels: { 'a="b",c': 'x' } },
    'a label name with a number': { name: 'js_error', labels: { u123456: 'x' } },
    'a label of Prometheus’ own': { name: 'js_error', labels: { le: '1' } },
    'a label __proto__': '{"name":"js_error","labels":{"__proto__":"x"}}',
    'too many labels': { name: 'js_error', labels: Object.fromEntries('abcdefghi'.split('').map((key) => [key, 'x'])) },
    'too many samples': Array.from({ length: 51 }, () => ({ name: 'js_error' })),
    'an unknown member': { name: 'js_error', user: 'alice' },
    'one bad sample among good ones': [
      { name: 'js_error', value: 5 },
      { name: 'js_error', value: 'x' },
    ],
  };

  test('refuses what does not fit with 400, counts nothing of it and repeats nothing of it', async () => {
    const before = await lines('');
    for (const [what, body] of Object.entries(refused)) {
      const answer = await send(body, { from: '192.0.2.2' });
      assert.equal(`${answer.status} ${codeOf(answer)}`, '400 bad_request', what);
      assert.doesNotMatch(answer.body.toString(), /b\.example|123456|__proto__|alice/, what);
    }
    assert.deepEqual(await lines(''), before);
    assert.doesNotMatch(JSON.stringify(world.server.log), /b\.example|u123456|__proto__|"alice"/);
  });

  test('refuses other types of content', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/html', 'text/plainer', '']) {
      const answer = await send({ name: 'js_error' }, { type, from: '192.0.2.3' });
      assert.equal(`${answer.status} ${codeOf(answer)}`, '400 bad_request', type);
    }
  });

  test('takes 16 KiB and refuses more, with and without a length that says so', async () => {
    const exactly = (bytes: number): string => {
      const body = '{"name":"js_error"}';
      return body + ' '.repeat(bytes - body.length);
    };
    assert.equal((await send(exactly(16_384), { from: '192.0.2.4' })).status, 204);
    const large = await send(exactly(16_385), { from: '192.0.2.4' });
    assert.equal(`${large.status} ${codeOf(large)}`, '413 body_too_large');
    const chunked = await send(exactly(16_385), { from: '192.0.2.4', headers: { 'transfer-encoding': 'chunked' } });
    assert.equal(`${chunked.status} ${codeOf(chunked)}`, '413 body_too_large');
  });

  test('masks label values that may be personal, and nothing can break out of them', async () => {
    const values = [
      'alice@example.com',
      'x"} 1\nevil_metric 5',
      '192.0.2.1',
      '4111 1111 1111 1111',
      '/p?token=secret',
      'é',
    ];
    for (const [index, value] of values.entries()) {
      const sample = {
        name: 'web_vitals_lcp',
        value: 1,
        labels: { [`label_${'abcdef'[index]}`]: value, email: 'bob' },
      };
      assert.equal((await send(sample, { from: '192.0.2.5' })).status, 204);
    }
    const shown = (await lines('web_vitals_lcp_count')).filter((line) => line.includes('email=')).join('\n');
    assert.equal(shown.match(/label_.="redacted"/g)?.length, 5);
    assert.match(shown, /label_e="\/p"/);
    assert.doesNotMatch(await page(), /alice|bob|evil_metric|192\.0|4111|secret|é/);
    assert.equal(await world.server.metric('sallyport_telemetry_masked_total'), 5 + 6);
  });

  test('needs no session and looks at none', async () => {
    const { cookies } = await world.signIn('alice');
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { cookie, authorization: 'Bearer x' };
    assert.equal((await send({ name: 'js_error' }, { headers, from: '192.0.2.6' })).status, 204);
  });

  test('takes numbers of its own pages and of listed origins alone, and lets these read its errors', async () => {
    const ask = async (headers: Record<string, string>, body: unknown = { name: 'js_error' }) => {
      const answer = await send(body, { headers, from: '192.0.2.7' });
      return [answer.status, answer.headers['access-control-allow-origin']];
    };
    assert.deepEqual(await ask({ origin: world.base, 'sec-fetch-site': 'same-origin' }), [204, world.base]);
    assert.deepEqual(await ask({ origin: 'https://evil.example.test', 'sec-fetch-site': 'cross-site' }), [
      403,
      undefined,
    ]);
    assert.deepEqual(await ask({ origin: 'null', 'sec-fetch-site': 'cross-site' }), [403, undefined]);
    assert.deepEqual(await ask({ 'sec-fetch-site': 'cross-site' }), [403, undefined]);
    assert.deepEqual(await ask({ origin: world.base }, '{'), [400, world.base]);
    assert.deepEqual(await ask({ origin: LISTED }), [403, undefined], 'not listed here');
  });

  test('takes POST alone', async () => {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      const host = new URL(world.base).host;
      const answer = await call({ port, path: '/api/v1/metrics', method, headers: { host } });
      assert.deepEqual([answer.status, answer.headers.allow], [405, 'POST'], method);
    }
  });

  test('limits the rate of each address', async () => {
    const outcomes: number[] = [];
    for (let n = 0; n < 101; n += 1) outcomes.push((await send([], { from: '192.0.2.8' })).status);
    assert.deepEqual([outcomes.filter((status) => status === 204).length, outcomes.at(-1)], [100, 429]);
    assert.equal((await send([], { from: '192.0.2.9' })).status, 204);
  });
});

test('the sink is off unless it is switched on: its address is then like any other', async () => {
  const plain = await startSignInWorld();
  try {
    const url = new URL('/api/v1/metrics', plain.base);
    const answer = await call({
      port: Number(url.port),
      path: url.pathname,
      method: 'POST',
      headers: { host: url.host, 'content-type': 'application/json' },
      body: '{"name":"x"}',
    });
    assert.equal(answer.status, 404);
  } finally {
    await plain.close();
  }
});
