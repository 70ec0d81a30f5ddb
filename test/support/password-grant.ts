import type { OidcContext, Provider } from 'oidc-provider';
import { DEMO_USERS } from '../../src/cli/demo/provider.ts';
import { DEMO_API_AUDIENCE } from '../../src/cli/demo/provider-config.ts';

// The parts of oidc-provider that a grant of one's own works with; the package has no types.
type Model = { [member: string]: unknown; save(): Promise<string>; issue(options: object): Promise<string> };
type Models = Readonly<
  Record<'AccessToken' | 'IdToken' | 'RefreshToken' | 'ResourceServer', new (...args: object[]) => Model>
>;

/** How the grant differs from the usual one. */
export type PasswordGrantOptions = {
  /** False: the answer has no ID token, as from a plain OAuth 2 server. */
  readonly idToken?: boolean;
};

/** Who may log in: by user name or e-mail address, and password. */
const findUser = (name: unknown, password: unknown) =>
  DEMO_USERS.find((user) => [user.username, user.email].includes(String(name)) && user.password === password);

/**
 * The Resource Owner Password Credentials grant (RFC 6749 §4.3) for oidc-provider, which has it not: a grant type of
 * one's own, as its documentation shows. `configure` lets every client use it, `extend` registers it.
 */
export function passwordGrant({ idToken = true }: PasswordGrantOptions = {}) {
  return {
    configure: (configuration: Record<string, unknown>): Record<string, unknown> => ({
      ...configuration,
      clients: (configuration['clients'] as object[]).map((client) => ({
        ...client,
        grant_types: ['authorization_code', 'refresh_token', 'password'],
      })),
    }),
    extend(provider: Provider): void {
      const answer = (context: OidcContext): Promise<void> => answerPassword(provider, context, idToken);
      provider.registerGrantType('password', answer, ['username', 'password', 'scope']);
    },
  };
}

async function answerPassword(provider: Provider, context: OidcContext, withIdToken: boolean): Promise<void> {
  const { params = {}, client } = context.oidc ?? {};
  const user = findUser(params['username'], params['password']);
  if (user === undefined) {
    context.status = 400;
    context.body = { error: 'invalid_grant', error_description: 'the password is wrong' };
    return;
  }
  const scope = String(params['scope']);
  const clientId = client?.clientId ?? '';
  const grant = new provider.Grant({ accountId: user.sub, clientId });
  grant.addOIDCScope(scope);
  grant.addResourceScope(DEMO_API_AUDIENCE, scope);
  const common = { accountId: user.sub, client: client as object, grantId: await grant.save(), gty: 'password', scope };
  const models = provider as unknown as Models;
  const access = new models.AccessToken(common);
  // A token for the API is not for UserInfo.
  if (withIdToken) access['resourceServer'] = createResourceServer(models);
  const refresh = new models.RefreshToken({
    ...common,
    ...(withIdToken && { resource: DEMO_API_AUDIENCE }),
    rotations: 0,
  });
  const { sub, username, email, roles, name } = user;
  const claims = { sub, preferred_username: username, email, email_verified: true, roles, name };
  const identity = new models.IdToken(claims, { ctx: context });
  identity['scope'] = scope;
  context.body = {
    access_token: await access.save(),
    refresh_token: await refresh.save(),
    token_type: 'Bearer',
    expires_in: 120,
    scope,
    ...(withIdToken && { id_token: await identity.issue({ use: 'idtoken' }) }),
  };
}

function createResourceServer({ ResourceServer }: Models): object {
  const details = { scope: 'openid profile email api.read', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } };
  return new (ResourceServer as never as new (id: string, data: object) => object)(DEMO_API_AUDIENCE, details);
}
