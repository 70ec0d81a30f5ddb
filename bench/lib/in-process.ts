import uWS, { type HttpRequest, type HttpResponse } from 'uWebSockets.js';
import { connect, type Socket } from 'node:net';

/** Answers one request on the native objects. */
export type NativeHandler = (response: HttpResponse, request: HttpRequest) => void;

/** A native server and a client in this process, for what only exists inside a request. */
export type InProcess = {
  /** Send `count` requests at once over one connection; resolves with the answers' lines in order, without dates. */
  ask(handler: NativeHandler, request: string, count: number): Promise<readonly string[]>;
  close(): Promise<void>;
};

/** Start one on a free loopback port. */
export async function startInProcess(): Promise<InProcess> {
  let handle: NativeHandler = (response) => void response.end();
  const app = uWS.App().any('/*', (response, request) => handle(response, request));
  const port = await new Promise<number>((resolve) => {
    app.listen('127.0.0.1', 0, (socket) => resolve(socket === false ? 0 : uWS.us_socket_local_port(socket)));
  });
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opened = connect(port, '127.0.0.1', () => resolve(opened)).once('error', reject);
  });
  socket.setNoDelay(true).setEncoding('latin1');
  return {
    ask(handler, request, count) {
      handle = handler;
      return new Promise((resolve) => {
        let text = '';
        const read = (chunk: string): void => {
          text += chunk;
          // Every answer here is empty: it ends with its head.
          const answers = text.split('\r\n\r\n');
          if (answers.length <= count) return;
          socket.off('data', read);
          resolve(answers.slice(0, count).map(sortedLines));
        };
        socket.on('data', read);
        socket.write(request.repeat(count), 'latin1');
      });
    },
    async close() {
      await new Promise<void>((resolve) => socket.once('close', () => resolve()).destroy());
      app.close();
    },
  };
}

function sortedLines(answer: string): string {
  const lines = answer.split('\r\n').filter((line) => !/^date:/i.test(line));
  return lines.sort().join('\n');
}
