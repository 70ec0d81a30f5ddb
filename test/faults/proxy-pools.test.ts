import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { call, codeOf, type ProxyWorld, startProxyWorld, startService, type TestService } from '../proxy/world.ts';
import { createCertificates, type TestCertificates } from '../support/redis-tls.ts';
import { until } from '../support/until.ts';

const none = { source: 'none' };
const timeouts = { connect: '1s', headers: '1500ms', body_idle: '5s' };

describe('a service', () => {
  let world: ProxyWorld;
  let certificates: TestCertificates;
  const services: TestService[] = [];
  const waiting: ServerResponse[] = [];
  let running = 0;
  let mostRunning = 0;
  before(async () => {
    certificates = await createCertificates();
    const { ca, files, directory } = certificates;
    const tls = { cert: await readFile(files.serverCert), key: await readFile(files.serverKey), ca };
    const narrow = await startService((_incoming, response) => {
      running += 1;
      mostRunning = Math.max(mostRunning, running);
      response.on('close', () => {
        running -= 1;
      });
      waiting.push(response);
    });
    const secure = await startService((_incoming, response) => response.end('secure'), tls);
    const strict = await startService((_incoming, response) => response.end('strict'), {
      ...tls,
      requestCert: true,
    });
    services.push(narrow, secure, strict);
    const client = { ca_file: files.ca, cert_file: `${directory}/client.pem`, key_file: `${directory}/client.key` };
    world = await startProxyWorld({
      services: {
        narrow: { urls: [narrow.url], token: none, timeouts, pool: { connections: 2, queue: 1 } },
        secure: { urls: [secure.url], token: none, timeouts, tls: { ca_file: files.ca } },
        careless: { urls: [secure.url], token: none, timeouts, tls: { insecure: true } },
        doubted: { urls: [secure.url], token: none, timeouts },
        misnamed: { urls: [secure.url], token: none, timeouts, tls: { ca_file: files.ca, server_name: 'other.test' } },
        strict: { urls: [strict.url], token: none, timeouts, tls: client },
        nameless: { urls: [strict.url], token: none, timeouts, tls: { ca_file: files.ca } },
      },
      routes: ['narrow', 'secure', 'careless', 'doubted', 'misnamed', 'strict', 'nameless'].map((id) => ({
        id,
        paths: [`/${id}`],
        target_service: id,
        auth: 'none',
      })),
    });
  });
  after(async () => {
    await world.close();
    await Promise.all(services.map((service) => service.close()));
    await certificates.remove();
  });

  const get = async (path: string): Promise<string> => {
    const answer = await call({ port: world.port, path });
    return answer.status === 200 ? answer.body.toString() : `${answer.status} ${codeOf(answer)}`;
  };

  test('gets no more connections than allowed, a bounded queue, and 503 beyond', async () => {
    const first = [get('/narrow'), get('/narrow')];
    await until(() => waiting.length === 2, 'both connections are in use');
    const queued = get('/narrow');
    // The queue has one place: this one finds it taken.
    const refused = await Promise.race([queued, get('/narrow')]);
    assert.equal(refused, '503 overloaded');
    const freed = waiting.splice(0);
    for (const response of freed) response.end('done');
    assert.deepEqual(await Promise.all(first), ['done', 'done']);
    await until(() => waiting.length === 1, 'the queued request arrives');
    waiting.splice(0)[0]?.end('done');
    assert.equal(await queued, 'done');
    assert.equal(mostRunning, 2);
  });

  test('without a free connection for its headers deadline is given up with 503', async () => {
    const answers = [get('/narrow'), get('/narrow'), get('/narrow')];
    assert.deepEqual((await Promise.all(answers)).sort(), [
      '503 service_unavailable',
      '504 service_timeout',
      '504 service_timeout',
    ]);
    waiting.splice(0);
  });

  test('over TLS is trusted by its CA and name alone, unless the check is spelled out of the way', async () => {
    assert.equal(await get('/secure'), 'secure');
    assert.equal(await get('/careless'), 'secure');
    assert.equal(await get('/doubted'), '502 service_connect_failed');
    assert.equal(await get('/misnamed'), '502 service_connect_failed');
  });

  test('that asks for a client certificate gets the configured one', async () => {
    assert.equal(await get('/strict'), 'strict');
    assert.match(await get('/nameless'), /^502 service_(connect_failed|bad_response)$/);
  });
});
