/** An HTTP/2 client that sends what it is told, frame by frame (RFC 9113 §4.1), for what no library would send. */

import { readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import { TEST_TLS } from './h2.ts';
import { until } from './until.ts';

/** Frame types of RFC 9113 §6. */
export const FRAME = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags of RFC 9113 §6. */
export const FLAG = { ack: 1, endStream: 1, endHeaders: 4 } as const;

/** A frame as it came. */
export type Frame = {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
};

/** A connection after its preface. */
export type RawH2 = {
  readonly socket: TLSSocket;
  /** Frames received so far. */
  readonly frames: readonly Frame[];
  send(...frames: readonly Buffer[]): void;
  isClosed(): boolean;
  /** Error code of the GOAWAY that ended the connection; undefined without one. */
  goawayCode(): number | undefined;
  /** Waits for a frame. @throws Error after 5 s */
  receive(isIt: (frame: Frame) => boolean, what: string): Promise<Frame>;
  close(): void;
};

/** Connect and send the preface. @param settings payload of the first SETTINGS frame. */
export async function connectRawH2(port: number, settings: Buffer = Buffer.alloc(0)): Promise<RawH2> {
  const socket = connect({ port, host: '127.0.0.1', ca: readFileSync(TEST_TLS.certFile), ALPNProtocols: ['h2'] });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  let closed = false;
  const frames: Frame[] = [];
  let rest: Buffer = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('close', () => {
    closed = true;
  });
  socket.on('data', (chunk: Buffer) => {
    rest = takeFrames(Buffer.concat([rest, chunk]), frames);
  });
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FRAME.settings, 0, 0, settings)]));
  const find = (isIt: (received: Frame) => boolean): Frame | undefined => frames.find(isIt);
  return {
    socket,
    frames,
    send: (...list) => void socket.write(Buffer.concat(list)),
    isClosed: () => closed,
    goawayCode: () => frames.findLast(({ type }) => type === FRAME.goaway)?.payload.readUInt32BE(4),
    async receive(isIt, what) {
      await until(() => find(isIt) !== undefined, what);
      return find(isIt) as Frame;
    },
    close: () => void socket.destroy(),
  };
}

/** One frame. */
export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header block of literals without indexing and without Huffman codes (RFC 7541 §6.2.2). */
export function headerBlock(fields: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(fields).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]);
  return Buffer.concat(parts);
}

/** Payload of a SETTINGS frame. */
export function settingsPayload(...entries: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  entries.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  });
  return payload;
}

/** A number of 32 bits. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let left = bytes.length - 127;
  for (; left >= 128; left = Math.floor(left / 128)) length.push((left % 128) + 128);
  return Buffer.concat([Buffer.from([...length, left]), bytes]);
}

function takeFrames(bytes: Buffer, frames: Frame[]): Buffer {
  let at = 0;
  while (bytes.length - at >= 9) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (bytes.length < end) break;
    const stream = bytes.readUInt32BE(at + 5);
    frames.push({ type: bytes[at + 3] ?? 0, flags: bytes[at + 4] ?? 0, stream, payload: bytes.subarray(at + 9, end) });
    at = end;
  }
  return bytes.subarray(at);
}
