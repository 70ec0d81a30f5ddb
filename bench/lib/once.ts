import { connect } from 'node:net';

/** One answer, read from a socket. */
export type OnceAnswer = {
  readonly status: number;
  /** Names in lower case; the values of a repeated one are joined by line feeds. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
};

const ANSWER_MS = 30_000;

/**
 * Send one whole request to a loopback port and read the answer that Content-Length bounds.
 * @throws Error after 30 s, or if the connection ends first.
 */
export function askOnce(port: number, request: string): Promise<OnceAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request, 'latin1'));
    const timer = setTimeout(() => socket.destroy(new Error('no answer within 30 s')), ANSWER_MS);
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      const answer = readAnswer(text);
      if (answer === undefined) return;
      resolve(answer);
      socket.destroy();
    });
    socket.on('error', reject).on('close', () => {
      clearTimeout(timer);
      reject(new Error(`the connection ended in: ${text}`));
    });
  });
}

function readAnswer(text: string): OnceAnswer | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const [first = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    const value = line.slice(name.length + 1).trim();
    headers.set(name, headers.has(name) ? `${headers.get(name)}\n${value}` : value);
  }
  const length = Number(headers.get('content-length') ?? 0);
  const body = text.slice(end + 4);
  return body.length < length ? undefined : { status: Number(first.split(' ')[1]), headers, body };
}
