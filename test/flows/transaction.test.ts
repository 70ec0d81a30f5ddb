import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { isSallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import type { FlowServices } from '../../src/flows/flow.ts';
import {
  beginTransaction,
  expireOldTransactions,
  findTransaction,
  loginUrlOf,
  openTransaction,
  sealTransaction,
  type Transaction,
  transactionCookie,
  transactionValues,
} from '../../src/flows/transaction.ts';
import { createClock, ringOf } from '../core/sessions-support.ts';
import { NOW, worldConfig } from '../core/world.ts';

const TTL_MS = 600_000;
const SITE = { site: { name: 'main' }, loginUrl: 'https://app.example.test/auth/login' };

function start(options: { keys?: readonly ('k1' | 'k2')[] } = {}) {
  const clock = createClock();
  const config = worldConfig();
  const services = { config, clock, ring: ringOf(...(options.keys ?? ['k1'])) } as unknown as FlowServices;
  return { services, clock };
}

function begin(fields: Partial<Transaction> = {}): Transaction {
  return beginTransaction({
    site: 'main',
    idp: 'main',
    returnTo: '/dashboard',
    startedAt: NOW,
    maxAgeS: undefined,
    silent: false,
    dpop: false,
    ...fields,
  });
}

/** The Cookie header of a browser that holds these transactions. */
function jar(services: FlowServices, ...transactions: Transaction[]): string {
  return transactions
    .map(
      (transaction) => `${transactionCookie(services, transaction.id).name}=${sealTransaction(services, transaction)}`,
    )
    .join('; ');
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(isSallyportError(error), String(error));
    return error.code;
  }
  return 'none';
}

describe('a transaction', () => {
  test('has values of its own, each of 256 bits, that cannot be told from each other’s', () => {
    const one = begin();
    const values = transactionValues(one);
    assert.deepEqual(transactionValues(one), values, 'derived, not drawn');
    assert.match(values.state, /^[A-Za-z0-9_-]{8}\.[A-Za-z0-9_-]{43}$/);
    assert.ok(values.state.startsWith(`${one.id}.`));
    assert.match(values.nonce, /^[A-Za-z0-9_-]{43}$/);
    assert.match(values.codeVerifier, /^[A-Za-z0-9_-]{43}$/, 'RFC 7636 §4.1 wants 43 to 128 characters');
    const parts = [values.state.slice(9), values.nonce, values.codeVerifier, one.secret];
    const others = transactionValues(begin());
    assert.equal(new Set([...parts, others.state.slice(9), others.nonce, others.codeVerifier]).size, 7);
  });

  test('survives its cookie exactly', () => {
    const { services } = start();
    const transaction = begin({ maxAgeS: 900, silent: true, returnTo: '/a?b=c#d' });
    const value = sealTransaction(services, transaction);
    assert.match(value, /^[A-Za-z0-9_-]+$/);
    assert.deepEqual(openTransaction(services, transaction.id, value), transaction);
    const plain = begin();
    assert.deepEqual(
      { maxAgeS: undefined, ...openTransaction(services, plain.id, sealTransaction(services, plain)) },
      plain,
    );
  });

  test('shows nothing of itself in the cookie, and never looks the same', () => {
    const { services } = start();
    const transaction = begin();
    const value = sealTransaction(services, transaction);
    const bytes = Buffer.from(value, 'base64url').toString('latin1');
    for (const text of [transaction.secret, 'dashboard', transactionValues(transaction).codeVerifier, 'main']) {
      assert.ok(!bytes.includes(text));
    }
    assert.notEqual(sealTransaction(services, transaction), value);
  });

  test('does not open after any change of a byte, under another id, or under another key', () => {
    const { services } = start();
    const transaction = begin();
    const sealed = Buffer.from(sealTransaction(services, transaction), 'base64url');
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      assert.equal(openTransaction(services, transaction.id, changed.toString('base64url')), undefined, `byte ${at}`);
    }
    assert.equal(openTransaction(services, begin().id, sealed.toString('base64url')), undefined);
    const elsewhere = start({ keys: ['k2'] }).services;
    assert.equal(openTransaction(elsewhere, transaction.id, sealed.toString('base64url')), undefined);
    for (const junk of ['', 'x', '%', 'A'.repeat(LIMITS.cookieMaxBytes), 'A'.repeat(LIMITS.cookieMaxBytes + 1)]) {
      assert.equal(openTransaction(services, transaction.id, junk), undefined);
    }
  });

  test('that began before a key rotation is finished after it', () => {
    const transaction = begin();
    const value = sealTransaction(start().services, transaction);
    assert.deepEqual(
      openTransaction(start({ keys: ['k2', 'k1'] }).services, transaction.id, value)?.secret,
      transaction.secret,
    );
  });

  test('its cookie is __Host- bound, HttpOnly, Lax and short-lived', () => {
    const { services } = start();
    const cookie = transactionCookie(services, 'abcd1234');
    assert.equal(cookie.name, '__Host-bff_tx_abcd1234');
    assert.equal(
      cookie.set('v', TTL_MS),
      '__Host-bff_tx_abcd1234=v; Max-Age=600; Path=/; HttpOnly; Secure; SameSite=Lax',
    );
  });

  test('the longest return_to still fits a cookie', () => {
    const { services } = start();
    const transaction = begin({ returnTo: `/${'a'.repeat(LIMITS.returnToMaxChars - 1)}`, maxAgeS: 999_999_999 });
    const { name } = transactionCookie(services, transaction.id);
    assert.ok(name.length + sealTransaction(services, transaction).length <= LIMITS.cookieMaxBytes);
  });
});

describe('finding the transaction of a callback', () => {
  const { services, clock } = start();
  const mine = begin();
  const state = transactionValues(mine).state;
  const cookie = jar(services, mine);
  const find = (header: string, asked: string | undefined): string =>
    codeOf(() => findTransaction(services, header, asked, SITE));

  test('needs its cookie and its state', () => {
    assert.deepEqual({ ...findTransaction(services, `a=1; ${cookie}; b=2`, state, SITE), maxAgeS: undefined }, mine);
    assert.equal(
      findTransaction(services, `${cookie}; ${cookie}`, state, SITE).id,
      mine.id,
      'a repeated cookie is one cookie',
    );
  });

  test('of this site keeps the page that was wanted for another sign-in, of another site nothing', () => {
    const wanted = begin({ returnTo: '/a?b=c&d=é#e' });
    assert.equal(loginUrlOf(wanted, SITE), `${SITE.loginUrl}?return_to=%2Fa%3Fb%3Dc%26d%3D%C3%A9%23e`);
    assert.equal(loginUrlOf(begin({ site: 'second' }), SITE), SITE.loginUrl);
  });

  const other = begin();
  const table: readonly (readonly [why: string, header: string, state: string | undefined, code: string])[] = [
    ['no state', cookie, undefined, 'callback_invalid'],
    ['endless state', cookie, 'a'.repeat(LIMITS.stateMaxChars + 1), 'callback_invalid'],
    ['empty state', cookie, '', 'transaction_missing'],
    ['no state of ours', cookie, '__proto__', 'transaction_missing'],
    ['state in other case', cookie, state.toUpperCase(), 'transaction_missing'],
    ['state with a blank', cookie, `${state} `, 'transaction_missing'],
    ['state with a line break', cookie, `${state}\n`, 'transaction_missing'],
    ['state cut short', cookie, state.slice(0, -1), 'transaction_missing'],
    ['no cookie at all', '', state, 'transaction_missing'],
    ['another browser’s cookie', jar(services, other), state, 'transaction_missing'],
    [
      'own id with a foreign random part',
      cookie,
      `${mine.id}.${transactionValues(other).state.slice(9)}`,
      'transaction_missing',
    ],
    [
      'foreign value under the own name',
      cookie.replace(/=.*/, `=${sealTransaction(services, other)}`),
      state,
      'transaction_missing',
    ],
    ['two values under one name', `${cookie}; ${jar(services, mine)}`, state, 'transaction_missing'],
    ['a name without the prefix', cookie.replace('__Host-', ''), state, 'transaction_missing'],
  ];
  for (const [why, header, asked, code] of table) test(why, () => assert.equal(find(header, asked), code));

  test('same id, other secret: the state must be this transaction’s', () => {
    const forged = { ...begin(), id: mine.id };
    assert.equal(find(jar(services, forged), state), 'transaction_missing');
  });

  test('its life ends to the millisecond', () => {
    clock.time = NOW + TTL_MS - 1;
    assert.equal(find(cookie, state), 'none');
    clock.time = NOW + TTL_MS;
    assert.equal(find(cookie, state), 'transaction_expired');
    clock.time = NOW;
  });
});

describe('making room for one more (D-23)', () => {
  const { services, clock } = start();
  const names = (header: string, added: number): string[] =>
    expireOldTransactions(services, header, added).map((value) => value.split('=')[0] ?? '');
  const nameOf = ({ id }: Transaction): string => transactionCookie(services, id).name;

  test('with the new one no more than the limit, the oldest end first', () => {
    const many = Array.from({ length: 7 }, (_, index) => begin({ startedAt: NOW - index * 1_000 }));
    const shuffled = [many[3], many[0], many[6], many[5], many[1], many[4], many[2]] as Transaction[];
    assert.deepEqual(
      names(jar(services, ...shuffled), 300),
      [many[4], many[5], many[6]].map((one) => nameOf(one as Transaction)),
    );
    assert.deepEqual(names(jar(services, ...many.slice(0, 4)), 300), []);
    assert.deepEqual(names('', 300), []);
  });

  test('together no more than 4 KiB', () => {
    const long = Array.from({ length: 3 }, (_, index) =>
      begin({ startedAt: NOW - index * 1_000, returnTo: `/${'a'.repeat(900)}` }),
    );
    const size = sealTransaction(services, long[0] as Transaction).length;
    assert.ok(size > 1_400 && size < 1_700, `${size}`);
    assert.deepEqual(names(jar(services, ...long), size), [
      nameOf(long[1] as Transaction),
      nameOf(long[2] as Transaction),
    ]);
    assert.deepEqual(names(jar(services, ...long), LIMITS.transactionCookiesMaxBytes), long.map(nameOf));
  });

  test('what is over, damaged or foreign goes at once', () => {
    const over = begin({ startedAt: NOW - TTL_MS });
    const live = begin();
    const damaged = `${nameOf(begin())}=xyz`;
    assert.deepEqual(names([jar(services, over), damaged, jar(services, live)].join('; '), 300), [
      nameOf(over),
      damaged.split('=')[0],
    ]);
    clock.time = NOW + TTL_MS;
    assert.deepEqual(names(jar(services, live), 300), [nameOf(live)]);
    clock.time = NOW;
  });

  test('other cookies are left alone, and no name can be smuggled into Set-Cookie', () => {
    const odd = [
      'bff_session=x',
      '__Host-bff_tx_=x',
      '__Host-bff_tx_short=x',
      '__Host-bff_tx_abc\r\n123=x',
      '__Host-bff_tx_ab,d;123=x',
    ];
    assert.deepEqual(names(odd.join('; '), 300), []);
  });

  test('a smaller limit is obeyed', () => {
    const strict = start().services;
    const config = { ...strict.config, login: { ...strict.config.login, maxConcurrent: 1 } };
    const one = begin();
    const expired = expireOldTransactions({ ...strict, config }, jar(strict, one), 300);
    assert.deepEqual(
      expired.map((value) => value.split('=')[0]),
      [nameOf(one)],
    );
  });
});

test('the challenge of a verifier is 43 characters of base64url', () => {
  const { codeVerifier } = transactionValues(begin());
  assert.match(createHash('sha256').update(codeVerifier).digest('base64url'), /^[A-Za-z0-9_-]{43}$/);
});
