import { randomBytes } from 'node:crypto';
import type { OidcAdapter, OidcContext } from 'oidc-provider';
import { fetch } from 'undici';
import type { SigningJwk } from './provider-keys.ts';
import { errorPage, logoutPage, sendProviderPage, signedOutPage } from './provider-pages.ts';

/** Somebody who can sign in at the demo provider, and the claims told about them. */
export type DemoUser = {
  /** `sub`: never the user name, so that nothing confuses the two. */
  readonly sub: string;
  /** What is typed into the sign-in page, and the claim `preferred_username`. */
  readonly username: string;
  readonly password: string;
  readonly name: string;
  readonly email: string;
  readonly roles: readonly string[];
  readonly groups: readonly string[];
};

/** A client in the form of OpenID Connect Dynamic Registration metadata (`client_id`, `redirect_uris`, …). */
export type DemoClient = {
  readonly client_id: string;
  readonly client_secret?: string;
  readonly token_endpoint_auth_method?: 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt' | 'none';
  readonly redirect_uris: readonly string[];
  readonly post_logout_redirect_uris?: readonly string[];
  readonly [member: string]: unknown;
};

/** Lifetimes in seconds; each has a default. */
export type ProviderTtls = {
  readonly accessTokenSeconds?: number;
  readonly idTokenSeconds?: number;
  readonly refreshTokenSeconds?: number;
  readonly codeSeconds?: number;
  readonly interactionSeconds?: number;
  readonly sessionSeconds?: number;
};

/** The audience of the demo's API, as resource indicator (RFC 8707) and `aud` of its access tokens. */
export const DEMO_API_AUDIENCE = 'https://api.demo.example';

/** The audience of the demo's other API, which refuses the tokens of the first. */
export const DEMO_REPORTS_AUDIENCE = 'https://reports.demo.example';

/** Everything that the configuration of one provider instance depends on. */
export type ProviderSetup = {
  readonly clients: readonly DemoClient[];
  readonly users: readonly DemoUser[];
  /** Access tokens are JWTs for this audience (RFC 9068), or opaque when undefined. */
  readonly audience: string | undefined;
  readonly ttl: ProviderTtls;
  readonly keys: readonly SigningJwk[];
  readonly storage: (model: string) => OidcAdapter;
  readonly cookieKey: string;
};

/** A random key that signs the provider's own cookies. */
export function generateCookieKey(): string {
  return randomBytes(32).toString('base64url');
}

/** Builds the configuration object of oidc-provider 9; every function it names is our own, so it prints no advice. */
export function compileProviderConfiguration(setup: ProviderSetup): Record<string, unknown> {
  return {
    adapter: setup.storage,
    clients: setup.clients.map((client) => ({ ...client })),
    clientDefaults: { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    responseTypes: ['code'],
    scopes: ['openid', 'offline_access'],
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username', 'roles', 'groups'],
      email: ['email', 'email_verified'],
    },
    // Otherwise an ID token that comes with an access token carries `sub` alone.
    conformIdTokenClaims: false,
    jwks: { keys: setup.keys.map((key) => ({ ...key })) },
    cookies: { keys: [setup.cookieKey] },
    pkce: { required: () => true },
    interactions: { url: (_context: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}` },
    findAccount: (_context: unknown, sub: string) => findAccount(setup.users, sub),
    extraTokenClaims: (_context: unknown, token: { accountId?: string }) => tokenClaims(setup.users, token.accountId),
    // oidc-provider grants offline_access only with prompt=consent; most providers do not insist, so neither does this one.
    issueRefreshToken: async (_context: unknown, client: { grantTypeAllowed(type: string): boolean }) =>
      client.grantTypeAllowed('refresh_token'),
    expiresWithSession: async () => false,
    rotateRefreshToken: true,
    clientBasedCORS: () => false,
    // undici's own fetch: oidc-provider's dispatcher refuses loopback addresses, where this demo lives entirely.
    fetch: (url: string, options: Record<string, unknown>) =>
      fetch(url, { ...options, dispatcher: undefined } as never),
    renderError: async (context: OidcContext, out: Record<string, string>) =>
      sendProviderPage(context, errorPage(out['error'] ?? 'server_error', out['error_description'])),
    ttl: compileTtls(setup.ttl),
    features: compileFeatures(setup.audience, setup.ttl),
  };
}

const ACCESS_TOKEN_SECONDS = 10 * 60;

function compileTtls(ttl: ProviderTtls): Record<string, number> {
  const sessionSeconds = ttl.sessionSeconds ?? 8 * 60 * 60;
  return {
    AccessToken: ttl.accessTokenSeconds ?? ACCESS_TOKEN_SECONDS,
    AuthorizationCode: ttl.codeSeconds ?? 60,
    ClientCredentials: ttl.accessTokenSeconds ?? ACCESS_TOKEN_SECONDS,
    IdToken: ttl.idTokenSeconds ?? 60 * 60,
    RefreshToken: ttl.refreshTokenSeconds ?? sessionSeconds,
    Interaction: ttl.interactionSeconds ?? 60 * 60,
    Session: sessionSeconds,
    Grant: sessionSeconds,
  };
}

function compileFeatures(audience: string | undefined, ttl: ProviderTtls): Record<string, unknown> {
  const ownToken = async (_context: unknown, client: { clientId: string }, token: { clientId: string }) =>
    client.clientId === token.clientId;
  return {
    devInteractions: { enabled: false },
    userinfo: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: ownToken },
    revocation: { enabled: true, allowedPolicy: ownToken },
    backchannelLogout: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    dPoP: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: async (context: OidcContext, form: string) => sendProviderPage(context, logoutPage(form)),
      postLogoutSuccessSource: async (context: OidcContext) => sendProviderPage(context, signedOutPage()),
    },
    resourceIndicators: {
      enabled: audience !== undefined,
      defaultResource: async (_context: unknown, _client: unknown, oneOf?: string[]) => oneOf?.[0] ?? audience,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (_context: unknown, resource: string) => ({
        // The scopes of the sign-in too, as most providers do: a token answer with an empty `scope` is malformed.
        scope: 'openid profile email api.read api.write',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: ttl.accessTokenSeconds ?? ACCESS_TOKEN_SECONDS,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  };
}

function findAccount(users: readonly DemoUser[], sub: string) {
  const user = users.find((candidate) => candidate.sub === sub);
  return user && { accountId: user.sub, claims: async () => ({ sub: user.sub, ...userClaims(user) }) };
}

function tokenClaims(users: readonly DemoUser[], sub: string | undefined) {
  const user = users.find((candidate) => candidate.sub === sub);
  return user && userClaims(user);
}

function userClaims(user: DemoUser) {
  return {
    preferred_username: user.username,
    name: user.name,
    email: user.email,
    email_verified: true,
    roles: [...user.roles],
    groups: [...user.groups],
  };
}
