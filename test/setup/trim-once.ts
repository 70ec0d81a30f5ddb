/**
 * A program of its own, because it reads bytes off the wire that no HTTP client sends: prints what the native core hands
 * to a handler for the values `BaB`, where B is each byte a value may hold; one line per B, B and value in hexadecimal.
 */

import { App, us_listen_socket_close, us_socket_local_port } from 'uWebSockets.js';
import { connect } from 'node:net';

const bytes = [0x09, ...Array.from({ length: 0x100 - 0x20 }, (_, i) => 0x20 + i)];
/** Well below the parser's bound of 99 headers. */
const HEADERS_PER_REQUEST = 50;
const name = (byte: number) => `v${byte.toString(16).padStart(2, '0')}`;

const groups = Array.from({ length: Math.ceil(bytes.length / HEADERS_PER_REQUEST) }, (_, i) =>
  bytes.slice(i * HEADERS_PER_REQUEST, (i + 1) * HEADERS_PER_REQUEST),
);
const line = (byte: number) => Buffer.from([...Buffer.from(`${name(byte)}:`), byte, 0x61, byte, 0x0d, 0x0a]);
const requests = groups.map((group, i) => [
  Buffer.from(`GET / HTTP/1.1\r\nHost: localhost\r\n${i === groups.length - 1 ? 'Connection: close\r\n' : ''}`),
  ...group.map(line),
  Buffer.from('\r\n'),
]);

let left = groups.length;
const seen = new Map<string, string>();
App()
  .get('/', (res, req) => {
    req.forEach((key, value) => {
      seen.set(key, Buffer.from(value).toString('hex'));
    });
    left -= 1;
    res.end('', left === 0);
  })
  .listen('127.0.0.1', 0, (listener) => {
    if (!listener) throw new Error('cannot listen on loopback');
    const client = connect(us_socket_local_port(listener), '127.0.0.1', () =>
      client.write(Buffer.concat(requests.flat())),
    );
    client.resume().on('close', () => {
      us_listen_socket_close(listener);
      for (const byte of bytes) console.log(`${name(byte).slice(1)} ${seen.get(name(byte))}`);
    });
  });
