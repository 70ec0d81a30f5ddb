/** Slots of a Redis Cluster. */
export const SLOT_COUNT = 16_384;

/** CRC-16/XMODEM, the polynomial of the Cluster specification. */
const POLYNOMIAL = 0x1021;

/** A server of a Cluster says that another one has the key: for good (MOVED) or for this one command (ASK). */
export class StoreRedirect extends Error {
  readonly kind: 'MOVED' | 'ASK';
  /** Empty = the server that said so. */
  readonly host: string;
  readonly port: number;

  constructor(kind: 'MOVED' | 'ASK', host: string, port: number) {
    super(kind);
    this.kind = kind;
    this.host = host;
    this.port = port;
  }
}

/** Read `MOVED 3999 host:port` or `ASK 3999 host:port`; undefined for any other error. The host may be IPv6 or empty. */
export function parseRedirect(line: string): StoreRedirect | undefined {
  const [, kind, host, port] = /^(MOVED|ASK) \d{1,5} (.*):(\d{1,5})$/.exec(line) ?? [];
  if (kind === undefined) return undefined;
  return new StoreRedirect(kind as 'MOVED' | 'ASK', host === '?' ? '' : host!, Number(port));
}

/**
 * The slot of a key (Redis Cluster specification, "Hash tags"): of what stands between the first `{` and the next `}`
 * if that is not empty, else of the whole key. Keys are ASCII.
 */
export function slotOf(key: string): number {
  const open = key.indexOf('{');
  const close = open === -1 ? -1 : key.indexOf('}', open + 1);
  return close > open + 1 ? crc16(key, open + 1, close) % SLOT_COUNT : crc16(key, 0, key.length) % SLOT_COUNT;
}

function crc16(text: string, from: number, to: number): number {
  let crc = 0;
  for (let at = from; at < to; at += 1) {
    crc ^= text.charCodeAt(at) << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ POLYNOMIAL;
    crc &= 0xffff;
  }
  return crc;
}
