import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Connections opened at the same time. */
const AT_ONCE = 50;
const ANSWER_MS = 20_000;

/**
 * Open many connections, send each its request and wait for the first bytes that match.
 * @throws Error if one of them gets another answer, or none within 20 s.
 */
export async function openMany(
  port: number,
  count: number,
  requestOf: (at: number) => string,
  expected: RegExp,
): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(AT_ONCE, count - sockets.length) }, (_, at) =>
      openOne(port, requestOf(sockets.length + at), expected),
    );
    sockets.push(...(await Promise.all(batch)));
  }
  return sockets;
}

async function openOne(port: number, request: string, expected: RegExp): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.setNoDelay(true).write(request, 'latin1');
  const deadline = AbortSignal.timeout(ANSWER_MS);
  for (let text = ''; !expected.test(text); ) {
    const [chunk] = (await once(socket, 'data', { signal: deadline })) as [Buffer];
    text += chunk.toString('latin1');
    if (text.length > 4096 || /^HTTP\/1\.1 [45]/.test(text)) throw new Error(`another answer: ${text.slice(0, 300)}`);
  }
  socket.resume();
  return socket;
}

/** One masked text frame (RFC 6455 §5.2) of at most 125 bytes. */
function clientFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  // A mask of zeros leaves the text as it is.
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

/** Milliseconds from frame to echo, one after the other, in turn over all sockets. */
export async function echoTimes(sockets: readonly Socket[], count: number): Promise<number[]> {
  const frame = clientFrame('an echo of thirty-two characters');
  const times: number[] = [];
  for (let at = 0; at < count; at++) {
    const socket = sockets[at % sockets.length] as Socket;
    const answered = once(socket, 'data', { signal: AbortSignal.timeout(ANSWER_MS) });
    const startedAt = performance.now();
    socket.write(frame);
    await answered;
    times.push(performance.now() - startedAt);
  }
  return times;
}

/** Send one request with a body of many bytes, as fast as they are taken. @returns what came until its JSON ended */
export function uploadBytes(port: number, head: string, bytes: number): Promise<string> {
  const block = Buffer.alloc(262_144, 0x61);
  return new Promise((resolve) => {
    let answer = '';
    let left = bytes;
    const socket = connect(port, '127.0.0.1');
    const pump = (): void => {
      for (let isTaken = true; isTaken && left > 0; ) {
        const part = left < block.length ? block.subarray(0, left) : block;
        left -= part.length;
        isTaken = socket.write(part);
      }
    };
    socket.on('connect', () => {
      socket.write(head, 'latin1');
      pump();
    });
    socket.on('drain', pump);
    socket.setEncoding('latin1').on('data', (chunk) => {
      answer += chunk;
      if (answer.endsWith('}')) socket.destroy();
    });
    // The caller judges what came before the end.
    socket.on('error', () => {}).on('close', () => resolve(answer));
  });
}
