// WebSockets to services over TLS, and to services with several addresses.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { WebSocketServer } from 'ws';
import {
  nextMessage,
  type SocketService,
  type SocketWorld,
  startSocketService,
  startSocketWorld,
} from '../proxy/websocket-world.ts';
import { createCertificates, type TestCertificates } from '../support/redis-tls.ts';
import { until } from '../support/until.ts';

const none = { source: 'none' };
/** Nobody listens on port 1 of loopback. */
const DEAD = 'http://127.0.0.1:1';

describe('a WebSocket to a service', () => {
  let lab: SocketWorld;
  let secure: Awaited<ReturnType<typeof startSecure>>;
  let second: SocketService;
  let certificates: TestCertificates;
  before(async () => {
    certificates = await createCertificates();
    secure = await startSecure(certificates);
    second = await startSocketService();
    const { ca, directory } = { ...certificates.files, directory: certificates.directory };
    const client = { ca_file: ca, cert_file: `${directory}/client.pem`, key_file: `${directory}/client.key` };
    const services = {
      trusted: { urls: [secure.url], token: none, tls: client },
      doubted: { urls: [secure.url], token: none },
      nameless: { urls: [secure.url], token: none, tls: { ca_file: ca } },
      careless: { urls: [secure.url], token: none, tls: { ...client, ca_file: undefined, insecure: true } },
      spare: { urls: [DEAD, second.url], token: none, retries: 1 },
      broken: { urls: [DEAD], token: none, retries: 2, health: { failures: 3, eject: '1h' } },
    };
    lab = await startSocketWorld({
      services,
      routes: Object.keys(services).map((id) => ({
        id,
        paths: [`/${id}`],
        target_service: id,
        auth: 'none',
        websocket: {},
      })),
    });
  });
  after(async () => {
    await lab.close();
    secure.close();
    await second.close();
    await certificates.remove();
  });

  const echo = async (path: string): Promise<string> => {
    const socket = await lab.connect(path);
    const answer = nextMessage(socket);
    socket.send('hello');
    const text = (await answer).data.toString();
    socket.terminate();
    return text;
  };

  test('is wss where its URL is https, with the CA and the client certificate of the service', async () => {
    assert.equal(await echo('/trusted'), 'hello');
    assert.equal(await echo('/careless'), 'hello');
    await assert.rejects(lab.connect('/doubted'), /status 502/);
    await assert.rejects(lab.connect('/nameless'), /status 502/);
  });

  test('goes to another address where one is dead', async () => {
    for (let i = 0; i < 4; i++) assert.equal(await echo('/spare'), 'hello');
  });

  test('is refused at once when its addresses are given up on', async () => {
    await assert.rejects(lab.connect('/broken'), /status 502/);
    await assert.rejects(lab.connect('/broken'), /status 503/);
  });

  test('is counted while it is open, on both sides', async () => {
    const counts = async (): Promise<string> =>
      `${await lab.world.metric('sallyport_websockets')} ${await lab.world.metric('sallyport_service_websockets')}`;
    await until(async () => (await counts()) === '0 0', 'the sockets of the other tests are gone');
    const sockets = [await lab.connect('/spare'), await lab.connect('/echo/x')];
    assert.equal(await counts(), '2 2');
    for (const socket of sockets) socket.close();
    await until(async () => (await counts()) === '0 0', 'they are counted no more');
  });
});

async function startSecure({ ca, files }: TestCertificates) {
  const tls = { cert: await readFile(files.serverCert), key: await readFile(files.serverKey), ca, requestCert: true };
  const server = createServer(tls, (_request, response) => void response.writeHead(404).end());
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  );
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close(): void {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      server.close();
    },
  };
}
