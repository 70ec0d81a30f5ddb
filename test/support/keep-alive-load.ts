import { connect, type Socket } from 'node:net';

/** What a load saw. */
export type LoadCounts = {
  /** Complete answers, by status. */
  readonly answers: Map<number, number>;
  /** Requests whose connection ended before their answer was complete. */
  cut: number;
  /** Connections that were refused or reset before a request was sent on them. */
  refused: number;
  /** Connections opened. */
  opened: number;
};

/** A load that runs until it is stopped. */
export type Load = { readonly counts: LoadCounts; stop(): Promise<void> };

/** How to ask. */
export type LoadOptions = {
  readonly port: number;
  readonly clients: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Requests on one connection before the client itself opens another; default: no end. */
  readonly perConnection?: number;
};

const RECONNECT_MS = 20;

/**
 * Clients that each ask again as soon as they have an answer, on a connection of their own, over HTTP/1.1. A client
 * whose connection is gone opens another one; an announced end (`connection: close`) is no failure.
 */
export function startLoad(options: LoadOptions): Load {
  const counts: LoadCounts = { answers: new Map(), cut: 0, refused: 0, opened: 0 };
  let isStopped = false;
  const client = async (): Promise<void> => {
    while (!isStopped) {
      const socket = await open(options.port);
      if (socket === undefined) {
        counts.refused += 1;
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
        continue;
      }
      counts.opened += 1;
      await useConnection(socket, options, counts, () => isStopped);
      socket.destroy();
    }
  };
  const clients = Promise.all(Array.from({ length: options.clients }, client));
  return {
    counts,
    async stop() {
      isStopped = true;
      await clients;
    },
  };
}

/** Complete answers with this status. */
export function answered({ answers }: LoadCounts, status: number): number {
  return answers.get(status) ?? 0;
}

function open(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}

async function useConnection(
  socket: Socket,
  { path, headers = {}, perConnection = Number.POSITIVE_INFINITY }: LoadOptions,
  counts: LoadCounts,
  isStopped: () => boolean,
): Promise<void> {
  socket.on('error', () => undefined);
  const lines = Object.entries({ host: 'app.example.test', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const request = `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
  for (let n = 0; n < perConnection && !isStopped(); n++) {
    const answer = await ask(socket, request);
    if (answer === undefined) {
      // A connection that the server closed while it was idle: RFC 9112 §9.3 lets the client ask again.
      counts.cut += 1;
      return;
    }
    counts.answers.set(answer.status, (counts.answers.get(answer.status) ?? 0) + 1);
    if (answer.closes) return;
  }
}

function ask(socket: Socket, request: string): Promise<{ status: number; closes: boolean } | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const settle = (answer: { status: number; closes: boolean } | undefined): void => {
      socket.removeListener('data', onData);
      socket.removeListener('close', onClose);
      resolve(answer);
    };
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      const head = text.indexOf('\r\n\r\n');
      if (head === -1) return;
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0);
      if (text.length < head + 4 + length) return;
      settle({ status: Number(text.slice(9, 12)), closes: /\r\nconnection: close\r\n/i.test(text.slice(0, head + 2)) });
    };
    const onClose = (): void => settle(undefined);
    if (socket.destroyed) {
      resolve(undefined);
      return;
    }
    socket.on('data', onData);
    socket.on('close', onClose);
    socket.write(request);
  });
}
