import { isAtOrBelow } from '../../path.ts';
import { canonicalHost, schemeOf } from '../../sites.ts';
import { expandRoutePath, pathBase, patternMatches } from '../schema/route-path.ts';
import { durationMs, sizeBytes } from '../schema/units.ts';
import type { Route, Service, Site } from '../types.ts';
import type { CompileContext } from './context.ts';
import { compileAddresses } from './listen.ts';
import { compileRouteRateLimit } from './rate-limits.ts';
import { checkConflicts, type IndexedRoute } from './route-conflicts.ts';
import { checkOpaque, compileRewrite } from './route-paths.ts';
import { compileRouteTimeouts, compileServiceTls } from './service-options.ts';
import { checkBearerAudience, compileServiceToken } from './service-token.ts';
import { hostMatches } from './sites.ts';
import { compileStepUp } from './step-up.ts';
import { compileWebSocket } from './websocket.ts';

type ServiceInput = NonNullable<CompileContext['routes']['sections']['services']>[string];
type RouteInput = NonNullable<NonNullable<CompileContext['routes']['sections']['routes']>[number]>;
type Defaults = NonNullable<CompileContext['routes']['sections']['defaults']>;

/** Compile the services of routes.yaml. */
export function compileServices(context: CompileContext, defaultIdp = ''): readonly Service[] {
  return Object.entries(context.routes.sections.services ?? {}).map(([name, input]) =>
    compileService(context, name, input, defaultIdp),
  );
}

function compileService(context: CompileContext, name: string, input: ServiceInput, defaultIdp: string): Service {
  const urls = input.urls.map((url) => new URL(url).origin);
  const { timeouts } = input;
  return {
    name,
    urls,
    token: compileServiceToken(context, name, input, defaultIdp),
    timeouts: {
      connectMs: durationMs(timeouts.connect),
      headersMs: durationMs(timeouts.headers),
      bodyIdleMs: durationMs(timeouts.body_idle),
      totalMs: timeouts.total === undefined ? undefined : durationMs(timeouts.total),
    },
    pool: input.pool,
    health: input.health && { failures: input.health.failures, ejectMs: durationMs(input.health.eject) },
    retries: input.retries,
    tls: compileServiceTls(context, name, urls, input.tls),
  };
}

/** Compile the routes that passed the schema, with all checks that concern several of them. */
export function compileRoutes(context: CompileContext, sites: readonly Site[]): readonly Route[] {
  const { sections } = context.routes;
  const { defaults } = sections;
  if (defaults === undefined) return [];
  const compiled = (sections.routes ?? []).flatMap((input, index): IndexedRoute[] => {
    if (input === undefined) return [];
    const expansions = compilePaths(context, input, index);
    const hosts = compileHosts(context, sites, input, index);
    const route = compileRoute(context, defaults, input, index, { hosts, paths: expansions.flat() });
    return [{ index, route, expansions }];
  });
  checkIds(context, compiled);
  checkOpaque(context, compiled);
  checkConflicts(context, compiled);
  checkAuthorization(context, compiled);
  return compiled.map(({ route }) => route);
}

function compileRoute(
  context: CompileContext,
  defaults: Defaults,
  input: RouteInput,
  index: number,
  where: Pick<Route, 'hosts' | 'paths'>,
): Route {
  const { routes, settings } = context;
  const path = ['routes', index];
  const bodyMax = input.max_body ?? defaults.max_body ?? settings.sections.limits?.body_bytes ?? '0B';
  const route: Route = {
    id: input.id,
    ...where,
    methods: input.methods ?? [],
    service: input.target_service,
    auth: input.auth ?? defaults.auth,
    csrf: input.csrf ?? defaults.csrf,
    onUnauthenticated: input.on_unauthenticated ?? defaults.on_unauthenticated,
    roles: input.roles ?? [],
    groups: input.groups ?? [],
    scopes: input.scopes ?? [],
    allowIps: compileAddresses(routes, [...path, 'allow_ips'], input.allow_ips ?? []),
    identityHeaders: input.identity_headers ?? defaults.identity_headers,
    cacheControl: input.cache_control ?? defaults.cache_control,
    bodyMaxBytes: sizeBytes(bodyMax),
    rateLimit: compileRouteRateLimit(context, input, input.auth ?? defaults.auth, index),
    timeouts: compileRouteTimeouts(context, input, index),
    public: input.public ?? [],
    pathMode: input.path_mode ?? defaults.path_mode,
    rewrite: compileRewrite(context, input, index),
    stepUp: compileStepUp(context, input.step_up, input.auth ?? defaults.auth, index),
    webSocket: compileWebSocket(context, input, index),
    position: routes.position(path),
  };
  checkRoute(context, route, index);
  checkBearerRoute(context, route, index);
  checkBearerAudience(context, route, index);
  return route;
}

function compileHosts(
  { routes }: CompileContext,
  sites: readonly Site[],
  input: RouteInput,
  index: number,
): readonly string[] {
  return (input.hosts ?? []).map((written, at) => {
    const owner = sites.find((site) => hostMatches(canonicalHost(written, schemeOf(site.publicUrl)), site.hosts));
    // With a refused site its hosts are unknown: no second complaint about them.
    if (owner === undefined && sites.length > 0) {
      routes.fail(
        ['routes', index, 'hosts', at],
        '{value} belongs to no site',
        'a host of sites in settings.yaml',
        'correct it or add it there',
      );
    }
    return canonicalHost(written, owner === undefined ? 'https' : schemeOf(owner.publicUrl));
  });
}

function compilePaths(
  { routes, settings }: CompileContext,
  input: RouteInput,
  index: number,
): readonly (readonly string[])[] {
  const { paths: own, telemetry_sink: telemetry } = settings.sections;
  const sink = own !== undefined && telemetry?.enabled === true ? [own.telemetry] : [];
  return input.paths.map((written, at): readonly string[] => {
    const path = ['routes', index, 'paths', at];
    const result = expandRoutePath(written);
    // The schema accepted the path: it has an expansion.
    const patterns = 'paths' in result ? result.paths : [];
    for (const pattern of own === undefined ? [] : patterns) {
      const prefix = [own?.auth, own?.api_auth].find(
        (prefix) => prefix !== undefined && isAtOrBelow(pathBase(pattern), prefix),
      );
      const taken =
        prefix ?? [...(own?.health ?? []), ...(own?.verify ?? []), ...sink].find((address) => address === pattern);
      if (taken === undefined) continue;
      routes.fail(
        path,
        `{value} is never reached: ${taken} is an address of Sallyport itself`,
        'other paths',
        'change it, or `paths` of settings.yaml',
      );
    }
    return patterns;
  });
}

function checkRoute({ routes }: CompileContext, route: Route, index: number): void {
  const path = ['routes', index];
  const services = routes.namesAt(['services']);
  if (route.service !== undefined && !services.includes(route.service)) {
    const expected = services.length === 0 ? 'a service of this file' : services.join(', ');
    routes.fail(
      [...path, 'target_service'],
      '{value} is no service of this file',
      expected,
      'choose one of them or add it',
    );
  }
  const rules = (['roles', 'groups', 'scopes'] as const).filter((rule) => route[rule].length > 0);
  if ((route.auth === 'none' || route.auth === 'optional') && rules.length > 0) {
    routes.fail(
      [...path, rules[0] ?? 'roles'],
      `a rule about users with auth: ${route.auth}`,
      'auth: session',
      'change auth or remove the rule',
    );
  }
  for (const [at, entry] of route.public.entries()) {
    const inner = [...path, 'public', at];
    if (route.paths.length > 0 && !route.paths.some((pattern) => patternMatches(pattern, entry.path))) {
      routes.fail(
        [...inner, 'path'],
        '{value} does not lie below this route',
        'a path that one of its paths matches',
        'correct it',
      );
    }
    if (route.methods.length > 0 && !route.methods.includes(entry.method)) {
      routes.fail([...inner, 'method'], '{value} is no method of this route', route.methods.join(', '), 'correct it');
    }
  }
}

/** A route for bearer tokens needs somebody to accept them. */
function checkBearerRoute({ routes, idps }: CompileContext, { auth }: Route, index: number): void {
  if (auth !== 'bearer' && auth !== 'any') return;
  const path = ['routes', index];
  // A refused `bearer` is complained about where it stands.
  const isRefused = idps.sections.bearer === undefined && idps.namesAt([]).includes('bearer');
  if (!isRefused && idps.sections.bearer?.enabled !== true) {
    const fix = 'add it, or change auth';
    routes.fail(path, `auth: ${auth} without bearer tokens`, 'bearer.enabled: true in idps.yaml', fix);
  }
}

function checkIds({ routes }: CompileContext, compiled: readonly IndexedRoute[]): void {
  const first = new Map<string, Route>();
  for (const { index, route } of compiled) {
    const other = first.get(route.id);
    if (other === undefined) first.set(route.id, route);
    else routes.fail(['routes', index, 'id'], `{value} is the id of ${other.position} too`, 'unique ids', 'rename one');
  }
}

/** A route that any signed-in user may use is listed at start, and stops it under `require_authorization` (SPEC §8). */
function checkAuthorization({ routes }: CompileContext, compiled: readonly IndexedRoute[]): void {
  const bare = compiled.filter(({ route }) => {
    return (
      route.auth !== 'none' &&
      ![route.roles, route.groups, route.scopes, route.allowIps].some((rule) => rule.length > 0)
    );
  });
  if (routes.sections.require_authorization !== true) {
    const ids = bare.map(({ route }) => route.id).join(', ');
    if (ids !== '') routes.warn(['routes'], `open to every signed-in user: ${ids}`);
    return;
  }
  for (const { index } of bare) {
    const fix = 'add one, or auth: none for a public route';
    routes.fail(
      ['routes', index],
      'no rule, but require_authorization is true',
      'roles, groups, scopes or allow_ips',
      fix,
    );
  }
}
