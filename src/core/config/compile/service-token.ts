import type { Route } from '../types.ts';
import type { ServiceTokenSettings } from '../types-token.ts';
import type { CompileContext } from './context.ts';

type ServiceInput = NonNullable<CompileContext['routes']['sections']['services']>[string];

/** Sources that send the caller's own token where its audience fits, and another one where it does not (D-09). */
const OF_THE_CALLER: ReadonlySet<string> = new Set(['exchange', 'refresh', 'session']);

/** Compile how a service's token is obtained and what it must be like (SPEC §9); what contradicts itself is a problem. */
export function compileServiceToken(
  context: CompileContext,
  name: string,
  input: ServiceInput,
  defaultIdp: string,
): ServiceTokenSettings {
  checkWishes(context, name, input);
  checkProvider(context, name, input, defaultIdp);
  const { source, eager, idp = defaultIdp } = input.token;
  return {
    source,
    eager,
    idp,
    audience: input.audience,
    scopes: input.scopes ?? [],
    requireAny: input.require_any ?? [],
    requireAll: input.require_all ?? [],
  };
}

function checkWishes({ routes }: CompileContext, name: string, input: ServiceInput): void {
  const { source, eager } = input.token;
  const path = ['services', name];
  const given = (['audience', 'scopes', 'require_any', 'require_all'] as const).find((key) => input[key] !== undefined);
  if (source === 'none' && given !== undefined) {
    const fix = 'add "token: {source: exchange}" or another source, or remove it';
    routes.fail([...path, given], `${given} without a token`, 'a token source', fix);
  }
  if (source === 'session' && input.scopes !== undefined) {
    routes.warn([...path, 'scopes'], 'nothing is asked for with source: session; require_any and require_all check');
  }
  if ((source === 'exchange' || source === 'refresh') && input.audience === undefined && !input.scopes?.length) {
    const expected = 'audience, scopes or both';
    routes.fail([...path, 'token'], `${source} asks for nothing`, expected, 'say which token this service needs');
  }
  if (eager && (source === 'session' || source === 'none')) {
    const problem = `eager with source: ${source}, which obtains nothing`;
    routes.fail([...path, 'token', 'eager'], problem, 'eager: false', 'remove it or change source');
  }
}

function checkProvider(
  { routes, idps }: CompileContext,
  name: string,
  { token: { source, idp } }: ServiceInput,
  defaultIdp: string,
): void {
  const path = ['services', name, 'token', 'idp'];
  if (source !== 'client_credentials') {
    if (idp === undefined) return;
    const problem = `{value} is not asked with source: ${source}: the provider of the session is`;
    routes.fail(path, problem, 'no idp', 'remove it');
    return;
  }
  const names = idps.namesAt(['providers']);
  if (idp !== undefined && !names.includes(idp)) {
    routes.fail(path, '{value} is no provider of idps.yaml', names.join(', '), 'choose one of them');
  }
  if (idp === undefined && defaultIdp === '' && names.length > 1) {
    const fix = 'add token.idp, or default to idps.yaml';
    routes.fail(['services', name, 'token', 'source'], '{value} of no provider', `one of ${names.join(', ')}`, fix);
  }
  // RFC 6749 §4.4: confidential clients only.
  if (idps.sections.providers?.[idp ?? defaultIdp]?.client_auth.method === 'none') {
    const problem = `client_credentials of ${idp ?? defaultIdp}, a client without authentication`;
    routes.fail(['services', name, 'token', 'source'], problem, 'a provider with client_auth', 'add client_auth');
  }
}

/** A caller's own token goes to a service only where it is meant for it, so it must be known what that means (D-09). */
export function checkBearerAudience({ routes }: CompileContext, { auth, service }: Route, index: number): void {
  if ((auth !== 'bearer' && auth !== 'any') || service === undefined) return;
  const input = routes.sections.services?.[service];
  if (input === undefined || input.audience !== undefined || !OF_THE_CALLER.has(input.token.source)) return;
  const problem = `auth: ${auth}, but ${service} does not say for whom its tokens are meant`;
  routes.fail(['routes', index], problem, `audience of services.${service}`, 'add it, or change auth or token.source');
}
