import { endpoint, fileName, name, origin, ownPath, plain, pointers, scopes, words } from './leaves.ts';
import { choice, duration, flag, integer, list, named, secret, section, text } from './scalars.ts';
import { version } from './version.ts';

const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

const issuer = (meaning: string) => endpoint(meaning, false);

const clientAuth = section('How this client authenticates', {
  method: choice('Client authentication', [
    'client_secret_basic',
    'client_secret_post',
    'private_key_jwt',
    'tls_client_auth',
    'self_signed_tls_client_auth',
    'none',
  ]).default('client_secret_basic'),
  secret: secret('Client secret; empty = a public client (PKCE only), with a warning').optional(),
  kid: plain('Key of keys.signing').optional(),
}).prefault({});

const endpoints = section('Explicit endpoints instead of discovery', {
  authorization: endpoint('Authorization endpoint'),
  token: endpoint('Token endpoint'),
  jwks: endpoint('Keys of the provider'),
  userinfo: endpoint('Userinfo endpoint').optional(),
  revocation: endpoint('Revocation endpoint (RFC 7009)').optional(),
  end_session: endpoint('Logout of the provider').optional(),
  par: endpoint('Pushed authorization requests (RFC 9126)').optional(),
}).optional();

const authorizationParams = named(
  'Fixed parameters of the authorization request',
  text('Value of the parameter'),
  /^[A-Za-z0-9_.:-]{1,64}$/,
).default({});

const provider = section(
  'One OpenID Provider',
  {
    issuer: issuer('Issuer, in the provider’s own spelling; discovery unless `endpoints` is given'),
    endpoints,
    client_id: plain('Client id at the provider'),
    client_auth: clientAuth,
    callback_path: ownPath(
      'Default: <auth>/callback for the default provider, <auth>/callback/<name> for others',
    ).optional(),
    response_mode: choice('How the answer arrives: in the address, or as a form that the browser posts', [
      'query',
      'form_post',
    ]).default('query'),
    scopes: scopes('Scopes asked for; must contain openid', { must: 'openid' }).default([
      'openid',
      'profile',
      'email',
      'offline_access',
    ]),
    audiences: section('Audiences', {
      request: words('Asked for at login (`resource`)').default([]),
      accept: words('Accepted in the access tokens of this provider').default([]),
    }).prefault({}),
    backchannel_url: origin('Origin for the server’s own calls; browser and iss keep the issuer', true).optional(),
    allow_insecure_backchannel: flag('Spell out that backchannel_url is plain http').default(false),
    authorization_params: authorizationParams,
    forwarded_params: list(
      'Parameters of /auth/login that are passed on',
      choice('One parameter', ['prompt', 'login_hint', 'acr_values', 'ui_locales', 'max_age']),
      { separator: 'comma' },
    ).default(['prompt', 'login_hint', 'acr_values', 'ui_locales', 'max_age']),
    par: choice('Pushed authorization requests (RFC 9126); auto = where the provider offers them', [
      'auto',
      'require',
      'never',
    ]).default('auto'),
    dpop: choice('Tokens bound to a key of the session (RFC 9449)', ['never', 'require']).default('never'),
    id_token_algs: list('Accepted signatures of ID tokens', choice('One algorithm', ALGORITHMS), {
      separator: 'comma',
      min: 1,
    }).default(['RS256', 'PS256', 'ES256', 'EdDSA']),
    clock_skew: duration('Difference of clocks that is forgiven', '0s', '5m').default('30s'),
    userinfo: flag('Fetch userinfo at login').default(false),
    timeout: section('Deadlines of calls to the provider', {
      connect: duration('Connecting', '10ms', '1m').default('2s'),
      total: duration('The whole call', '100ms', '2m').default('8s'),
    }).prefault({}),
    metadata: section('Metadata and keys', {
      refresh: duration('Fetched again so often', '1m', '7d').default('1h'),
    }).prefault({}),
    refresh_without_expiry: duration('Assumed token life if expires_in is missing', '10s', '1d').default('5m'),
    claims: section('Principal field ← claims, the first that exists', {
      user_id: pointers('Stable id of the user').default(['/sub']),
      username: pointers('Name to sign in').default(['/preferred_username', '/email']),
      email: pointers('E-mail address').default(['/email']),
      email_verified: pointers('Whether the provider verified it').default(['/email_verified']),
      name: pointers('Display name').default(['/name']),
      roles: pointers('Roles').default(['/realm_access/roles', '/roles']),
      groups: pointers('Groups').default(['/groups']),
    }).prefault({}),
    claims_from: list(
      'Where claims are read, in order; access_token only if it is a JWT for us',
      choice('One source', ['id_token', 'userinfo', 'access_token']),
      {
        separator: 'comma',
        min: 1,
      },
    ).default(['id_token', 'userinfo']),
    logout: section('Sign out', {
      mode: choice('At the provider too, or here alone', ['provider', 'local']).default('provider'),
      backchannel: flag('Accept its logout tokens').default(true),
    }).prefault({}),
    tls: section('TLS towards the provider', {
      ca_file: fileName('Certificates of the CA, PEM').optional(),
      cert_file: fileName('Client certificate, PEM').optional(),
      key_file: fileName('Its private key, PEM').optional(),
    }).prefault({}),
  },
  { former: { keys: ['idp_url', 'realm'], replacement: 'issuer', sentence: issuerHint } },
);

/** Keycloak-minded files of older gateways name server and realm apart; say the one line that replaces both. */
function issuerHint(shown: (key: string) => string | undefined): string {
  const base = (shown('idp_url') ?? 'https://idp.example.com').replace(/\/+$/, '');
  const realm = shown('realm');
  const line = realm === undefined ? base : `${base}/realms/${realm}`;
  return `is not a key, expected issuer, write "issuer: ${line}" instead of idp_url and realm`;
}

const bearerIssuer = section('One issuer of bearer tokens', {
  issuer: issuer('Its issuer'),
  provider: name('Provider whose keys, TLS and introspection endpoint are used'),
  audiences: words('Accepted audiences', { min: 1 }),
  algs: list('Accepted signatures', choice('One algorithm', ALGORITHMS), { separator: 'comma', min: 1 }).default([
    'RS256',
    'ES256',
  ]),
  types: list('Accepted `typ`', choice('One type', ['at+jwt', 'JWT']), { separator: 'comma', min: 1 }).default([
    'at+jwt',
  ]),
  required_scopes: scopes('Scopes a token must have').default([]),
  clock_skew: duration('Difference of clocks that is forgiven', '0s', '5m').default('30s'),
  claims_like: name('Provider whose claim mapping is used').optional(),
});

const bearer = section('Bearer tokens', {
  enabled: flag('Accept them on verify: one decides alone, and a valid one goes on in Authorization alone').default(
    false,
  ),
  issuers: list('Issuers', bearerIssuer, { max: 64 }).default([]),
  introspection: section('RFC 7662', {
    enabled: flag('Ask the provider about each token').default(false),
    cache: duration('How long an answer is believed', '0s', '1h').default('30s'),
  }).prefault({}),
  cache_entries: integer(
    'Validated tokens remembered, until they end or metadata.refresh has passed',
    0,
    10_000_000,
  ).default(50_000),
  dpop: section('Proofs of tokens that are bound to a key (RFC 9449)', {
    proof_max_age: duration('Oldest proof that is taken', '1s', '10m').default('60s'),
    nonce: flag('Demand our nonce in each proof; costs callers a request more for each proof_max_age').default(false),
  }).prefault({}),
}).optional();

/** idps.yaml: who vouches for users. */
export const idpsSchema = section('Who vouches for users', {
  version,
  default: name(
    'Provider used where nothing else is said; left out with several: the user chooses at /auth/login',
  ).optional(),
  providers: named('OpenID Providers', provider),
  bearer,
});
