import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { finishHeaders } from '../../src/proxy/request-headers.ts';
import { OWN, read, toPairs } from './header-lab.ts';

/** A name that some service could fold into `name`: other case, other punctuation. */
function lookAlike(name: string): fc.Arbitrary<string> {
  return fc
    .array(fc.tuple(fc.boolean(), fc.constantFrom('-', '_', '.', '~', '!', '+')), {
      minLength: name.length,
      maxLength: name.length,
    })
    .map((choices) =>
      [...name]
        .map((char, at) => {
          const [isUpper, mark] = choices[at] as [boolean, string];
          if (!/[a-z0-9]/i.test(char)) return mark;
          return isUpper ? char.toUpperCase() : char;
        })
        .join(''),
    );
}

const DANGEROUS = [
  'connection',
  'keep-alive',
  'te',
  'transfer-encoding',
  'upgrade',
  'proxy-authorization',
  'authorization',
  'x-user-id',
  'x-team-name',
  'sub',
  'x-forwarded-for',
  'x-forwarded-host',
  'forwarded',
  'x-real-ip',
  'x-original-url',
  'x-rewrite-url',
  'x-http-method-override',
  'content-length',
  'host',
];
const OWN_COOKIES = [
  'bff_session',
  '__Host-bff_session',
  '__Host-staff',
  'bff_tx_1',
  '__Host-bff_tx_zz',
  'bff_loop',
  'bff_left',
  'bff_csrf',
];
const MARK = 'smuggled';

const anyName = fc.oneof(
  fc.constantFrom(...DANGEROUS).chain(lookAlike),
  fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,24}$/),
);
const cookieName = fc.oneof(fc.constantFrom(...OWN_COOKIES).chain(lookAlike), fc.stringMatching(/^[a-z]{1,8}$/));
const anyHeader = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(anyName, fc.constant(MARK)) },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constant('connection'),
      fc.array(anyName, { maxLength: 4 }).map((names) => names.join(' , ')),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constant('cookie'),
      fc.array(cookieName, { maxLength: 6 }).map((names) => names.map((name) => `${name}=${MARK}`).join('; ')),
    ),
  },
);

test('no list of headers lets an identity, hop-by-hop header or cookie of ours through, in any spelling', () => {
  fc.assert(
    fc.property(fc.array(anyHeader, { maxLength: 24 }), (headers) => {
      const list = toPairs(finishHeaders(read(headers), OWN));
      const nominated = headers
        .filter(([name]) => name.toLowerCase() === 'connection')
        .flatMap(([, value]) => value.split(',').map((name) => name.trim().toLowerCase()));
      for (const [name, value] of list) {
        const folded = name.toLowerCase().replace(/[^a-z0-9]/g, '-');
        if (name === 'cookie') checkCookies(value);
        else if (value.includes(MARK)) {
          assert.ok(!DANGEROUS.includes(folded), `${name} passed`);
          assert.ok(!nominated.includes(name), `${name} passed although nominated`);
        }
      }
      for (const name of ['x-user-id', 'authorization', 'x-forwarded-for']) {
        assert.equal(list.filter(([other]) => other.toLowerCase() === name).length, 1, `${name} is there once`);
      }
    }),
    { numRuns: 2_000 },
  );
});

function checkCookies(header: string): void {
  const own = OWN_COOKIES.map((name) =>
    name
      .toLowerCase()
      .replace(/[^a-z0-9]/g, '-')
      .replace(/^--(?:host|secure)-/, ''),
  );
  for (const pair of header.split('; ')) {
    const name = (pair.split('=')[0] ?? '')
      .toLowerCase()
      .replace(/[^a-z0-9]/g, '-')
      .replace(/^-*(?:host|secure)-/, '');
    assert.ok(!own.includes(name), `the cookie ${pair} passed`);
  }
}
