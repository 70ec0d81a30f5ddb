import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { clientAddress, compileAddressMatcher, formatAddress, parseAddress } from '../../src/core/address.ts';
import { LIMITS } from '../../src/core/limits.ts';

function bytesOf(text: string): Uint8Array {
  const bytes = parseAddress(text);
  assert.ok(bytes !== undefined, `${text} is an address`);
  return bytes;
}

describe('addresses as text', () => {
  const table: readonly (readonly [text: string, canonical: string | undefined])[] = [
    ['10.0.0.5', '10.0.0.5'],
    ['::ffff:10.0.0.5', '10.0.0.5'],
    ['::ffff:a00:5', '10.0.0.5'],
    ['0000:0000:0000:0000:0000:ffff:0a00:0005', '10.0.0.5'],
    ['::1', '::1'],
    ['::', '::'],
    ['1::', '1::'],
    ['fe80::1%eth0', 'fe80::1'],
    ['2001:DB8::A', '2001:db8::a'],
    ['64:ff9b::10.0.0.5', '64:ff9b::a00:5'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:2:3:4:5:6:7:0', '1:2:3:4:5:6:7:0'],
    ['', undefined],
    ['10.0.0', undefined],
    ['010.0.0.5', undefined],
    ['10.0.0.256', undefined],
    ['10.0.0.5%eth0', undefined],
    ['2130706433', undefined],
    ['0x7f.1', undefined],
    ['1:::2', undefined],
    ['[::1]', undefined],
    [' ::1', undefined],
    ['unknown', undefined],
  ];
  for (const [text, canonical] of table) {
    test(`${JSON.stringify(text)} is ${canonical ?? 'no address'}`, () => {
      const bytes = parseAddress(text);
      assert.equal(bytes && formatAddress(bytes), canonical);
    });
  }

  test('formatting and parsing are inverse, for 4 and 16 bytes', () => {
    const octet = fc.oneof(fc.constant(0), fc.nat(255));
    const bytes = fc.oneof(
      fc.array(octet, { minLength: 16, maxLength: 16 }),
      fc.array(octet, { minLength: 4, maxLength: 4 }),
    );
    fc.assert(
      fc.property(bytes, (octets) => {
        const text = formatAddress(Uint8Array.from(octets));
        assert.notEqual(isIP(text), 0, text);
        const parsed = [...bytesOf(text)];
        assert.deepEqual(parsed.slice(-octets.length), octets);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('address blocks', () => {
  const table: readonly (readonly [blocks: readonly string[], address: string, inside: boolean])[] = [
    [['10.0.0.0/24'], '10.0.0.255', true],
    [['10.0.0.0/24'], '10.0.1.0', false],
    [['10.0.0.0/24'], '::ffff:10.0.0.9', true],
    [['10.0.0.0/25'], '10.0.0.128', false],
    [['10.0.0.5'], '10.0.0.5', true],
    [['10.0.0.5'], '10.0.0.50', false],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['0.0.0.0/0'], '2001:db8::1', false],
    [['::/0'], '2001:db8::1', true],
    [['::/0'], '203.0.113.9', true],
    [['::ffff:10.0.0.0/104'], '10.255.0.1', true],
    [['fd00::/64'], 'fd00::1', true],
    [['fd00::/64'], 'fd00:0:0:1::1', false],
    [['fd00::/63'], 'fd00:0:0:1::1', true],
    [['::1'], '::1', true],
    [['::1'], '127.0.0.1', false],
    [['192.0.2.1', '10.0.0.0/8'], '10.9.9.9', true],
    [[], '10.0.0.1', false],
  ];
  for (const [blocks, address, inside] of table) {
    test(`${address} is ${inside ? '' : 'not '}in [${blocks.join(', ')}]`, () => {
      assert.equal(compileAddressMatcher(blocks)(bytesOf(address)), inside);
    });
  }

  test('four bytes of IPv4 are the same address as the mapped form', () => {
    assert.equal(compileAddressMatcher(['10.0.0.0/24'])(Uint8Array.from([10, 0, 0, 7])), true);
  });

  test('a block that is none is refused at the start', () => {
    assert.throws(() => compileAddressMatcher(['10.0.0']), TypeError);
  });

  test('IPv4 blocks agree with the platform', () => {
    const octets = fc.array(fc.constantFrom(0, 1, 10, 127, 128, 192, 255), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(octets, octets, fc.nat(32), (base, address, bits) => {
        const platform = new BlockList();
        platform.addSubnet(base.join('.'), bits, 'ipv4');
        const ours = compileAddressMatcher([`${base.join('.')}/${bits}`]);
        assert.equal(ours(bytesOf(address.join('.'))), platform.check(address.join('.'), 'ipv4'));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the client address', () => {
  const trusted = compileAddressMatcher(['10.0.0.0/24', 'fd00::/64']);
  const table: readonly (readonly [why: string, peer: string, forwardedFor: string, client: string])[] = [
    ['no header: the peer', '10.0.0.5', '', '10.0.0.5'],
    ['untrusted peer: its header means nothing', '203.0.113.9', '198.51.100.7', '203.0.113.9'],
    ['one entry', '10.0.0.5', '198.51.100.7', '198.51.100.7'],
    ['spoofed entries to the left are not reached', '10.0.0.5', '1.1.1.1, 198.51.100.7', '198.51.100.7'],
    ['trusted hops are skipped', '10.0.0.5', '1.1.1.1, 198.51.100.7, 10.0.0.9', '198.51.100.7'],
    ['all trusted: the left-most', '10.0.0.5', '10.0.0.8, 10.0.0.9', '10.0.0.8'],
    ['no address ends the search at the hop before it', '10.0.0.5', '198.51.100.7, unknown, 10.0.0.9', '10.0.0.9'],
    ['no address as the right-most: the peer', '10.0.0.5', '198.51.100.7, unknown', '10.0.0.5'],
    ['an empty entry is no address', '10.0.0.5', '198.51.100.7,', '10.0.0.5'],
    ['mapped IPv4 is IPv4', '::ffff:10.0.0.5', '::ffff:198.51.100.7', '198.51.100.7'],
    ['a port is dropped', '10.0.0.5', '198.51.100.7:4711', '198.51.100.7'],
    ['brackets and a port are dropped', 'fd00::1', '[2001:db8::7]:4711', '2001:db8::7'],
    ['bare IPv6', 'fd00::1', '2001:db8::7', '2001:db8::7'],
    ['an open bracket is no address', 'fd00::1', '[2001:db8::7', 'fd00::1'],
    ['blanks around entries', '10.0.0.5', ' 1.1.1.1 ,\t198.51.100.7 ', '198.51.100.7'],
  ];
  for (const [why, peer, forwardedFor, client] of table) {
    test(why, () => assert.equal(clientAddress(bytesOf(peer), forwardedFor, trusted), client));
  }

  test('no more entries are read than the limit, from the right', () => {
    const hops = Array.from({ length: LIMITS.forwardedForMax }, () => '10.0.0.9');
    assert.equal(clientAddress(bytesOf('10.0.0.5'), ['198.51.100.7', ...hops].join(','), trusted), '10.0.0.9');
    assert.equal(
      clientAddress(bytesOf('10.0.0.5'), ['198.51.100.7', ...hops.slice(1)].join(','), trusted),
      '198.51.100.7',
    );
  });

  test('the answer is always an address, and an untrusted one can only be what a trusted hop reported', () => {
    const entry = fc.oneof(
      fc.constantFrom('10.0.0.9', '198.51.100.7', '2001:db8::1', 'fd00::2', 'unknown', '', '[::1]:80', '1.1.1.1:x'),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), (entries) => {
        const header = entries.join(', ');
        assert.notEqual(isIP(clientAddress(bytesOf('10.0.0.5'), header, trusted)), 0);
        assert.equal(clientAddress(bytesOf('203.0.113.9'), header, trusted), '203.0.113.9');
        // Whatever is to the left of an untrusted hop changes nothing.
        assert.equal(clientAddress(bytesOf('10.0.0.5'), `${header}, 192.0.2.44, 10.0.0.7`, trusted), '192.0.2.44');
      }),
    );
  });
});
