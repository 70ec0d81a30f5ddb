/** uWebSockets.js and nothing else: `node hello-uws.ts PORT`. Reads nothing of the request. */
import uWS from 'uWebSockets.js';

uWS
  .App()
  .any('/*', (response) => {
    response.end('ok');
  })
  .listen('127.0.0.1', Number(process.argv[2]), (socket) => {
    if (socket === false) process.exitCode = 1;
  });
