import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { AUTHORIZED_HEADER, CERTIFICATE_HEADER, type MtlsFront, startMtlsFront } from '../support/mtls-front.ts';
import { skipWithout } from '../support/parts.ts';
import { fetchWithJar } from '../support/provider.ts';
import { createCertificates, type TestCertificates } from '../support/redis-tls.ts';
import { type SignInWorld, type SignInWorldOptions, startSignInWorld } from '../support/signed-in.ts';
import { until } from '../support/until.ts';

const pem = (kind: 'ec' | 'ed25519'): string => {
  const { privateKey } =
    kind === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
};
const EC_PEM = pem('ec');
const NEXT_JWK = JSON.stringify(createPublicJwk('private'));

function createPublicJwk(part: 'private') {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })[`${part}Key`].export({ format: 'jwk' });
}

/** What the provider itself received of the client. */
type Form = Readonly<Record<string, string | undefined>>;

/** A provider that remembers the forms of token and revocation requests. */
function recording(forms: Form[]): NonNullable<SignInWorldOptions['provider']> {
  return {
    onTokenResponse: ({ form }) => {
      forms.push(form as Form);
    },
  };
}

describe('private_key_jwt against oidc-provider', () => {
  const forms: Form[] = [];
  let world: SignInWorld;
  before(async () => {
    world = await startSignInWorld({
      settings: {
        keys: {
          signing: [
            { kid: 's1', alg: 'ES256', private_key: EC_PEM },
            { kid: 's2', alg: 'EdDSA', private_key: pem('ed25519') },
          ],
        },
      },
      client: (base) => ({
        client_secret: undefined,
        token_endpoint_auth_method: 'private_key_jwt',
        jwks_uri: `${base}/auth/jwks.json`,
      }),
      idp: { client_auth: { method: 'private_key_jwt' } },
      provider: recording(forms),
    });
  });
  after(() => world.close());

  test('signs in with an assertion that names the issuer, lives a minute and is used once', async () => {
    await world.signIn('alice');
    await world.signIn('bob');
    const assertions = forms.map((form) => String(form['client_assertion']));
    assert.equal(new Set(assertions.map((assertion) => decodeJwt(assertion).jti)).size, 2);
    for (const assertion of assertions) {
      const { iss, sub, aud, exp = 0, iat = 0, jti } = decodeJwt(assertion);
      assert.deepEqual({ iss, sub, aud }, { iss: 'bff', sub: 'bff', aud: world.provider.issuer });
      assert.ok(exp - iat <= 60 && String(jti).length >= 22);
      assert.deepEqual(decodeProtectedHeader(assertion), { alg: 'ES256', kid: 's1' });
    }
    assert.ok(forms.every((form) => form['client_secret'] === undefined));
  });

  test('publishes the public halves alone, for everybody and with a time to keep them', async () => {
    const response = await fetch(`${world.base}/auth/jwks.json`);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'application/jwk-set+json');
    assert.match(response.headers.get('cache-control') ?? '', /^public, max-age=\d+$/);
    const { keys } = (await response.json()) as { keys: Record<string, unknown>[] };
    assert.deepEqual(
      keys.map(({ kid, alg, use, d, p, q }) => ({ kid, alg, use, d, p, q })),
      [
        { kid: 's1', alg: 'ES256', use: 'sig', d: undefined, p: undefined, q: undefined },
        { kid: 's2', alg: 'EdDSA', use: 'sig', d: undefined, p: undefined, q: undefined },
      ],
    );
    const { x, y } = createPublicKey(EC_PEM).export({ format: 'jwk' });
    assert.deepEqual({ x: keys[0]?.['x'], y: keys[0]?.['y'] }, { x, y });
    assert.equal((await fetch(`${world.base}/auth/jwks.json`, { method: 'POST' })).status, 405);
  });

  test('a reload brings new keys, and the first of them signs', async () => {
    const next = { kid: 's3', alg: 'ES256', privateKey: NEXT_JWK } as const;
    await world.server.reload((config) => ({
      ...config,
      signingKeys: [next, ...config.signingKeys],
      idps: config.idps.map((idp) => ({ ...idp, clientAuth: { method: 'private_key_jwt', key: next } })),
    }));
    const { keys } = (await (await fetch(`${world.base}/auth/jwks.json`)).json()) as { keys: { kid: string }[] };
    assert.deepEqual(
      keys.map(({ kid }) => kid),
      ['s3', 's1', 's2'],
    );
    // Whoever has read the keys keeps them for a while: the provider forgets what it read.
    await world.provider.rotateKeys();
    await world.signIn('alice');
    assert.equal(decodeProtectedHeader(String(forms.at(-1)?.['client_assertion'])).kid, 's3');
  });

  test('no assertion and no key reaches the log', () => {
    const text = JSON.stringify(world.server.log);
    for (const form of forms) assert.ok(!text.includes(String(form['client_assertion'])));
    assert.ok(!text.includes('PRIVATE KEY') && !text.includes(String(JSON.parse(NEXT_JWK).d)));
  });
});

describe('client certificates against oidc-provider behind TLS', { skip: skipWithout('openssl') }, () => {
  let certificates: TestCertificates;
  before(async () => {
    certificates = await createCertificates();
    writeFileSync(join(certificates.directory, 'client.pem'), certificates.clientCert);
  });
  after(() => certificates.remove());

  for (const method of ['tls_client_auth', 'self_signed_tls_client_auth'] as const) {
    test(`${method}: the alias endpoints are called with the certificate, the others without`, async () => {
      let origin = '';
      const front = await startFront(certificates, () => origin);
      const world = await startSignInWorld({
        client: () => ({
          client_secret: undefined,
          token_endpoint_auth_method: method,
          ...(method === 'tls_client_auth'
            ? { tls_client_auth_subject_dn: 'CN=client' }
            : { jwks: { keys: [certificateJwk(certificates.clientCert)] } }),
        }),
        idp: { client_auth: { method }, tls: tlsOf(certificates) },
        provider: { configure: (configuration) => withMtls(configuration, front.url) },
      });
      try {
        origin = world.provider.issuer;
        const jar = await world.signIn('alice');
        assert.equal((await world.verify(jar)).status, 200);
        assert.deepEqual(front.seen, [
          { path: '/request', subject: 'CN=client' },
          { path: '/token', subject: 'CN=client' },
        ]);
        const out = await fetchWithJar(jar, `${world.base}/auth/logout`, {
          method: 'POST',
          headers: { origin: world.base },
        });
        assert.equal(out.status, 200);
        await until(() => front.seen.length >= 3, 'revocation with the certificate');
        assert.deepEqual(front.seen.at(-1), { path: '/token/revocation', subject: 'CN=client' });
      } finally {
        await world.close();
        await front.close();
      }
    });
  }
});

function tlsOf({ directory }: TestCertificates) {
  const at = (name: string) => join(directory, name);
  return { ca_file: at('ca.pem'), cert_file: at('client.pem'), key_file: at('client.key') };
}

function startFront({ ca, files }: TestCertificates, target: () => string): Promise<MtlsFront> {
  const [cert, key] = [readFileSync(files.serverCert, 'utf8'), readFileSync(files.serverKey, 'utf8')];
  return startMtlsFront({ ca, cert, key }, target);
}

/** The public key of a certificate with the certificate itself, as a client registers it (RFC 8705 §2.2.2). */
function certificateJwk(certificate: string) {
  const parsed = new X509Certificate(certificate);
  return { ...parsed.publicKey.export({ format: 'jwk' }), kid: 'c1', use: 'sig', x5c: [parsed.raw.toString('base64')] };
}

type Context = { get(name: string): string };

function withMtls(configuration: Record<string, unknown>, url: string): Record<string, unknown> {
  const certificateOf = (context: Context): X509Certificate | undefined => {
    const der = context.get(CERTIFICATE_HEADER);
    return der === '' ? undefined : new X509Certificate(Buffer.from(der, 'base64'));
  };
  return {
    ...configuration,
    clientAuthMethods: [
      ...(configuration['clientAuthMethods'] as string[]),
      'tls_client_auth',
      'self_signed_tls_client_auth',
    ],
    discovery: {
      mtls_endpoint_aliases: {
        token_endpoint: `${url}/token`,
        revocation_endpoint: `${url}/token/revocation`,
        pushed_authorization_request_endpoint: `${url}/request`,
      },
    },
    features: {
      ...(configuration['features'] as object),
      mTLS: {
        enabled: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: certificateOf,
        certificateAuthorized: (context: Context) => context.get(AUTHORIZED_HEADER) === 'true',
        certificateSubjectMatches: (context: Context, property: string, expected: string) =>
          property === 'tls_client_auth_subject_dn' && certificateOf(context)?.subject === expected,
      },
    },
  };
}
