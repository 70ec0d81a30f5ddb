import { hasFeature } from './features.ts';
import { type Instance, InstanceRefused } from './instance.ts';
import type { Lab } from './lab.ts';
import { requestBytes } from './raw-client.ts';
import { GATEWAY_ADDRESS } from './world.ts';

/** The allow-list of the files; the app host's own origin is always allowed. */
export const ALLOWED_ORIGINS: readonly string[] = ['https://app.example.test', 'https://admin.apps.example.test'];

/** The server of this family. */
export type CsrfWorld = {
  readonly instance: Instance;
  /** The same in CSRF mode `token`. */
  readonly byToken: Instance;
  /** Accepts bearer tokens beside cookies. */
  readonly bearer: Instance;
  /** Whether bearer tokens pass through the proxy; otherwise they are played at verify. */
  readonly proxiesBearer: boolean;
  /** Why a path cannot be played in this version, or undefined. */
  missing(path: string, isHandshake: boolean): string | undefined;
  close(): Promise<void>;
};

/** Find out what this version has, and start the instances. */
export async function createCsrfWorld(lab: Lab): Promise<CsrfWorld> {
  const hasWebSockets = hasFeature('routes.yaml', 'routes.*.websocket');
  const hasTelemetry = hasFeature('settings.yaml', 'telemetry_sink.enabled');
  const start = (
    auth: string,
    service: string | undefined,
    csrfMode: 'header' | 'token' = 'header',
  ): Promise<Instance> =>
    lab.world.instance({
      csrfMode,
      origins: ALLOWED_ORIGINS.slice(1),
      telemetry: hasTelemetry,
      routes: routesTo(lab.world.echo.url, { auth, service, hasWebSockets }),
      ...(auth === 'any' ? { bearerAlgs: ['ES256'] } : {}),
    });
  const instance = await start('session', 'echo');
  const proxied = await start('any', 'echo').catch((error: unknown) => {
    if (error instanceof InstanceRefused) return undefined;
    throw error;
  });
  const hasRefresh = await knows(instance, '/auth/refresh');
  return {
    instance,
    byToken: await start('session', 'echo', 'token'),
    bearer: proxied ?? (await start('any', undefined)),
    proxiesBearer: proxied !== undefined,
    missing(path, isHandshake) {
      if (isHandshake && !hasWebSockets) return 'WebSocket routes are not available in this version';
      if (path.startsWith('/auth/refresh') && !hasRefresh) return '/auth/refresh is not available in this version';
      if (path.startsWith('/api/v1/metrics') && !hasTelemetry)
        return 'the telemetry sink is not available in this version';
      return undefined;
    },
    // The lab's world closes its instances.
    close: () => Promise.resolve(),
  };
}

/** An address of ours is known if it answers anything but 404 to a method that nothing has. */
async function knows(instance: Instance, path: string): Promise<boolean> {
  const bytes = requestBytes('DELETE', path, [['host', 'app.example.test']]);
  const [response] = (await instance.send(bytes, GATEWAY_ADDRESS)).responses;
  return response !== undefined && response.status !== 404;
}

type Table = { readonly auth: string; readonly service: string | undefined; readonly hasWebSockets: boolean };

function routesTo(url: string, { auth, service, hasWebSockets }: Table): object {
  const target = service === undefined ? {} : { target_service: service };
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
  const route = (id: string, rest: object): object => ({
    ...{ id, hosts: ['app.example.test'], paths: [`/api/${id}/*`], methods, auth },
    ...target,
    ...rest,
  });
  const socket = route('users-ws', { paths: ['/api/users/ws'], methods: ['GET'], websocket: { idle: '60s' } });
  const table = [
    route('public', { auth: 'none' }),
    route('users', {}),
    route('files', {}),
    route('admin', { roles: ['admin'] }),
  ];
  return {
    version: 1,
    services: { echo: { urls: [url], token: { source: 'session' } } },
    routes: hasWebSockets && service !== undefined && auth === 'session' ? [...table, socket] : table,
  };
}
