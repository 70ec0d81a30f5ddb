import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** One frame as it stands on the wire (RFC 6455 §5.2); lengths above 65,535 are not made. */
export type RawFrame = {
  readonly opcode: number;
  readonly payload?: string | Buffer;
  readonly fin?: boolean;
  /** Reserved bits, RSV1 = 4. */
  readonly rsv?: number;
  readonly masked?: boolean;
};

/** A client that can say what no library would. */
export type RawWebSocket = {
  readonly socket: Socket;
  send(...frames: readonly RawFrame[]): void;
  /** Everything the server sends until it ends the connection: `opcode:payload` of each frame, payloads in hex. */
  readonly ended: Promise<readonly string[]>;
};

/** Shake hands and return the open connection. Rejects if the answer is not 101. */
export async function openRawWebSocket(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<RawWebSocket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  const lines = Object.entries({ host: `127.0.0.1:${port}`, ...headers }).map(([name, value]) => `${name}: ${value}`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
  let bytes = Buffer.alloc(0);
  while (bytes.indexOf('\r\n\r\n') === -1) bytes = Buffer.concat([bytes, (await once(socket, 'data'))[0] as Buffer]);
  if (!bytes.toString('latin1').startsWith('HTTP/1.1 101 ')) throw new Error(bytes.toString('latin1'));
  let rest: Buffer = bytes.subarray(bytes.indexOf('\r\n\r\n') + 4);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
  });
  const ended = once(socket, 'close').then(() => readFrames(rest));
  return { socket, send: (...frames) => void socket.write(Buffer.concat(frames.map(frameBytes))), ended };
}

function frameBytes({ opcode, payload = '', fin = true, rsv = 0, masked = true }: RawFrame): Buffer {
  const data = Buffer.from(payload);
  const length = data.length < 126 ? [data.length] : [126, data.length >> 8, data.length & 0xff];
  length[0] = (length[0] as number) | (masked ? 0x80 : 0);
  const mask = masked ? randomBytes(4) : Buffer.alloc(0);
  const body = masked ? data.map((byte, at) => byte ^ (mask[at % 4] as number)) : data;
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode, ...length]), mask, body]);
}

function readFrames(bytes: Buffer): string[] {
  const frames: string[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const short = (bytes[at + 1] as number) & 0x7f;
    const start = at + (short === 126 ? 4 : short === 127 ? 10 : 2);
    const length =
      short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short;
    frames.push(`${(bytes[at] as number) & 0x0f}:${bytes.subarray(start, start + length).toString('hex')}`);
    at = start + length;
  }
  return frames;
}

/** The payload of a close frame. */
export function closePayload(code: number, reason = ''): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);
}
