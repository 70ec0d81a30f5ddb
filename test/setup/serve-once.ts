/** A program of its own, because a native core that fails to load may take the process with it: serves one request. */

import { App, us_listen_socket_close, us_socket_local_port } from 'uWebSockets.js';
import { get } from 'node:http';

App()
  .any('/*', (res, req) => {
    res.onAborted(() => undefined);
    res.end(`${req.getMethod().toUpperCase()} ${req.getUrl()}\n`);
  })
  .listen('127.0.0.1', 0, (socket) => {
    if (!socket) throw new Error('cannot listen on loopback');
    get({ host: '127.0.0.1', port: us_socket_local_port(socket), path: '/path', agent: false }, (response) => {
      process.stdout.write(`${response.statusCode} `);
      response.pipe(process.stdout, { end: false });
      response.on('end', () => us_listen_socket_close(socket));
    });
  });
