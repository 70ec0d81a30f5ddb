import { isIPv4, isIPv6 } from 'node:net';
import { LIMITS } from './limits.ts';

/** True if an address (4 or 16 bytes, network order) lies in one of the compiled blocks. */
export type AddressMatcher = (address: Uint8Array) => boolean;

/**
 * Which peers are trusted proxies. `all`: whoever can reach the listener is one, so that no peer is asked for its address
 * before somebody needs it: reading it costs as much as ten headers.
 */
export type PeerTrust = AddressMatcher | 'all';

type Block = { readonly bytes: Uint8Array; readonly bits: number };

/**
 * Parse an IPv4 or IPv6 literal to 16 bytes; IPv4 becomes its mapped form, so that `::ffff:10.0.0.1` and `10.0.0.1`
 * are one address. A zone id (`%eth0`) is dropped. Undefined for anything else.
 */
export function parseAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return mapIpv4(text.split('.').map(Number));
  const percent = text.indexOf('%');
  const plain = percent === -1 ? text : text.slice(0, percent);
  return isIPv6(plain) ? parseIpv6(plain) : undefined;
}

/** Dotted or RFC 5952-like text of 4 or 16 bytes; mapped IPv4 is written as IPv4. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return dotted(bytes, 0);
  if (isMapped(bytes)) return dotted(bytes, 12);
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)).toString(16));
  const text = groups.join(':');
  const longest = (text.match(/(?:^|:)0(?::0)+(?=:|$)/g) ?? []).sort((a, b) => b.length - a.length)[0];
  if (longest === undefined) return text;
  const at = text.indexOf(longest);
  const head = text.slice(0, at);
  const tail = text.slice(at + longest.length);
  return `${head}::${tail.startsWith(':') ? tail.slice(1) : tail}`;
}

function dotted(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/**
 * The name under which a client is counted: an IPv4 address, or the /64 that one IPv6 subscriber has at least.
 * @param address as `formatAddress` writes it; anything else is its own name.
 */
export function addressGroup(address: string): string {
  if (!address.includes(':')) return address;
  const bytes = parseAddress(address);
  if (bytes === undefined || isMapped(bytes)) return address;
  return Buffer.from(bytes.subarray(0, 8)).toString('hex');
}

/**
 * Compile CIDR blocks to one predicate over address bytes. Compared by bits, never by text (FH-039).
 * @param blocks `10.0.0.0/24`, `fd00::/64` or single addresses, already validated by the configuration.
 */
export function compileAddressMatcher(blocks: readonly string[]): AddressMatcher {
  const compiled = blocks.map(parseBlock);
  if (compiled.length === 0) return () => false;
  const match = (bytes: Uint8Array): boolean => {
    for (const block of compiled) {
      if (samePrefix(bytes, block.bytes, block.bits)) return true;
    }
    return false;
  };
  return rememberIpv4((address) => match(normalise(address)));
}

/** A gateway has few addresses and asks often: its four bytes are one number, and the answer is remembered by it. */
function rememberIpv4(match: AddressMatcher): AddressMatcher {
  const known = new Map<number, boolean>();
  return (address) => {
    if (address.length !== 4) return match(address);
    const key =
      (address[0] as number) * 0x1000000 +
      ((address[1] as number) << 16) +
      ((address[2] as number) << 8) +
      (address[3] as number);
    const remembered = known.get(key);
    if (remembered !== undefined) return remembered;
    if (known.size >= LIMITS.peersRemembered) known.clear();
    const result = match(address);
    known.set(key, result);
    return result;
  };
}

/**
 * The client's address: the right-most X-Forwarded-For entry outside the trusted proxies; with all of them trusted
 * the left-most; an entry that is no address ends the search at the hop before it (SPEC §6).
 * @param peer address of the socket, used when the peer is no trusted proxy or the header is absent.
 */
export function clientAddress(peer: Uint8Array, forwardedFor: string, trusted: AddressMatcher): string {
  if (forwardedFor === '' || !trusted(peer)) return formatAddress(peer);
  let found = peer;
  const entries = forwardedFor.split(',').slice(-LIMITS.forwardedForMax);
  for (let i = entries.length - 1; i >= 0; i--) {
    const bytes = parseAddress(withoutPort((entries[i] ?? '').trim()));
    if (bytes === undefined) break;
    found = bytes;
    if (!trusted(bytes)) break;
  }
  return formatAddress(found);
}

function withoutPort(entry: string): string {
  if (entry.startsWith('[')) {
    const close = entry.indexOf(']');
    return close === -1 ? entry : entry.slice(1, close);
  }
  const colon = entry.indexOf(':');
  return colon !== -1 && colon === entry.lastIndexOf(':') ? entry.slice(0, colon) : entry;
}

function parseBlock(text: string): Block {
  const slash = text.indexOf('/');
  const address = parseAddress(slash === -1 ? text : text.slice(0, slash));
  if (address === undefined) throw new TypeError(`not an address block: ${text}`);
  const mapped = isMapped(address) && !text.includes(':');
  const bits = slash === -1 ? (mapped ? 32 : 128) : Number(text.slice(slash + 1));
  return { bytes: address, bits: mapped ? bits + 96 : bits };
}

function samePrefix(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) {
    if (a[i] !== b[i]) return false;
  }
  const rest = bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((a[whole] ?? 0) & mask) === ((b[whole] ?? 0) & mask);
}

function normalise(address: Uint8Array): Uint8Array {
  return address.length === 4 ? mapIpv4([...address]) : address;
}

function mapIpv4(octets: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[10] = 0xff;
  bytes[11] = 0xff;
  bytes.set(octets, 12);
  return bytes;
}

function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) {
    if (bytes[i] !== 0) return false;
  }
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

function parseIpv6(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const [head = '', tail] = text.split('::');
  const left = groupsOf(head);
  const right = tail === undefined ? [] : groupsOf(tail);
  bytes.set(left, 0);
  bytes.set(right, 16 - right.length);
  return bytes;
}

function groupsOf(part: string): number[] {
  const bytes: number[] = [];
  for (const group of part === '' ? [] : part.split(':')) {
    if (group.includes('.')) bytes.push(...group.split('.').map(Number));
    else bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff);
  }
  return bytes;
}
