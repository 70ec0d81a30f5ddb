import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { compileDemoConfig, createDemoClient } from '../../src/cli/demo/demo-config.ts';
import { DEMO_PORTS_COUNT, parseDemoArguments } from '../../src/cli/demo/demo-options.ts';
import { assertPortsFree, assignPorts } from '../../src/cli/demo/demo-ports.ts';
import { PortTakenError, startHttpServer } from '../../src/cli/demo/http-server.ts';
import { AUTH_RESPONSE_HEADERS } from '../../src/cli/demo/traefik-config.ts';
import { findFreePorts } from '../support/ports.ts';

describe('arguments of sallyport demo', () => {
  test('have defaults', () => {
    assert.deepEqual(parseDemoArguments([], {}), {
      kind: 'run',
      options: { port: 9000, redisUrl: undefined, traefik: true, json: false, logLevel: 'warn' },
    });
  });

  test('are read', () => {
    const argv = ['--port', '9100', '--redis', 'rediss://r:6379/1', '--no-traefik', '--json', '--log-level', 'debug'];
    assert.deepEqual(parseDemoArguments(argv, { REDIS_URL: 'redis://other' }), {
      kind: 'run',
      options: { port: 9100, redisUrl: 'rediss://r:6379/1', traefik: false, json: true, logLevel: 'debug' },
    });
  });

  test('REDIS_URL counts when --redis is absent, and an empty one means memory', () => {
    const redisUrlOf = (value: string) => {
      const command = parseDemoArguments([], { REDIS_URL: value });
      return command.kind === 'run' ? command.options.redisUrl : command.kind;
    };
    assert.equal(redisUrlOf('redis://127.0.0.1:6379'), 'redis://127.0.0.1:6379');
    assert.equal(redisUrlOf(''), undefined);
    assert.equal(redisUrlOf('http://127.0.0.1'), 'refuse');
  });

  const refused: [string[], RegExp][] = [
    [['--prot', '1'], /--prot/],
    [['extra'], /extra/],
    [['--port'], /--port/],
    [['--port', '0'], /--port must be a number from 1 to 65527, got "0"/],
    [['--port', '65529'], /--port must be a number/],
    [['--port', '9e3'], /--port must be a number/],
    [['--port', '-1'], /--port/],
    [['--json=yes'], /--json/],
    [['--log-level', 'loud'], /--log-level must be one of/],
    [['--redis', ''], /--redis must be a redis/],
  ];
  for (const [argv, expected] of refused) {
    test(`refuse ${argv.join(' ')}`, () => {
      const command = parseDemoArguments(argv, {});
      assert.equal(command.kind, 'refuse');
      assert.match(command.kind === 'refuse' ? command.reason : '', expected);
    });
  }

  test('never repeat the password of a refused Redis address', () => {
    const command = parseDemoArguments(['--redis', 'https://user:hunter2@host'], {});
    assert.ok(command.kind === 'refuse' && !command.reason.includes('hunter2'));
  });
});

describe('ports of the demo', () => {
  test('are consecutive from the base and used once each', () => {
    const ports = Object.values(assignPorts(9000, true));
    assert.deepEqual([...ports].sort(), [9000, 9001, 9002, 9003, 9004, 9005, 9006, 9007, 9008]);
    assert.equal(ports.length, DEMO_PORTS_COUNT);
  });

  test('without Traefik Sallyport itself is the front door', () => {
    const ports = assignPorts(9000, false);
    assert.equal(ports.sallyport, ports.front);
  });

  test('a port in use is named', async () => {
    const base = await findFreePorts(DEMO_PORTS_COUNT);
    await assertPortsFree(base);
    const holder = await startHttpServer({ port: base + 5, handler: (_, response) => void response.end() });
    try {
      await assert.rejects(
        assertPortsFree(base),
        (error) => error instanceof PortTakenError && error.port === base + 5,
      );
    } finally {
      await holder.close();
    }
  });
});

describe('configuration of the demo', () => {
  const ports = assignPorts(9000, true);
  const client = createDemoClient(ports);
  const input = { ports, issuer: 'http://127.0.0.1:9001', client, redisUrl: undefined, logLevel: 'warn' } as const;

  test('emits exactly the headers that the gateway copies', () => {
    const settings = parse(compileDemoConfig(input)['settings.yaml']) as { identity_headers: object };
    assert.deepEqual(Object.keys(settings.identity_headers), AUTH_RESPONSE_HEADERS);
  });

  test('holds no secret: those of the run come from the environment', () => {
    const text = Object.values(compileDemoConfig({ ...input, redisUrl: 'redis://u:hunter2@127.0.0.1' })).join('\n');
    assert.ok(!text.includes(client.client_secret) && !text.includes('hunter2'));
    assert.ok(text.includes('secret: ${OIDC_CLIENT_SECRET}') && text.includes('url: ${REDIS_URL}'));
  });

  test('binds every listener to loopback', () => {
    const settings = parse(compileDemoConfig(input)['settings.yaml']) as {
      listen: Record<string, { address: string }>;
    };
    assert.deepEqual(new Set(Object.values(settings.listen).map((listen) => listen.address)), new Set(['127.0.0.1']));
  });

  test('makes a new client secret for each run', () => {
    assert.notEqual(createDemoClient(ports).client_secret, client.client_secret);
    assert.ok(client.client_secret.length >= 43);
  });
});
