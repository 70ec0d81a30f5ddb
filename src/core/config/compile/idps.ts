import { isAtOrBelow } from '../../path.ts';
import { durationMs } from '../schema/units.ts';
import { isLoopbackHost } from '../schema/web.ts';
import type { Idp } from '../types.ts';
import type { SigningKey } from '../types-idp.ts';
import { compileClientAuth } from './client-auth.ts';
import { type CompileContext, compileTls } from './context.ts';

type Input = NonNullable<CompileContext['idps']['sections']['providers']>[string];

/** Parameters of the authorization request that we make ourselves. */
const OWN_PARAMETERS = new Set(
  `client_id redirect_uri response_type response_mode scope state nonce code_challenge code_challenge_method request
  request_uri dpop_jkt resource id_token_hint client_secret`.split(/\s+/),
);

/** The name of the default provider; empty if several providers have none: then users choose (D-25). */
export function compileDefaultIdp({ idps }: CompileContext): string {
  const names = idps.namesAt(['providers']);
  const given = idps.sections.default;
  if (idps.sections.providers !== undefined && names.length === 0) {
    idps.fail(['providers'], 'there is no provider', 'at least one', 'add "main: {issuer: …, client_id: …}" below it');
  } else if (given !== undefined && names.length > 0 && !names.includes(given)) {
    idps.fail(['default'], '{value} is no provider of this file', names.join(', '), 'choose one of them');
  }
  return given ?? (names.length === 1 ? names[0] : undefined) ?? '';
}

/** Compile the providers that passed the schema, with the checks that concern several keys. */
export function compileIdps(
  context: CompileContext,
  defaultIdp: string,
  signingKeys: readonly SigningKey[],
): readonly Idp[] {
  const providers = Object.entries(context.idps.sections.providers ?? {});
  const idps = providers.map(([name, input]) =>
    compileIdp(context, name, input, { isDefault: name === defaultIdp, signingKeys }),
  );
  for (const [index, idp] of idps.entries()) {
    const other = idps.slice(0, index).find((earlier) => earlier.callbackPath === idp.callbackPath);
    if (other === undefined) continue;
    const problem = `${idp.callbackPath} is the callback of ${other.name} already`;
    context.idps.fail(['providers', idp.name, 'callback_path'], problem, 'a path of its own', 'change one of the two');
  }
  return idps;
}

type Setting = { readonly isDefault: boolean; readonly signingKeys: readonly SigningKey[] };

function compileIdp(context: CompileContext, name: string, input: Input, { isDefault, signingKeys }: Setting): Idp {
  const auth = context.settings.sections.paths?.auth ?? '/auth';
  const { endpoints } = input;
  const { ca, cert, key } = compileTls(context, context.idps, ['providers', name, 'tls'], input.tls);
  check(context, name, input, auth);
  if (input.dpop === 'require') checkBound(context, name);
  return {
    name,
    issuer: input.issuer,
    endpoints: endpoints && {
      authorization: endpoints.authorization,
      token: endpoints.token,
      jwks: endpoints.jwks,
      userinfo: endpoints.userinfo,
      revocation: endpoints.revocation,
      endSession: endpoints.end_session,
      par: endpoints.par,
    },
    clientId: input.client_id,
    clientAuth: compileClientAuth(context, name, input, signingKeys),
    callbackPath: input.callback_path ?? (isDefault ? `${auth}/callback` : `${auth}/callback/${name}`),
    scopes: input.scopes,
    audiences: input.audiences,
    backchannelUrl: input.backchannel_url && new URL(input.backchannel_url).origin,
    authorizationParams: input.authorization_params,
    forwardedParams: input.forwarded_params,
    responseMode: input.response_mode,
    par: input.par,
    dpop: input.dpop,
    idTokenAlgs: input.id_token_algs,
    clockSkewMs: durationMs(input.clock_skew),
    userinfo: input.userinfo,
    timeout: { connectMs: durationMs(input.timeout.connect), totalMs: durationMs(input.timeout.total) },
    metadataRefreshMs: durationMs(input.metadata.refresh),
    refreshWithoutExpiryMs: durationMs(input.refresh_without_expiry),
    claims: input.claims,
    claimsFrom: input.claims_from,
    logout: input.logout,
    tls: { ca, cert, key },
  };
}

/** A bound token is of no use to whoever has no key: what would hand it out is refused (D-36). */
function checkBound({ idps, settings }: CompileContext, name: string): void {
  const { token_cookies: cookies, direct_access_grant: grant } = settings.sections;
  const refuse = (beside: string): void =>
    idps.fail(['providers', name, 'dpop'], `{value} beside ${beside}`, 'one of the two', 'remove one of them');
  if (cookies?.enabled === true) refuse('token_cookies.enabled');
  if (grant?.enabled === true && grant.return_token) refuse('direct_access_grant.return_token');
}

function check({ idps }: CompileContext, name: string, input: Input, auth: string): void {
  const path = ['providers', name];
  if (input.callback_path !== undefined && !isAtOrBelow(input.callback_path, `${auth}/callback`)) {
    idps.fail([...path, 'callback_path'], '{value} lies elsewhere', `${auth}/callback or a path below it`, 'change it');
  }
  for (const parameter of Object.keys(input.authorization_params)) {
    if (!OWN_PARAMETERS.has(parameter)) continue;
    idps.fail(
      [...path, 'authorization_params', parameter],
      'this parameter is made by Sallyport',
      'other parameters',
      'remove the line',
    );
  }
  if (durationMs(input.timeout.connect) > durationMs(input.timeout.total)) {
    idps.fail([...path, 'timeout', 'connect'], '{value} is longer than timeout.total', 'a shorter one', 'shorten it');
  }
  if (input.par === 'require' && input.endpoints !== undefined && input.endpoints.par === undefined) {
    const fix = 'add endpoints.par, or set par: auto';
    idps.fail([...path, 'par'], '{value} without an endpoint', 'endpoints.par', fix);
  }
  if (input.par === 'never' && input.endpoints?.par !== undefined) {
    idps.fail(
      [...path, 'endpoints', 'par'],
      'is never used',
      'no such endpoint with par: never',
      'remove one of the two',
    );
  }
  const backchannel = input.backchannel_url && new URL(input.backchannel_url);
  if (
    backchannel &&
    backchannel.protocol === 'http:' &&
    !isLoopbackHost(backchannel.hostname) &&
    !input.allow_insecure_backchannel
  ) {
    const fix = 'use https, or add allow_insecure_backchannel: true';
    idps.fail([...path, 'backchannel_url'], '{value} is plain http to another machine', 'https', fix);
  }
}
