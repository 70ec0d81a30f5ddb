import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { IDPS, idps, load, routes, SETTINGS, settings, site } from './support.ts';

const RESULT = load({});

describe('loading', () => {
  test('the smallest files give a complete configuration that cannot be changed', () => {
    assert.deepEqual(RESULT.warnings, []);
    assert.deepEqual(RESULT.routes, []);
    assert.equal(RESULT.sealKeys[0]?.secret.length, 32);
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || Buffer.isBuffer(value)
        ? true
        : Object.isFrozen(value) && Object.values(value).every(frozen);
    assert.ok(frozen(RESULT));
  });

  test('the files are named with their SHA-256, absent ones are not', () => {
    const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
    assert.deepEqual(RESULT.files, [
      { name: 'settings.yaml', sha256: sha256(SETTINGS) },
      { name: 'idps.yaml', sha256: sha256(IDPS) },
    ]);
  });

  test('durations and sizes become milliseconds and bytes', () => {
    const config = load({
      settings: settings('session: {idle: 1.5h, absolute: 2d}\nlimits: {body_bytes: 2MB, header_bytes: 16KiB}\n'),
    });
    assert.equal(config.session.idleMs, 5_400_000);
    assert.equal(config.session.absoluteMs, 172_800_000);
    assert.equal(config.limits.bodyBytes, 2_000_000);
    assert.equal(config.limits.headerBytes, 16_384);
  });

  test('hosts, origins and issuers take their canonical form', () => {
    const config = load({
      settings: SETTINGS.replace(
        'https://app.example.com',
        'https://APP.example.com\n    hosts: ["App.Example.com:443", "*.Apps.example.com"]\n    cookie: {domain: .Example.COM}\n    origins: https://SPA.example.com:443',
      ),
    });
    const [main] = config.sites;
    assert.equal(main?.publicUrl, 'https://app.example.com');
    assert.deepEqual(main?.hosts, ['app.example.com', '*.apps.example.com']);
    assert.equal(main?.cookie.domain, 'example.com');
    assert.deepEqual(main?.origins, ['https://spa.example.com']);
  });

  test('a site overrides single keys of session.cookie', () => {
    const config = load({
      settings: `${site('cookie: {name: __Host-s, same_site: strict}')}session:\n  cookie: {persistent: true, name: other}\n`,
    });
    assert.deepEqual(config.sites[0]?.cookie, {
      name: '__Host-s',
      domain: undefined,
      sameSite: 'strict',
      persistent: true,
      partitioned: false,
      secure: true,
    });
  });

  test('loopback over http works, with and without Secure, and says so', () => {
    const http = SETTINGS.replace('https://app.example.com', 'http://localhost:8080');
    const secure = load({ settings: http });
    assert.equal(secure.sites[0]?.cookie.secure, true);
    assert.match(
      secure.warnings.join('\n'),
      /^settings\.yaml:4:5 sites\.main\.public_url: plain http with Secure cookies/,
    );
    const insecure = load({ settings: `${http}insecure_http: true\n` });
    assert.equal(insecure.sites[0]?.cookie.secure, false);
    assert.deepEqual(insecure.sites[0]?.hosts, ['localhost:8080']);
    assert.match(insecure.warnings.join('\n'), /^settings\.yaml:8:1 insecure_http: cookies are sent without Secure/);
  });

  test('identity headers keep the order of the file and fill in what a list becomes', () => {
    const config = load({
      settings: settings(
        'identity_headers:\n  X-Z: {claim: /a~1b}\n  X-Token: {token: matched, raw: true}\n  X-G: {principal: groups, join: ";"}\n  X-R: {principal: roles, pick: first}\n  X-I: {session: idp}\n',
      ),
    });
    assert.deepEqual(config.identityHeaders, [
      { name: 'X-Z', source: { kind: 'claim', pointer: '/a~1b', list: { join: ',' } } },
      { name: 'X-Token', source: { kind: 'token', raw: true } },
      { name: 'X-G', source: { kind: 'principal', field: 'groups', list: { join: ';' } } },
      { name: 'X-R', source: { kind: 'principal', field: 'roles', list: 'first' } },
      { name: 'X-I', source: { kind: 'session', field: 'idp' } },
    ]);
  });

  test('several providers have callbacks of their own below the auth prefix', () => {
    const other = '  other: {issuer: "https://o.example.com/", client_id: x, client_auth: {method: none}}\n';
    const config = load({
      settings: settings('paths: {auth: /sso}\n'),
      idps: idps(other).replace('providers', 'default: main\nproviders'),
    });
    assert.deepEqual(
      config.idps.map((idp) => [idp.name, idp.issuer, idp.callbackPath]),
      [
        ['main', 'https://id.example.com', '/sso/callback'],
        ['other', 'https://o.example.com/', '/sso/callback/other'],
      ],
    );
    assert.equal(config.defaultIdp, 'main');
  });

  test('a plain-http back channel is accepted when it is spelled out', () => {
    const more = '    backchannel_url: http://idp-app:8002\n    allow_insecure_backchannel: true\n';
    assert.equal(load({ idps: idps(more) }).idps[0]?.backchannelUrl, 'http://idp-app:8002');
  });

  test('routes expand alternatives, take defaults and know their position', () => {
    const config = load({
      routes: routes(
        '  - {id: a, hosts: [app.example.com], paths: ["/{x,y/z}/*", "/u/:id"], target_service: api, roles: admin, max_body: 1KiB}\n  - {id: b, paths: [/], auth: none}\n',
      ).replace('routes:', 'defaults: {csrf: all}\nroutes:'),
    });
    const [first, second] = config.routes;
    assert.deepEqual(first?.paths, ['/x/*', '/y/z/*', '/u/:id']);
    assert.deepEqual(
      [first?.csrf, first?.bodyMaxBytes, first?.roles, first?.auth],
      ['all', 1024, ['admin'], 'session'],
    );
    assert.deepEqual([second?.hosts, second?.service, second?.auth], [[], undefined, 'none']);
    assert.deepEqual([first?.position, second?.position], ['routes.yaml:6:5', 'routes.yaml:7:5']);
    assert.equal(second?.bodyMaxBytes, config.limits.bodyBytes);
  });

  test('routes that only look alike are no conflict', () => {
    const text = routes(
      '  - {id: a, paths: [/x/:id], methods: [GET]}\n  - {id: b, paths: [/x/:id]}\n  - {id: c, paths: [/x/*], methods: [GET]}\n  - {id: d, hosts: [app.example.com], paths: [/x/:id], methods: [GET]}\n',
    );
    assert.deepEqual(load({ routes: text }).warnings, [
      'routes.yaml:4:1 routes: open to every signed-in user: a, b, c, d',
    ]);
  });

  test('certificates are read from the directory or from the root', () => {
    const pem = '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n';
    const config = load({
      settings: settings(
        'store:\n  kind: redis\n  redis:\n    url: "rediss://[::1]:7000"\n    tls: {ca_file: ca.pem, server_name: redis}\n',
      ),
      files: { '/etc/sallyport/ca.pem': pem },
    });
    assert.ok(config.store.kind === 'redis');
    assert.deepEqual(config.store.redis.tls, { ca: pem, cert: undefined, key: undefined, serverName: 'redis' });
    assert.deepEqual([config.store.redis.host, config.store.redis.port], ['::1', 7000]);
  });

  test('what is questionable but usable is a warning with its position', () => {
    const config = load({
      settings: settings(
        'trusted_proxies: [0.0.0.0/0]\nlisten:\n  verify: {port: 8081, trusted_peers: all}\nstore:\n  kind: redis\n  redis: {url: "redis://redis:6379"}\n',
      ).replace('.com\n', '.com\n    origins: https://spa.example.com\n'),
      idps: idps('').replace('${CLIENT_SECRET}', 'short'),
    });
    assert.deepEqual(
      config.warnings.map((warning) => warning.split(': ')[0]),
      [
        'settings.yaml:11:24 listen.verify.trusted_peers',
        'settings.yaml:9:1 trusted_proxies',
        'settings.yaml:14:11 store.redis.url',
        'idps.yaml:6:19 providers.main.client_auth.secret',
      ],
    );
  });
});

describe('references', () => {
  const value = (
    text: string,
    environment: Record<string, string> = {},
    files: Record<string, string> = {},
  ): string => {
    return load({ settings: settings(`csrf:\n  value: ${text}\n`), environment, files }).csrf.value;
  };

  test('name, default and file are replaced, also several in one text', () => {
    assert.equal(value('${A}', { A: 'x' }), 'x');
    assert.equal(value('${A:-y}'), 'y');
    assert.equal(value('${A:-y}', { A: '' }), 'y');
    assert.equal(value('${file:/run/s}', {}, { '/run/s': 'from-file\r\n' }), 'from-file');
    assert.equal(value('a${A}b${B:-c}', { A: '1' }), 'a1bc');
  });

  test('what they stand for is never looked at again', () => {
    assert.equal(value('${A}', { A: '${B}', B: 'secret' }), '${B}');
  });

  test('a doubled dollar keeps the text', () => {
    assert.equal(value('$${A}'), '${A}');
    assert.equal(value('a$b'), 'a$b');
  });

  test('keys and comments are never replaced', () => {
    assert.equal(load({ settings: settings('# ${UNSET}\ncsrf: {value: "1"}\n') }).csrf.value, '1');
  });

  test('replaced scalars take the type of their key, and text stays text', () => {
    const environment = { N: '7', B: 'false', T: '401', EMPTY: '', V: '12' };
    const config = load({
      settings: settings(
        'limits: {connections: "${N}"}\nmetrics: {enabled: "${B}"}\nverify: {on_fail: "${T}", shared_secret: "${EMPTY}"}\ncsrf: {value: "${V}"}\n',
      ),
      environment,
    });
    assert.equal(config.limits.connections, 7);
    assert.equal(config.metrics.enabled, false);
    assert.equal(config.verify.onFail, '401');
    assert.equal(config.verify.sharedSecret, undefined);
    assert.equal(config.csrf.value, '12');
  });

  test('aliases stand for the value of their anchor', () => {
    const config = load({ settings: settings('session: {idle: &long 1h, absolute: *long}\n') });
    assert.equal(config.session.absoluteMs, 3_600_000);
  });
});
