// The Traefik configurations that the documentation prints, in a real Traefik in front of a real Sallyport.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launchBrowser } from '../support/browser.ts';
import { type HttpConfig, labelsAsDynamicConfig, readCompose, readExample } from '../support/docs.ts';
import {
  EXAMPLE_HOST,
  type ExampleBackend,
  type ExampleTraefik,
  type NamedServer,
  startExampleBackend,
  startExampleTraefik,
  startNamedServer,
  visit,
} from '../support/docs-traefik.ts';
import { signInAtProvider as signInWithBrowser } from '../support/golden-path.ts';
import { skipWithout } from '../support/parts.ts';
import { createCookieJar, signInAtProvider } from '../support/provider.ts';
import { createCertificates, type TestCertificates } from '../support/redis-tls.ts';

/** A static and a dynamic configuration, as data. */
type Example = {
  readonly flags: readonly string[];
  readonly dynamic: { http: HttpConfig; tls?: { certificates: Record<string, string>[] } };
};

const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', accept: 'text/html' };

/** docs/examples/traefik. */
function fileProvider(): Example {
  const dynamic = readExample('traefik/dynamic.yml');
  const { providers, ...rest } = readExample('traefik/traefik.yml');
  assert.deepEqual(providers, { file: { filename: '/etc/traefik/dynamic.yml' } });
  return { flags: flagsOf(rest), dynamic: dynamic as Example['dynamic'] };
}

/** docs/examples/compose: the labels as the Docker provider reads them; its certificates come from the Internet. */
function dockerLabels(): Example {
  const services = readCompose();
  const command = services['traefik']?.command ?? [];
  const flags = command.filter((flag) => !/^--(providers\.docker|certificatesResolvers)\./.test(flag));
  assert.ok(flags.includes('--entryPoints.websecure.http.tls.certResolver=le'));
  const local = flags.map((flag) => flag.replace('.tls.certResolver=le', '.tls=true'));
  return { flags: local, dynamic: labelsAsDynamicConfig(services) };
}

function flagsOf(node: Record<string, unknown>, prefix = '--'): string[] {
  return Object.entries(node).flatMap(([key, value]) => {
    const isMap = typeof value === 'object' && value !== null && Object.keys(value).length > 0;
    if (isMap) return flagsOf(value as Record<string, unknown>, `${prefix}${key}.`);
    return [`${prefix}${key}=${typeof value === 'object' ? 'true' : String(value)}`];
  });
}

for (const [name, example] of Object.entries({ 'file provider': fileProvider, 'docker labels': dockerLabels })) {
  describe(`Traefik as documented: ${name}`, { skip: skipWithout('traefik', 'openssl') }, () =>
    describeExample(example()),
  );
}

function describeExample(example: Example): void {
  let backend: ExampleBackend;
  let traefik: ExampleTraefik;
  let spa: NamedServer;
  let dashboard: NamedServer;
  let api: NamedServer;
  let certificates: TestCertificates;

  before(async () => {
    [spa, dashboard, api] = await Promise.all([
      startNamedServer('spa'),
      startNamedServer('dashboard'),
      startNamedServer('api'),
    ]);
    backend = await startExampleBackend(api.url);
    const { http, tls } = example.dynamic;
    certificates = await createCertificates();
    const { serverCert, serverKey } = certificates.files;
    for (const files of tls?.certificates ?? []) {
      assert.deepEqual(Object.keys(files), ['certFile', 'keyFile']);
      Object.assign(files, { certFile: serverCert, keyFile: serverKey });
    }
    const urls: Record<string, string> = { spa: spa.url, dashboard: dashboard.url, sallyport: backend.publicUrl };
    for (const [service, url] of Object.entries(urls)) http.services[service]!.loadBalancer.servers = [{ url }];
    http.middlewares['sign-in']!['forwardAuth']!['address'] = backend.verifyUrl;
    traefik = await startExampleTraefik(example.flags, example.dynamic);
  });

  after(async () => {
    await traefik?.close();
    await backend?.close();
    await certificates?.remove();
    await Promise.all([spa, dashboard, api].map((server) => server?.close()));
  });

  test('every router, middleware and service is accepted, and the log is empty', async () => {
    for (const kind of ['routers', 'middlewares', 'services'] as const) {
      const entries = (await traefik.report(kind)).filter(({ name }) => name.endsWith('@file'));
      assert.ok(entries.length >= 2, kind);
      for (const { name, status, error } of entries) {
        assert.deepEqual({ name, status, error }, { name, status: 'enabled', error: undefined });
      }
    }
    assert.equal(traefik.log(), '');
  });

  test('the SPA is served without a session, plain http leads to https', async () => {
    assert.equal((await visit(traefik.websecure, '/')).body, 'spa');
    const plain = await fetch(`http://127.0.0.1:${traefik.web}/deep?x=1`, { redirect: 'manual' });
    assert.match(plain.headers.get('location') ?? '', /^https:\/\/.*\/deep\?x=1$/);
  });

  for (const path of ['/auth/verify', '/auth/verify/x', '/auth/forward', '/auth/validate/', '/auth/%76erify']) {
    test(`${path} is refused from outside`, async () => {
      const { status, headers } = await visit(traefik.websecure, path);
      assert.ok(status === 403 || status === 404, String(status));
      assert.equal(headers['x-user-id'], undefined);
    });
  }

  test('signed out: session information says so, a script gets 401, a person is sent to the login', async () => {
    const session = await visit(traefik.websecure, '/api/auth/session');
    assert.equal(session.status, 200);
    assert.equal((JSON.parse(session.body) as { authenticated: boolean }).authenticated, false);
    const script = await visit(traefik.websecure, '/dashboard', {
      'sec-fetch-mode': 'cors',
      'sec-fetch-dest': 'empty',
    });
    assert.equal(script.status, 401);
    assert.equal(script.headers['content-type'], 'application/problem+json');
    const person = await visit(traefik.websecure, '/dashboard/a?b=1', NAVIGATION);
    assert.equal(person.status, 302);
    const target = encodeURIComponent(`https://${EXAMPLE_HOST}/dashboard/a?b=1`);
    assert.equal(person.headers.location, `https://${EXAMPLE_HOST}/auth/login?return_to=${target}`);
    assert.equal(dashboard.last(), undefined, 'nothing reached the dashboard');
  });

  test('signed in: dashboard and API know the user, and headers that a client made up do not survive', async () => {
    const { websecure } = traefik;
    const jar = createCookieJar();
    const login = await visit(websecure, '/auth/login?return_to=/dashboard', NAVIGATION, jar);
    assert.equal(login.status, 302, login.body);
    const back = await signInAtProvider(createCookieJar(), login.headers.location ?? '', 'alice', 'alice');
    const landed = await visit(websecure, back.pathname + back.search, NAVIGATION, jar);
    assert.deepEqual([landed.status, landed.headers.location], [302, '/dashboard'], landed.body);

    const forged = { 'x-user-id': 'root', X_User_Id: 'root', 'x-user-roles': 'admin', authorization: 'Bearer forged' };
    assert.equal((await visit(websecure, '/dashboard', forged, jar)).body, 'dashboard');
    const seen = dashboard.last() ?? {};
    assert.equal(seen['x-user-id'], 'u-1001');
    assert.equal(seen['x-user-username'], 'alice');
    assert.equal(seen['x-user-roles'], 'user');
    assert.equal(seen['x_user_id'], undefined);
    assert.match(seen.authorization ?? '', /^Bearer ey/);

    assert.equal((await visit(websecure, '/api/whoami', forged, jar)).body, 'api');
    const received = api.last() ?? {};
    assert.match(received.authorization ?? '', /^Bearer ey/);
    assert.deepEqual([received['x-user-id'], received.cookie], ['u-1001', undefined]);
    assert.equal((await visit(websecure, '/api/admin/x', {}, jar)).status, 403, 'alice is no admin');
  });
  test('a browser over https: back on the page asked for, and the cookie is Secure', {
    skip: skipWithout('chromium'),
  }, async () => {
    const origin = `https://${EXAMPLE_HOST}`;
    const browser = await launchBrowser({
      ignoreHTTPSErrors: true,
      hostRules: `MAP ${EXAMPLE_HOST}:443 127.0.0.1:${traefik.websecure}`,
    });
    try {
      const { page, problems } = await browser.newPage();
      await page.goto(`${origin}/dashboard?tab=2`);
      await signInWithBrowser(page, 'alice', EXAMPLE_HOST);
      assert.equal(page.url(), `${origin}/dashboard?tab=2`);
      const cookie = (await browser.context.cookies(origin)).find(({ name }) => name === 'bff_session');
      const { httpOnly, secure, sameSite, path, domain } = cookie ?? {};
      assert.deepEqual(
        { httpOnly, secure, sameSite, path, domain },
        { httpOnly: true, secure: true, sameSite: 'Lax', path: '/', domain: EXAMPLE_HOST },
      );
      assert.deepEqual(problems.cspViolations, []);
    } finally {
      await browser.close();
    }
  });
}
