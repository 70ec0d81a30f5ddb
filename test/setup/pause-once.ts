/** A server that pauses each upload at each part, and a sender as fast as it can be: prints what came while it was paused. */

import uWS from 'uWebSockets.js';
import { spawn } from 'node:child_process';

const BYTES = 64 * 1_048_576;
const SENDER = `
  const socket = require('node:net').connect(Number(process.argv[1]), '127.0.0.1');
  socket.write('POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: ${BYTES}\\r\\n\\r\\n');
  const part = Buffer.alloc(1048576);
  for (let sent = 0; sent < ${BYTES}; sent += part.length) socket.write(part);
  socket.resume();
`;

let received = 0;
let isOver = false;
let isPaused = false;
let whilePaused = 0;

const app = uWS.App().post('/', (res) => {
  res.onAborted(() => process.exit(1));
  res.onData((chunk, isLast) => {
    received += chunk.byteLength;
    if (isPaused) whilePaused += chunk.byteLength;
    if (isLast) {
      isOver = true;
      process.stdout.write(`${received} bytes, ${whilePaused} while paused`);
      res.end('', true);
      app.close();
      return;
    }
    isPaused = true;
    res.pause();
    setImmediate(() => {
      isPaused = false;
      if (!isOver) res.resume();
    });
  });
});
app.listen('127.0.0.1', 0, (listener) => {
  if (listener === false) process.exit(1);
  const port = String(uWS.us_socket_local_port(listener));
  spawn(process.execPath, ['-e', SENDER, port], { stdio: 'ignore' });
});
