import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type AccessWorld,
  type Asked,
  EVIL,
  type Headers,
  LISTED,
  refusal,
  startAccessWorld,
} from '../proxy/access-world.ts';

let lab: AccessWorld;

before(async () => {
  lab = await startAccessWorld();
});

after(() => lab.close());

describe('a request with a cookie', () => {
  const proof = { 'x-csrf': '1' };
  const own = (): Headers => ({ origin: lab.world.origin });
  const unsafe: readonly [string, () => Headers, string | 200][] = [
    ['of our page, with proof', () => ({ ...own(), ...proof, 'sec-fetch-site': 'same-origin' }), 200],
    ['of a browser without Fetch Metadata, with proof', () => ({ ...own(), ...proof }), 200],
    ['with our Referer alone, with proof', () => ({ referer: `${lab.world.origin}/page`, ...proof }), 200],
    ['of a listed origin, with proof', () => ({ origin: LISTED, ...proof, 'sec-fetch-site': 'same-site' }), 200],
    ['of our page without proof', () => ({ ...own(), 'sec-fetch-site': 'same-origin' }), '403 csrf_failed'],
    ['of our page with an empty proof', () => ({ ...own(), 'x-csrf': '' }), '403 csrf_failed'],
    ['of our page with another proof', () => ({ ...own(), 'x-csrf': '2' }), '403 csrf_failed'],
    ['that says nothing of its origin', () => ({ ...proof }), '403 csrf_failed'],
    ['of a foreign page', () => ({ origin: EVIL, ...proof, 'sec-fetch-site': 'cross-site' }), '403 csrf_failed'],
    ['of a foreign page without Fetch Metadata', () => ({ origin: EVIL, ...proof }), '403 csrf_failed'],
    ['of a page without an origin', () => ({ origin: 'null', ...proof }), '403 csrf_failed'],
    [
      'of a page whose origin begins like ours',
      () => ({ origin: `${lab.world.origin}.evil.test`, ...proof }),
      '403 csrf_failed',
    ],
    ['of a foreign Referer', () => ({ referer: `${EVIL}/${lab.world.origin}`, ...proof }), '403 csrf_failed'],
    ['typed by nobody', () => ({ ...proof, 'sec-fetch-site': 'none' }), '403 csrf_failed'],
    ['of a sister site', () => ({ ...proof, 'sec-fetch-site': 'same-site' }), '403 csrf_failed'],
  ];
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    test(`that changes something (${method}) needs an origin of ours and the proof`, async () => {
      for (const [name, headers, expected] of unsafe) {
        const answer = await lab.ask('/api/x', { ...headers(), cookie: lab.alice }, { method });
        if (expected === 200) assert.equal(answer.status, 200, name);
        else assert.equal(refusal(answer), expected, name);
      }
    });
  }

  test('that reads may come from our pages, links and listed origins, and no embedding', async () => {
    const navigate = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
    const reads: readonly [Headers, string | 200][] = [
      [{}, 200],
      [{ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' }, 200],
      [{ 'sec-fetch-site': 'none', ...navigate }, 200],
      [{ 'sec-fetch-site': 'cross-site', ...navigate, 'x-http-method-override': 'DELETE' }, 200],
      [{ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors', origin: LISTED }, 200],
      [{ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors', origin: EVIL }, '403 origin_not_allowed'],
      [{ origin: 'null' }, '403 origin_not_allowed'],
      [
        { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
        '403 origin_not_allowed',
      ],
      [
        { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
        '403 origin_not_allowed',
      ],
      [
        { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' },
        '403 origin_not_allowed',
      ],
      [{ 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors', referer: `${LISTED}/x` }, 200],
    ];
    for (const [headers, expected] of reads) {
      const answer = await lab.ask('/api/x', { ...headers, cookie: lab.alice });
      if (expected === 200) assert.equal(answer.status, 200, JSON.stringify(headers));
      else assert.equal(refusal(answer), expected, JSON.stringify(headers));
    }
  });

  test('obeys the rule of its route: none, or all methods', async () => {
    assert.equal((await lab.ask('/lax/x', { cookie: lab.alice, origin: EVIL }, { method: 'POST' })).status, 200);
    assert.equal(refusal(await lab.ask('/all/x', { cookie: lab.alice })), '403 csrf_failed');
    assert.equal((await lab.ask('/all/x', { cookie: lab.alice, ...own(), ...proof })).status, 200);
  });

  test('needs nothing where there is no session to abuse', async () => {
    assert.equal((await lab.ask('/open/x', { cookie: lab.alice, origin: EVIL }, { method: 'POST' })).status, 200);
    assert.equal((await lab.ask('/maybe/x', { origin: EVIL }, { method: 'POST' })).status, 200);
    assert.equal(
      refusal(await lab.ask('/maybe/x', { cookie: lab.alice, origin: EVIL }, { method: 'POST' })),
      '403 csrf_failed',
    );
  });
});

describe('CORS', () => {
  const preflight = (origin: string, headers: Headers = {}): Promise<Asked> =>
    lab.ask('/api/x', { origin, 'access-control-request-method': 'POST', ...headers }, { method: 'OPTIONS' });

  test('preflights of listed origins are answered by us, others refused', async () => {
    const answer = await preflight(LISTED, { 'access-control-request-headers': 'Content-Type, X-CSRF' });
    assert.equal(answer.status, 204);
    assert.equal(answer.reached, false);
    assert.equal(answer.headers['access-control-allow-origin'], LISTED);
    assert.equal(answer.headers['access-control-allow-credentials'], 'true');
    assert.match(answer.headers.vary ?? '', /origin/i);
    for (const origin of [EVIL, 'null', `${LISTED}.evil.test`]) {
      const refused = await preflight(origin);
      assert.equal(refusal(refused), '403 origin_not_allowed', origin);
      assert.equal(refused.headers['access-control-allow-origin'], undefined);
    }
    assert.equal(
      refusal(await preflight(LISTED, { 'access-control-request-headers': 'x-user-id' })),
      '403 origin_not_allowed',
    );
    const many = Array.from({ length: 70 }, (_, i) => `x-a${i}`).join(',');
    assert.equal(refusal(await preflight(LISTED, { 'access-control-request-headers': many })), '400 bad_request');
  });

  test('answers and errors carry our headers, never those of the service', async () => {
    const answer = await lab.ask('/old/x', { cookie: lab.alice, origin: LISTED });
    assert.equal(answer.headers['access-control-allow-origin'], LISTED);
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.equal(answer.headers.vary, 'cookie, origin');
    assert.equal(answer.headers.server, undefined);
    assert.deepEqual(answer.headers['set-cookie'], ['theme=dark; Path=/']);
    const error = await lab.ask('/api/x', { origin: LISTED });
    assert.equal(error.status, 401);
    assert.equal(error.headers['access-control-allow-origin'], LISTED);
    const plain = await lab.ask('/old/x', { cookie: lab.alice });
    assert.equal(plain.headers['access-control-allow-origin'], undefined);
    assert.equal((await lab.ask('/cached/x', { cookie: lab.alice })).headers['cache-control'], 'public, max-age=60');
  });
});
