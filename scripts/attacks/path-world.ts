import { type EchoService, startEcho } from './echo.ts';
import type { Instance } from './instance.ts';
import type { Lab } from './lab.ts';
import { USERS } from './world.ts';

/** Routes of the sample table of SECURITY section 0, each with a service of its own. */
const PATH_ROUTES = ['public', 'users', 'files', 'admin'] as const;

/** One of them. */
export type PathRoute = (typeof PATH_ROUTES)[number];

/** The sample table with a service for each route, so that the service that is reached tells which route matched. */
export type PathWorld = {
  readonly instance: Instance;
  readonly services: ReadonlyMap<PathRoute, EchoService>;
  /** A session that every route lets pass. */
  readonly entitled: string;
  /** A session without the role that the admin route asks for. */
  readonly ordinary: string;
  forget(): void;
  close(): Promise<void>;
};

/** Start the services and the instance; verify refuses what no route matches. */
export async function createPathWorld(lab: Lab): Promise<PathWorld> {
  const services = new Map<PathRoute, EchoService>();
  for (const route of PATH_ROUTES) services.set(route, await startEcho());
  const instance = await lab.world.instance({
    unmatched: 'deny',
    telemetry: true,
    routes: { version: 1, services: serviceList(services), routes: PATH_ROUTES.map(routeOf) },
  });
  const sessions = lab.sessionsOf(instance);
  return {
    instance,
    services,
    entitled: await sessions(USERS.admin),
    ordinary: await sessions(USERS.first),
    forget() {
      for (const service of services.values()) service.forget();
    },
    async close() {
      for (const service of services.values()) await service.close();
    },
  };
}

function serviceList(services: ReadonlyMap<PathRoute, EchoService>): object {
  const entries = [...services].map(([name, { url }]) => [name, { urls: [url], token: { source: 'session' } }]);
  return Object.fromEntries(entries) as object;
}

function routeOf(name: PathRoute): object {
  return {
    id: name,
    hosts: ['app.example.test'],
    paths: [`/api/${name}/*`],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    target_service: name,
    auth: name === 'public' ? 'none' : 'session',
    ...(name === 'admin' ? { roles: ['admin'] } : {}),
  };
}
