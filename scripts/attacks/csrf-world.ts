import { AUDIENCE, type Instance } from './instance.ts';
import type { Lab } from './lab.ts';

/** The allow-list of the files; the app host's own origin is always allowed. */
export const ALLOWED_ORIGINS: readonly string[] = ['https://app.example.test', 'https://admin.apps.example.test'];

/** The server of this family. */
export type CsrfWorld = {
  readonly instance: Instance;
  /** The same in CSRF mode `token`. */
  readonly byToken: Instance;
  /** Accepts bearer tokens beside cookies. */
  readonly bearer: Instance;
  close(): Promise<void>;
};

/** Start the instances. */
export async function createCsrfWorld(lab: Lab): Promise<CsrfWorld> {
  const start = (auth: 'session' | 'any', csrfMode: 'header' | 'token' = 'header'): Promise<Instance> =>
    lab.world.instance({
      csrfMode,
      origins: ALLOWED_ORIGINS.slice(1),
      telemetry: true,
      routes: routesTo(lab.world.echo.url, auth),
      ...(auth === 'any' ? { bearerAlgs: ['ES256'] } : {}),
    });
  return {
    instance: await start('session'),
    byToken: await start('session', 'token'),
    bearer: await start('any'),
    // The lab's world closes its instances.
    close: () => Promise.resolve(),
  };
}

function routesTo(url: string, auth: 'session' | 'any'): object {
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
  const route = (id: string, rest: object): object => ({
    ...{ id, hosts: ['app.example.test'], paths: [`/api/${id}/*`], methods, auth },
    target_service: 'echo',
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
    services: {
      echo: { urls: [url], ...(auth === 'any' ? { audience: AUDIENCE } : {}), token: { source: 'session' } },
    },
    routes: auth === 'session' ? [...table, socket] : table,
  };
}
