/** Name of the realm. */
export const REALM = 'sallyport';

/** Its people with their passwords: `alice` has the realm role `user`, `bob` has `admin`. */
export const KEYCLOAK_USERS: Readonly<Record<string, string>> = { alice: 'alice-at-keycloak', bob: 'bob-at-keycloak' };

/** A client as Keycloak's Admin API takes it (ClientRepresentation), of which these members are used. */
export type KeycloakClient = {
  readonly clientId: string;
  readonly secret?: string;
  /** No secret: PKCE alone. */
  readonly publicClient?: boolean;
  /** `client-secret` or `client-jwt` (private_key_jwt). */
  readonly clientAuthenticatorType?: string;
  readonly redirectUris?: readonly string[];
  readonly standardFlowEnabled?: boolean;
  readonly directAccessGrantsEnabled?: boolean;
  readonly serviceAccountsEnabled?: boolean;
  readonly frontchannelLogout?: boolean;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly defaultClientScopes?: readonly string[];
  readonly optionalClientScopes?: readonly string[];
  readonly protocolMappers?: readonly object[];
  /** Ids of the flows that are not the realm's. */
  readonly authenticationFlowBindingOverrides?: Readonly<Record<string, string>>;
};

/**
 * The realm as Keycloak imports it (RealmRepresentation): refresh tokens rotate and are good once (`revokeRefreshToken`);
 * access tokens live
 * five minutes; a form registers new people; passwords are hashed once, as a test signs in often.
 */
export function makeRealm(): object {
  return {
    realm: REALM,
    enabled: true,
    sslRequired: 'none',
    registrationAllowed: true,
    accessTokenLifespan: 300,
    passwordPolicy: 'hashAlgorithm(pbkdf2-sha256) and hashIterations(1)',
    revokeRefreshToken: true,
    refreshTokenMaxReuse: 0,
    eventsEnabled: true,
    enabledEventTypes: ['REFRESH_TOKEN', 'REFRESH_TOKEN_ERROR', 'LOGIN', 'LOGOUT', 'REVOKE_GRANT', 'TOKEN_EXCHANGE'],
    roles: { realm: [{ name: 'user' }, { name: 'admin' }] },
    users: [makeUser('alice', 'user'), makeUser('bob', 'admin')],
  };
}

function makeUser(username: string, role: string): object {
  return {
    username,
    enabled: true,
    email: `${username}@keycloak.example`,
    emailVerified: true,
    firstName: username,
    lastName: 'Example',
    credentials: [{ type: 'password', value: KEYCLOAK_USERS[username], temporary: false }],
    realmRoles: [role],
  };
}

/** Puts realm roles into the ID token, where Sallyport reads them; Keycloak has them in the access token alone. */
export const ROLES_IN_ID_TOKEN: object = {
  name: 'realm roles in the ID token',
  protocol: 'openid-connect',
  protocolMapper: 'oidc-usermodel-realm-role-mapper',
  config: {
    'claim.name': 'realm_access.roles',
    multivalued: 'true',
    'jsonType.label': 'String',
    'id.token.claim': 'true',
    'access.token.claim': 'true',
    'userinfo.token.claim': 'true',
  },
};
