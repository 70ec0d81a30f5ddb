import { BlockList, isIP } from 'node:net';

/** Trusted proxies of the fixed test world (SECURITY section 0). */
export const WORLD_TRUSTED: readonly string[] = ['10.0.0.0/24', 'fd00::/64'];

/**
 * Loopback blocks that play trusted peers. The named test addresses keep their last number where they can
 * (10.0.0.5 is played by 127.0.0.5, 203.0.113.9 by 127.0.0.9); the block is as small as that needs.
 */
const TRUSTED_LOW = '127.0.0.0/29';
const TRUSTED_HIGH = '127.1.0.0/24';

/** What a server instance must trust so that played peers are judged as the real ones would be. */
export type PeerPlay = {
  /** Address that the client socket binds to. */
  readonly localAddress: string;
  /** `v4`: an IPv4 listener; `v6`: ::1; `mapped`: an IPv4 peer that a dual-stack listener sees as ::ffff:a.b.c.d. */
  readonly listener: 'v4' | 'v6' | 'mapped';
  /** Whether the peer is inside the trusted list of its case. */
  readonly trusted: boolean;
  /** Why the played address differs from the one named, if it cannot be played faithfully. */
  readonly remark: string | undefined;
};

/** Plays the socket peers of attack cases on loopback addresses and remembers who plays whom. */
export type PeerTable = {
  /** Choose the loopback address for a peer named by a case, given that case's trusted list. */
  play(peer: string, trustedProxies: readonly string[]): PeerPlay;
  /** Everything mapped so far, `peer -> loopback address`, for the report. */
  readonly mapping: ReadonlyMap<string, string>;
};

/** The trusted list to configure for a case's list: the real addresses and the loopback ones that play them. */
export function playedTrust(
  trustedProxies: readonly string[],
  listener: PeerPlay['listener'],
  trustsV6Peer: boolean,
): string[] {
  if (trustedProxies.length === 0) return [];
  const played = [TRUSTED_LOW, TRUSTED_HIGH];
  return [...trustedProxies, ...played, ...(listener === 'v6' && trustsV6Peer ? ['::1/128'] : [])];
}

/** A new, empty table. */
export function createPeerTable(): PeerTable {
  const mapping = new Map<string, string>();
  let next = 0;
  const allocate = (): string => {
    next += 1;
    return `127.2.${next >> 8}.${next & 255 || 1}`;
  };
  const played = (peer: string, choose: () => string): string => {
    const known = mapping.get(peer);
    if (known !== undefined) return known;
    const address = choose();
    mapping.set(peer, address);
    return address;
  };
  return {
    mapping,
    play(peer, trustedProxies) {
      const v4 = mappedV4(peer) ?? (isIP(peer) === 4 ? peer : undefined);
      const trusted = isTrusted(v4 ?? peer, trustedProxies);
      if (isIP(peer) === 0) {
        const remark = `a socket peer cannot be the text ${peer}; played by an untrusted address`;
        return { localAddress: played(peer, allocate), listener: 'v4', trusted: false, remark };
      }
      if (v4 === undefined)
        return { localAddress: played(peer, () => '::1'), listener: 'v6', trusted, remark: undefined };
      const localAddress = played(`${v4}${trusted ? '' : ' (untrusted)'}`, () => playV4(v4, trusted) ?? allocate());
      return { localAddress, listener: v4 === peer ? 'v4' : 'mapped', trusted, remark: undefined };
    },
  };
}

function playV4(address: string, trusted: boolean): string | undefined {
  const [, , , last = 0] = address.split('.').map(Number);
  if (trusted) return last > 0 && last < 8 ? `127.0.0.${last}` : `127.1.0.${last === 0 ? 254 : last}`;
  if (address === '203.0.113.9') return '127.0.0.9';
  if (address === '10.0.1.5') return '127.0.1.5';
  return undefined;
}

function mappedV4(peer: string): string | undefined {
  if (isIP(peer) !== 6) return undefined;
  const groups = expandV6(peer);
  if (groups.slice(0, 5).some((group) => group !== 0) || groups[5] !== 0xffff) return undefined;
  const [high = 0, low = 0] = groups.slice(6);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

function expandV6(address: string): number[] {
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const [a = 0, b = 0, c = 0, d = 0] = (dotted ?? []).slice(1).map(Number);
  const text = dotted
    ? `${address.slice(0, dotted.index)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
    : address;
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const left = groups(head);
  if (tail === undefined) return left;
  const right = groups(tail);
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function isTrusted(peer: string, trustedProxies: readonly string[]): boolean {
  const family = isIP(peer);
  if (family === 0) return false;
  const list = new BlockList();
  for (const entry of trustedProxies) {
    const [address = '', bits] = entry.split('/');
    const type = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (isIP(address) === 0) continue;
    if (bits === undefined) list.addAddress(address, type);
    else list.addSubnet(address, Number(bits), type);
  }
  return list.check(peer, family === 6 ? 'ipv6' : 'ipv4');
}
