// The configurations that the documentation prints: they load, agree with each other, and leave no header out.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { projectFolder } from '../../scripts/parts.js';
import { AUTH_REQUEST_HEADERS } from '../../src/cli/demo/traefik-config.ts';
import { NOT_AVAILABLE } from '../../src/core/config/availability.ts';
import { loadConfig } from '../../src/core/config/load.ts';
import { type ReadFile, readFileBounded } from '../../src/core/config/read-file.ts';
import type { Config } from '../../src/core/config/types.ts';
import {
  codeBlocks,
  type HttpConfig,
  labelsAsDynamicConfig,
  listPages,
  readCompose,
  readExample,
  readProject,
} from '../support/docs.ts';

const README = readProject('README.md');
const EXAMPLES = join(projectFolder, 'docs/examples/config');
const SECRET = 'kJ0sTQv3m2Yw8bZ1rXn4LcA7uHdE6pGf9oIiSxVyBQM';

/** The six settings, and the gateway. */
const ENVIRONMENT = {
  SALLYPORT_PUBLIC_URL: 'https://app.example.com',
  OIDC_ISSUER: 'https://id.example.com/realms/main',
  OIDC_CLIENT_ID: 'sallyport',
  OIDC_CLIENT_SECRET: 'a-client-secret-of-some-length',
  REDIS_URL: 'rediss://sallyport:pass@redis.example.com:6379/0',
  SALLYPORT_SEAL_KEY: SECRET,
  SALLYPORT_TRUSTED_PROXIES: 'loopback',
};

/** Load docs/examples/config with some files replaced. */
function loadExamples(replaced: Readonly<Record<string, string>> = {}, environment = {}): Config {
  const readFile: ReadFile = (path, maxBytes) => {
    const text = replaced[path.slice(path.lastIndexOf('/') + 1)];
    return text === undefined ? readFileBounded(path, maxBytes) : { bytes: Buffer.from(text) };
  };
  return loadConfig({ directory: EXAMPLES, environment: { ...ENVIRONMENT, ...environment }, readFile });
}

describe('the example configuration', () => {
  test('loads with the six settings and warns of nothing but the open API route', () => {
    const config = loadExamples();
    assert.deepEqual(config.warnings, ['routes.yaml:9:1 routes: open to every signed-in user: api']);
    assert.equal(config.listen.public.port, 8080);
    assert.equal(config.listen.verify?.port, 8081);
    assert.equal(config.store.kind, 'redis');
    assert.equal(loadExamples({}, { SALLYPORT_PORT: '9999' }).listen.public.port, 9999);
    assert.equal(loadExamples({}, { REDIS_URL: '' }).store.kind, 'memory');
  });

  test('the shipped configuration loads with the same settings', () => {
    const config = loadConfig({ directory: join(projectFolder, 'config'), environment: ENVIRONMENT });
    assert.deepEqual(config.warnings, []);
    assert.equal(readProject('docs/examples/config/idps.yaml'), readProject('config/idps.yaml'));
  });

  for (const file of ['config/settings.yaml', 'config/routes.yaml', 'traefik/dynamic.yml']) {
    test(`the README prints ${file} as it is`, () => {
      const texts = codeBlocks(README).map(({ text }) => text);
      assert.ok(texts.includes(readProject(`docs/examples/${file}`)));
    });
  }

  test('the README prints the labels of the Compose file as they are', () => {
    const printed = codeBlocks(README)
      .filter(({ text }) => text.startsWith('labels:'))
      .map(({ text }) => (parse(text) as { labels: string[] }).labels);
    const services = readCompose();
    assert.deepEqual(
      printed,
      ['sallyport', 'dashboard', 'spa'].map((name) => services[name]?.labels),
    );
  });

  for (const page of listPages()) {
    test(`every piece of configuration in ${page} loads`, () => {
      for (const { language, text } of codeBlocks(readProject(page))) {
        if (language === 'yaml') loadPiece(parse(text) as Record<string, unknown>);
      }
    });
  }
});

/** Load sections of settings.yaml in place of the example's, or a routes.yaml; other YAML is not ours. */
function loadPiece(piece: Record<string, unknown>): void {
  const environment = { SALLYPORT_SEAL_KEY_2: 'Zz9Z1v0mQf7yYb2cT9xL4nRwE8sHdJ6uA5gPoKiVtXM' };
  if ('routes' in piece) loadExamples({ 'routes.yaml': stringify(piece) }, environment);
  else if ('sites' in piece || 'keys' in piece) {
    const settings = { ...readExample('config/settings.yaml'), ...piece };
    loadExamples({ 'settings.yaml': stringify(settings) }, environment);
  }
}

describe('Traefik’s header lists', () => {
  const names = loadExamples().identityHeaders.map(({ name }) => name);
  const listOf = ({ middlewares }: HttpConfig, name: string): unknown => middlewares[name]?.['forwardAuth'];

  test('name every identity header, in each example', () => {
    const dynamic = readExample('traefik/dynamic.yml')['http'] as HttpConfig;
    const labels = labelsAsDynamicConfig(readCompose()).http;
    const page = codeBlocks(readProject('docs/traefik.md')).find(({ text }) => text.startsWith('http:'))?.text ?? '';
    const pieces = [
      listOf(dynamic, 'sign-in'),
      listOf(labels, 'sign-in'),
      listOf((parse(page) as { http: HttpConfig }).http, 'admins-only'),
    ];
    for (const piece of pieces) {
      const { authResponseHeaders, trustForwardHeader, maxResponseBodySize } = piece as Record<string, unknown>;
      assert.deepEqual(authResponseHeaders, names);
      assert.deepEqual([trustForwardHeader, maxResponseBodySize], [false, 65_536]);
    }
  });

  test('of requests are complete in the page: each header that verify reads', () => {
    const page = codeBlocks(readProject('docs/traefik.md')).find(({ text }) => text.startsWith('authRequestHeaders:'));
    const listed = (parse(page?.text ?? '') as { readonly authRequestHeaders: readonly string[] }).authRequestHeaders;
    assert.deepEqual(listed, AUTH_REQUEST_HEADERS);
    const read = [...readProject('src/core/context.ts').matchAll(/name [!=]== '([a-z][a-z-]+)'/g)].map(
      ([, name]) => name,
    );
    assert.ok(read.length > 20);
    // Of the connection, of the body, and those that Traefik writes whatever is listed.
    const others =
      /^(?:host|upgrade|trailer|transfer-encoding|content-length|content-type|x-forwarded-(?:for|uri|host|proto|method))$/;
    const lower = listed.map((name) => name.toLowerCase());
    assert.deepEqual(
      read.filter((name = '') => !others.test(name) && !lower.includes(name)),
      [],
    );
  });

  test('the two examples have the same routers, priorities and middlewares', () => {
    const dynamic = readExample('traefik/dynamic.yml')['http'] as HttpConfig;
    const labels = labelsAsDynamicConfig(readCompose()).http;
    assert.deepEqual(sorted(labels.routers), sorted(dynamic.routers));
    assert.deepEqual(labels.middlewares['nobody'], dynamic.middlewares['nobody']);
  });
});

function sorted(routers: HttpConfig['routers']): [string, object][] {
  return Object.entries(routers).sort(([a], [b]) => a.localeCompare(b));
}

describe('the Compose example', () => {
  const services = readCompose();

  test('publishes ports of Traefik alone', () => {
    assert.deepEqual(
      Object.keys(services).filter((name) => services[name]?.ports !== undefined),
      ['traefik'],
    );
  });

  test('trusts exactly the address that it gives to Traefik', () => {
    const networks = services['traefik']?.networks as { edge: { ipv4_address: string } } | undefined;
    assert.equal(
      services['sallyport']?.environment?.['SALLYPORT_TRUSTED_PROXIES'],
      networks?.edge.ipv4_address ?? 'no address',
    );
  });

  test('gives Sallyport every variable that its configuration needs', () => {
    const environment = Object.fromEntries(
      Object.entries(services['sallyport']?.environment ?? {}).map(([name, value]) => {
        return [name, value.startsWith('${') ? ENVIRONMENT[name as keyof typeof ENVIRONMENT] : value];
      }),
    );
    const config = loadConfig({ directory: EXAMPLES, environment });
    assert.deepEqual(
      config.services.map(({ urls }) => urls),
      [['http://api:8000']],
    );
    assert.deepEqual(config.trustedProxies, ['172.30.0.2/32']);
  });
});

/** How the README speaks of each feature that the configuration refuses. */
const PHRASES: Readonly<Record<string, string>> = {
  'TLS at the listener': 'TLS at the listener',
  'ForwardAuth over HTTP/2': 'the HTTP/2 verify listener',
  'several worker processes': 'several worker processes',
  'batch scheduling': 'batch scheduling',
  'signing keys': '`/auth/jwks.json`',
  'Sentinel and Cluster': 'Redis Sentinel and Cluster',
  Cluster: 'Redis Sentinel and Cluster',
  Sentinel: 'Redis Sentinel and Cluster',
  'waiting for replicas': 'waiting for replicas',
  'the session cache': 'Session cache (L1)',
  'serving stale sessions': 'serving stale sessions',
  'token refresh': 'Refresh of access tokens',
  'other gateways': 'Gateways other than Traefik',
  'the signed identity assertion': 'signed identity assertion',
  'sampled access lines': 'sampled access lines',
  'OpenTelemetry export': 'OpenTelemetry',
  'own page templates': 'own page templates',
  'claims from access tokens': 'Claims from access tokens',
  'bearer tokens': 'Bearer tokens',
  introspection: 'introspection',
  'external decisions': 'External policy decisions',
};

test('what the configuration refuses as not available is named in the README', () => {
  const section = /^## What is not there yet$([\s\S]*?)^## /m.exec(README)?.[1]?.replace(/\s+/g, ' ') ?? '';
  const features = new Set(Object.values(NOT_AVAILABLE).flatMap((rules) => rules.map(({ feature }) => feature)));
  assert.ok(features.size > 0);
  for (const feature of features) {
    const phrase = PHRASES[feature];
    assert.ok(phrase !== undefined && section.includes(phrase), `${feature}: ${phrase ?? 'no phrase for it here'}`);
  }
});
