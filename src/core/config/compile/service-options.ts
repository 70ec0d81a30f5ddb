import { durationMs } from '../schema/units.ts';
import type { ServiceTimeouts, ServiceTls } from '../types-service.ts';
import { type CompileContext, compileTls } from './context.ts';

type Sections = CompileContext['routes']['sections'];
type TlsInput = NonNullable<Sections['services']>[string]['tls'];
type RouteInput = NonNullable<NonNullable<Sections['routes']>[number]>;

/** Compile `tls` of a service; undefined where none of its origins is https. */
export function compileServiceTls(
  context: CompileContext,
  name: string,
  urls: readonly string[],
  input: TlsInput,
): ServiceTls | undefined {
  const { routes } = context;
  const path = ['services', name, 'tls'];
  if (input === undefined) return undefined;
  const { insecure, ...named } = input;
  const isPlain = urls.some((url) => url.startsWith('http:'));
  if (isPlain && (insecure || Object.keys(named).length > 0)) {
    routes.fail(path, 'tls with an http:// URL', 'https://', 'change the URL or remove tls');
  }
  if (insecure) {
    const trusting = (['ca_file', 'server_name'] as const).filter((key) => named[key] !== undefined);
    for (const key of trusting) {
      routes.fail([...path, key], 'has no meaning with insecure: true', 'one of the two', 'remove insecure');
    }
    routes.warn([...path, 'insecure'], `${name} may be anybody: its certificate is not checked`);
  }
  return { ...compileTls(context, routes, path, named), insecure };
}

/** Compile `timeouts` of a route: what it says differently from its service. */
export function compileRouteTimeouts(
  { routes }: CompileContext,
  { timeouts = {}, target_service, websocket }: RouteInput,
  index: number,
): Partial<ServiceTimeouts> {
  const path = ['routes', index, 'timeouts'];
  const { connect, headers, body_idle, total } = timeouts;
  if (target_service === undefined && Object.keys(timeouts).length > 0) {
    routes.fail(path, 'deadlines without target_service', 'a service', 'add target_service or remove timeouts');
  }
  for (const key of websocket === undefined ? [] : (['body_idle', 'total'] as const)) {
    if (timeouts[key] === undefined) continue;
    routes.fail([...path, key], 'has no meaning for a WebSocket', 'websocket.idle', 'remove the line');
  }
  return {
    ...(connect === undefined ? {} : { connectMs: durationMs(connect) }),
    ...(headers === undefined ? {} : { headersMs: durationMs(headers) }),
    ...(body_idle === undefined ? {} : { bodyIdleMs: durationMs(body_idle) }),
    ...(total === undefined ? {} : { totalMs: durationMs(total) }),
  };
}
