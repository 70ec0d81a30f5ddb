import type { CompileContext } from './context.ts';

type Profiles = NonNullable<CompileContext['settings']['sections']['verify']>['profiles'];
type RouteInput = NonNullable<NonNullable<CompileContext['routes']['sections']['routes']>[number]>;

const EXPECTED = 'a service with token.source: exchange, which gets a bearer token';
const FIX = 'choose one, or leave such routes to the proxy';

/** A gateway cannot make the proof that each request with a bound token needs, so verify must not name one (D-36). */
export function checkProfileTokens(context: CompileContext, profiles: Profiles): void {
  for (const [name, { service }] of Object.entries(profiles)) {
    const binding = findBinding(context, service);
    if (binding === undefined) continue;
    const problem = `{value} gets the session's own token, which is bound to a key: ${binding}`;
    context.settings.fail(['verify', 'profiles', name, 'service'], problem, EXPECTED, FIX);
  }
}

/** A cookie has no room for a proof, either. */
export function checkSocketToken(
  context: CompileContext,
  { target_service, websocket }: RouteInput,
  index: number,
): void {
  if (websocket === undefined || !websocket.token_in.startsWith('cookie:')) return;
  const binding = findBinding(context, target_service);
  if (binding === undefined) return;
  const problem = `{value} for a token that is bound to a key: ${binding}`;
  const expected = 'token_in: authorization, or a service with token.source: exchange';
  context.routes.fail(['routes', index, 'websocket', 'token_in'], problem, expected, 'change one of the two');
}

/**
 * The setting that binds what a service gets to the session's key; undefined = nothing does. Where sessions of another
 * provider have bearer tokens, it is for those; a bound one is refused when it is met.
 */
function findBinding({ routes, idps }: CompileContext, service: string | undefined): string | undefined {
  const source = service === undefined ? undefined : routes.sections.services?.[service]?.token.source;
  if (source !== 'session' && source !== 'refresh') return undefined;
  const providers = Object.entries(idps.sections.providers ?? {});
  const [name] = providers.find(([, { dpop }]) => dpop === 'require') ?? [];
  if (name === undefined || providers.some(([, { dpop }]) => dpop !== 'require')) return undefined;
  return `providers.${name}.dpop is require`;
}
