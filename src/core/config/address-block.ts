import { formatAddress, parseAddress } from '../address.ts';

/** A CIDR block: canonical text with the host bits cleared, and its prefix length. */
export type AddressBlock = { readonly text: string; readonly bits: number };

/**
 * Parse `10.0.0.0/24`, `fd00::/64` or a single address. Host bits are cleared; a mapped IPv4 block (`::ffff:0:0/96`
 * and longer) becomes the IPv4 block it is. Undefined for anything else.
 */
export function parseAddressBlock(text: string): AddressBlock | undefined {
  const [address = '', length, ...rest] = text.split('/');
  if (rest.length > 0 || address.includes('%') || (length !== undefined && !/^(?:0|[1-9]\d{0,2})$/.test(length)))
    return undefined;
  const bytes = parseAddress(address);
  if (bytes === undefined) return undefined;
  const isV4 = !address.includes(':');
  const widest = isV4 ? 32 : 128;
  const prefix = length === undefined ? widest : Number(length);
  if (prefix > widest) return undefined;
  const bits = isV4 ? prefix + 96 : prefix;
  const masked = mask(bytes, bits);
  const base = formatAddress(masked);
  if (base.includes(':')) return { text: `${base}/${bits}`, bits };
  // A mapped base with a prefix shorter than the mapping itself cannot be written as IPv4.
  return bits >= 96 ? { text: `${base}/${bits - 96}`, bits: bits - 96 } : undefined;
}

function mask(bytes: Uint8Array, bits: number): Uint8Array {
  return bytes.map((byte, index) => {
    const kept = Math.min(8, Math.max(0, bits - index * 8));
    return byte & ((0xff << (8 - kept)) & 0xff);
  });
}
