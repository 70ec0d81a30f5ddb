import { describe } from 'node:test';
import { IDPS, idps, type Refusal, settings, testRefusals } from './support.ts';

const CASES: readonly Refusal[] = [
  {
    name: 'an issuer over plain http, one with a query, one that is no URL',
    sources: {
      idps: 'version: 1\ndefault: a\nproviders:\n  a: {issuer: "http://id.example.com", client_id: x, client_auth: {method: none}}\n  b: {issuer: "https://id.example.com?x=1", client_id: x, client_auth: {method: none}}\n  c: {issuer: id.example.com, client_id: x, client_auth: {method: none}}\n',
    },
    lines: [
      'idps.yaml:4:15 providers.a.issuer: "http://id.example.com" is plain http to another machine, expected an https URL (http only on loopback), write it as the provider publishes it',
      'idps.yaml:5:15 providers.b.issuer: "https://id.example.com?x=1" has a query or fragment, expected an https URL (http only on loopback), write it as the provider publishes it',
      'idps.yaml:6:15 providers.c.issuer: "id.example.com" is not an absolute URL, expected an https URL (http only on loopback), write it as the provider publishes it',
    ],
  },
  {
    name: 'server and realm instead of an issuer',
    sources: {
      idps: 'version: 1\nproviders:\n  main:\n    idp_url: https://kc.example.com/\n    realm: staff\n    client_id: x\n    client_auth: {method: none}\n',
    },
    lines: [
      'idps.yaml:4:5 providers.main.idp_url: is not a key, expected issuer, write "issuer: https://kc.example.com/realms/staff" instead of idp_url and realm',
    ],
  },
  {
    name: 'server and realm from the environment',
    sources: {
      idps: 'version: 1\nproviders:\n  main:\n    realm: ${REALM}\n    idp_url: ${KC}\n    client_id: x\n    client_auth: {method: none}\n',
      environment: { REALM: 'r', KC: 'https://kc.example.com' },
    },
    lines: [
      'idps.yaml:4:5 providers.main.realm: is not a key, expected issuer, write "issuer: ${KC}/realms/${REALM}" instead of idp_url and realm',
    ],
  },
  {
    name: 'scopes without openid',
    sources: { idps: idps('    scopes: profile email\n') },
    lines: ['idps.yaml:7:13 providers.main.scopes: openid is missing, expected openid among them, add it'],
  },
  {
    name: 'no secret',
    sources: { idps: IDPS.replace(/ {4}client_auth.*\n/, '') },
    lines: [
      'idps.yaml:3:3 providers.main.client_auth.secret: is missing, expected a secret, add "secret: ${NAME}", or "method: none" for a public client',
    ],
  },
  {
    name: 'a secret without use',
    sources: { idps: IDPS.replace('{secret', '{method: none, secret') },
    lines: [
      'idps.yaml:6:41 providers.main.client_auth.secret: a secret with method none, expected no secret, remove one of the two',
    ],
  },
  {
    name: 'a client secret with a default',
    sources: { idps: IDPS.replace('${CLIENT_SECRET}', '${CLIENT_SECRET:-change-me-change-me}') },
    lines: [
      'idps.yaml:6:27 providers.main.client_auth.secret: a secret has a default, expected no ":-…" in the expression, remove the default',
    ],
  },
  {
    name: 'an unset client secret',
    sources: { environment: { CLIENT_SECRET: undefined } },
    lines: [
      'idps.yaml:6:27 providers.main.client_auth.secret: ${CLIENT_SECRET} is not set, expected an environment variable of that name, set CLIENT_SECRET',
    ],
  },
  {
    name: 'a default that does not exist',
    sources: { idps: IDPS.replace('providers', 'default: staff\nproviders') },
    lines: ['idps.yaml:2:10 default: "staff" is no provider of this file, expected main, choose one of them'],
  },
  {
    name: 'passwords and a client grant where nothing says which of several providers is asked',
    sources: {
      idps: idps('  other: {issuer: "https://o.example.com", client_id: x, client_auth: {method: none}}\n'),
      settings: settings('direct_access_grant: {enabled: true}\n'),
      routes:
        'version: 1\nservices:\n  api: {urls: ["http://127.0.0.1:9"], audience: api, token: {source: client_credentials}}\n',
    },
    lines: [
      'settings.yaml:8:32 direct_access_grant.enabled: nobody says whom site main asks about a password, expected one provider for each site, add default to idps.yaml, or idp to it',
      'routes.yaml:3:70 services.api.token.source: "client_credentials" of no provider, expected one of main, other, add token.idp, or default to idps.yaml',
    ],
  },
  {
    name: 'no provider',
    sources: { idps: 'version: 1\nproviders: {}\n' },
    lines: [
      'idps.yaml:2:1 providers: there is no provider, expected at least one, add "main: {issuer: …, client_id: …}" below it',
    ],
  },
  {
    name: 'a callback elsewhere, and one twice',
    sources: {
      idps: idps(
        '    callback_path: /oauth2/callback\n  b: {issuer: "https://o.example.com", client_id: x, client_auth: {method: none}, callback_path: /auth/callback}\n  c: {issuer: "https://o.example.com", client_id: x, client_auth: {method: none}, callback_path: /auth/callback}\n',
      ).replace('providers', 'default: main\nproviders'),
    },
    lines: [
      'idps.yaml:8:20 providers.main.callback_path: "/oauth2/callback" lies elsewhere, expected /auth/callback or a path below it, change it',
      'idps.yaml:10:98 providers.c.callback_path: /auth/callback is the callback of b already, expected a path of its own, change one of the two',
    ],
  },
  {
    name: 'a back channel over plain http',
    sources: { idps: idps('    backchannel_url: http://idp-app:8002\n') },
    lines: [
      'idps.yaml:7:22 providers.main.backchannel_url: "http://idp-app:8002" is plain http to another machine, expected https, use https, or add allow_insecure_backchannel: true',
    ],
  },
  {
    name: 'a back channel with a path',
    sources: { idps: idps('    backchannel_url: https://idp-app/realms\n') },
    lines: [
      'idps.yaml:7:22 providers.main.backchannel_url: "https://idp-app/realms" has a path, expected an origin such as http://crud:8000, write scheme, host and port only',
    ],
  },
  {
    name: 'parameters that are ours',
    sources: { idps: idps('    authorization_params: {state: x, "bad name": y}\n    forwarded_params: [nonce]\n') },
    lines: [
      'idps.yaml:7:38 providers.main.authorization_params."bad name": the name is not allowed, expected letters, digits, - and _, at most 64, rename it',
      'idps.yaml:8:24 providers.main.forwarded_params[0]: "nonce" is not a choice, expected prompt, login_hint, acr_values, ui_locales or max_age, choose one',
    ],
  },
  {
    name: 'a parameter of the protocol',
    sources: { idps: idps('    authorization_params: {state: x}\n') },
    lines: [
      'idps.yaml:7:35 providers.main.authorization_params.state: this parameter is made by Sallyport, expected other parameters, remove the line',
    ],
  },
  {
    name: 'weak signatures',
    sources: { idps: idps('    id_token_algs: [HS256, none]\n') },
    lines: [
      'idps.yaml:7:21 providers.main.id_token_algs[0]: "HS256" is not a choice, expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA or Ed25519, choose one',
      'idps.yaml:7:28 providers.main.id_token_algs[1]: "none" is not a choice, expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA or Ed25519, choose one',
    ],
  },
  {
    name: 'a claim that is no JSON Pointer',
    sources: { idps: idps('    claims: {roles: [realm_access.roles, /a~2b]}\n') },
    lines: [
      'idps.yaml:7:22 providers.main.claims.roles[0]: "realm_access.roles" is not a JSON Pointer, expected a JSON Pointer such as /realm_access/roles, begin with a slash; ~1 stands for a slash, ~0 for a tilde',
      'idps.yaml:7:42 providers.main.claims.roles[1]: "/a~2b" is not a JSON Pointer, expected a JSON Pointer such as /realm_access/roles, begin with a slash; ~1 stands for a slash, ~0 for a tilde',
    ],
  },
  {
    name: 'a connect deadline beyond the total',
    sources: { idps: idps('    timeout: {connect: 5s, total: 2s}\n') },
    lines: [
      'idps.yaml:7:24 providers.main.timeout.connect: "5s" is longer than timeout.total, expected a shorter one, shorten it',
    ],
  },
  {
    name: 'an incomplete list of endpoints',
    sources: {
      idps: idps('    endpoints: {authorization: "https://id.example.com/a", token: "http://id.example.com/t"}\n'),
    },
    lines: [
      'idps.yaml:7:5 providers.main.endpoints.jwks: is missing, expected an https URL (http only on loopback), add the line',
      'idps.yaml:7:67 providers.main.endpoints.token: "http://id.example.com/t" is plain http to another machine, expected an https URL (http only on loopback), write it as the provider publishes it',
    ],
  },
  {
    name: 'bearer tokens of nobody',
    sources: { idps: `${IDPS}bearer: {enabled: true}\n` },
    lines: [
      'idps.yaml:7:1 bearer.issuers: bearer tokens of nobody, expected at least one issuer, add "issuers: [{issuer: …, provider: …, audiences: […]}]", or enabled: false',
    ],
  },
  {
    name: 'bearer tokens of providers that do not exist, and of one issuer twice',
    sources: {
      idps: `${IDPS}bearer:
  enabled: true
  issuers:
    - {issuer: "https://id.example.com", provider: other, audiences: [api], claims_like: third}
    - {issuer: "https://id.example.com", provider: main, audiences: [api]}
`,
    },
    lines: [
      'idps.yaml:10:52 bearer.issuers[0].provider: "other" is no provider of this file, expected main, choose one of them',
      'idps.yaml:10:90 bearer.issuers[0].claims_like: "third" is no provider of this file, expected main, choose one of them',
      'idps.yaml:11:16 bearer.issuers[1].issuer: "https://id.example.com" has an entry already, expected one entry for each issuer, put its audiences into one entry',
    ],
  },
  {
    name: 'bearer tokens without audience, with weak signatures and odd types',
    sources: {
      idps: `${IDPS}bearer:
  enabled: true
  issuers:
    - {issuer: "https://id.example.com", provider: main, audiences: [], algs: [none, HS256], types: [jwt]}
`,
    },
    lines: [
      'idps.yaml:10:58 bearer.issuers[0].audiences: the list is empty, expected 1 to 1000 different items, add an item, or remove the key',
      'idps.yaml:10:80 bearer.issuers[0].algs[0]: "none" is not a choice, expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA or Ed25519, choose one',
      'idps.yaml:10:86 bearer.issuers[0].algs[1]: "HS256" is not a choice, expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA or Ed25519, choose one',
      'idps.yaml:10:102 bearer.issuers[0].types[0]: "jwt" is not a choice, expected at+jwt or JWT, choose one',
    ],
  },
  {
    name: 'bearer tokens of nobody',
    sources: { idps: idps('bearer: {enabled: true}\n') },
    lines: [
      'idps.yaml:7:1 bearer.issuers: bearer tokens of nobody, expected at least one issuer, add "issuers: [{issuer: …, provider: …, audiences: […]}]", or enabled: false',
    ],
  },
];

describe('idps.yaml is refused, with the exact lines', () => testRefusals(CASES));
