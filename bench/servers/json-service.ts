/** A small JSON service for proxies: `node json-service.ts PORT`. */
import uWS from 'uWebSockets.js';

const BODY = JSON.stringify({ items: [1, 2, 3, 4].map((id) => ({ id, name: `item ${id}`, price: id * 10 })) });

uWS
  .App()
  .any('/*', (response) => {
    response.cork(() => response.writeHeader('content-type', 'application/json').end(BODY));
  })
  .listen('127.0.0.1', Number(process.argv[2]), (socket) => {
    if (socket === false) process.exitCode = 1;
  });
