import { generateKeyPairSync } from 'node:crypto';
import { describe } from 'node:test';
import { IDPS, idps, type Refusal, SETTINGS, testRefusals } from './support.ts';

const export8 = { type: 'pkcs8', format: 'pem' } as const;
const EC = String(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(export8));
const SMALL_RSA = String(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export(export8));
const FILES = { '/run/ec.pem': EC, '/run/rsa.pem': SMALL_RSA, '/run/hunter2.pem': 'hunter2' };

/** settings.yaml with signing keys: each the flow map of one key. */
const signing = (...keys: readonly string[]): string =>
  SETTINGS.replace(/^keys:\n/m, `keys:\n  signing:\n${keys.map((key) => `    - {${key}}\n`).join('')}`);

/** idps.yaml whose client authenticates as `auth` says. */
const client = (auth: string, more = ''): string => IDPS.replace(/client_auth: .*/, `client_auth: ${auth}`) + more;

const KEY = 'kid: s1, alg: ES256, private_key: "${file:/run/ec.pem}"';

const BOUND_ROUTES = `version: 1
services:
  own: {urls: ["http://127.0.0.1:1"], token: {source: session}}
  other: {urls: ["http://127.0.0.1:1"], audience: other, token: {source: exchange}}
routes:
  - {id: live, paths: [/live], target_service: own, websocket: {token_in: "cookie:token"}}
  - {id: http, paths: [/http], target_service: own}
  - {id: fine, paths: [/fine], target_service: other, websocket: {token_in: "cookie:token"}}
`;

const CASES: readonly Refusal[] = [
  {
    name: 'signing keys that do not fit their algorithm, cannot be read, or share a name',
    sources: {
      settings: signing(
        'kid: s1, alg: ES384, private_key: "${file:/run/ec.pem}"',
        'kid: s2, alg: PS256, private_key: "${file:/run/rsa.pem}"',
        'kid: s2, alg: EdDSA, private_key: "${file:/run/hunter2.pem}"',
      ),
      files: FILES,
    },
    lines: [
      'settings.yaml:7:42 keys.signing[0].private_key: the value is no key of the curve of ES384, expected a private key for ES384, PEM or JWK, not encrypted, name another key or algorithm',
      'settings.yaml:8:42 keys.signing[1].private_key: the value is shorter than 2048 bits, expected a private key for PS256, PEM or JWK, not encrypted, name another key or algorithm',
      'settings.yaml:9:13 keys.signing[2].kid: "s2" names two keys, expected different ids, rename one',
      'settings.yaml:9:42 keys.signing[2].private_key: the value cannot be read, expected a private key for EdDSA, PEM or JWK, not encrypted, name another key or algorithm',
    ],
  },
  {
    name: 'private_key_jwt without any key',
    sources: { idps: client('{method: private_key_jwt}') },
    lines: [
      'idps.yaml:6:27 providers.main.client_auth.method: "private_key_jwt" without a key, expected a key in keys.signing, add "signing: [{kid: …, alg: ES256, private_key: …}]" below keys in settings.yaml',
    ],
  },
  {
    name: 'an unknown key',
    sources: { settings: signing(KEY), files: FILES, idps: client('{method: private_key_jwt, kid: s9}') },
    lines: [
      'idps.yaml:6:49 providers.main.client_auth.kid: "s9" is no key of keys.signing, expected s1, choose one of them',
    ],
  },
  {
    name: 'a secret beside a key',
    sources: {
      settings: signing(KEY),
      files: FILES,
      idps: client('{method: private_key_jwt, secret: "${CLIENT_SECRET}"}'),
    },
    lines: [
      'idps.yaml:6:52 providers.main.client_auth.secret: a secret with method private_key_jwt, expected no secret, remove one of the two',
    ],
  },
  {
    name: 'a key beside a secret',
    sources: { idps: client('{secret: "${CLIENT_SECRET}", kid: s1}') },
    lines: [
      'idps.yaml:6:52 providers.main.client_auth.kid: a key with method client_secret_basic, expected no kid, remove it, or set method: private_key_jwt',
    ],
  },
  {
    name: 'a method by certificate without one',
    sources: { idps: client('{method: tls_client_auth}') },
    lines: [
      'idps.yaml:6:27 providers.main.client_auth.method: "tls_client_auth" without a certificate, expected tls.cert_file, add cert_file and key_file below tls',
    ],
  },
  {
    name: 'half a certificate',
    sources: { idps: idps('    tls: {cert_file: /run/ec.pem}\n'), files: FILES },
    lines: [
      'idps.yaml:7:22 providers.main.tls.cert_file: stands without key_file, expected both or none, add key_file',
    ],
  },
  {
    name: 'a certificate over plain http',
    sources: {
      idps: client(
        '{method: self_signed_tls_client_auth}',
        '    tls: {cert_file: /run/ec.pem, key_file: /run/ec.pem}\n    backchannel_url: http://127.0.0.1:8002\n',
      ),
      files: FILES,
    },
    lines: [
      'idps.yaml:8:22 providers.main.backchannel_url: "http://127.0.0.1:8002" presents no certificate, expected https, use https, or another client_auth.method',
    ],
  },
  {
    name: 'pushed requests that have nowhere to go',
    sources: {
      idps: idps(
        '    par: require\n    endpoints: {authorization: "https://id.example.com/a", token: "https://id.example.com/t", jwks: "https://id.example.com/j"}\n',
      ),
    },
    lines: [
      'idps.yaml:7:10 providers.main.par: "require" without an endpoint, expected endpoints.par, add endpoints.par, or set par: auto',
    ],
  },
  {
    name: 'an endpoint for pushed requests that nobody uses',
    sources: {
      idps: idps(
        '    par: never\n    endpoints: {authorization: "https://id.example.com/a", token: "https://id.example.com/t", jwks: "https://id.example.com/j", par: "https://id.example.com/p"}\n',
      ),
    },
    lines: [
      'idps.yaml:8:134 providers.main.endpoints.par: is never used, expected no such endpoint with par: never, remove one of the two',
    ],
  },
  {
    name: 'bound tokens that would be handed out',
    sources: {
      settings: `${SETTINGS}token_cookies:\n  enabled: true\ndirect_access_grant: {enabled: true, return_token: true}\n`,
      idps: idps('    dpop: require\n'),
    },
    lines: [
      'idps.yaml:7:11 providers.main.dpop: "require" beside token_cookies.enabled, expected one of the two, remove one of them',
      'idps.yaml:7:11 providers.main.dpop: "require" beside direct_access_grant.return_token, expected one of the two, remove one of them',
    ],
  },
  {
    name: 'bound tokens that a gateway or a cookie would get',
    sources: {
      settings: `${SETTINGS}verify:\n  profiles:\n    own: {service: own}\n    other: {service: other}\n`,
      idps: idps('    dpop: require\n'),
      routes: BOUND_ROUTES,
    },
    lines: [
      'settings.yaml:10:20 verify.profiles.own.service: "own" gets the session\'s own token, which is bound to a key: providers.main.dpop is require, expected a service with token.source: exchange, which gets a bearer token, choose one, or leave such routes to the proxy',
      'routes.yaml:6:75 routes[0].websocket.token_in: "cookie:token" for a token that is bound to a key: providers.main.dpop is require, expected token_in: authorization, or a service with token.source: exchange, change one of the two',
    ],
  },
];

describe('keys and certificates of this client are refused, with the exact lines', () => testRefusals(CASES));
