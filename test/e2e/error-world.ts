import { type ProviderLab, startProviderLab } from '../faults/provider-lab.ts';
import {
  answerJson,
  garbage,
  hang,
  type MisbehavingService,
  startMisbehavingService,
} from '../support/misbehaving-service.ts';
import { findFreePorts } from '../support/ports.ts';
import { createMovableClock, type MovableClock, startTestServer, type TestServer } from '../support/test-server.ts';

/** Audience of the access tokens that are accepted. */
export const AUDIENCE = 'https://api.example.test';

/** The servers, the provider and the service that errors are produced with. */
export type ErrorWorld = {
  readonly clock: MovableClock;
  readonly lab: ProviderLab;
  readonly service: MisbehavingService;
  /** A server whose store cannot be reached. */
  readonly storeless: TestServer;
  /** A server that answers one request at a time. */
  readonly narrow: TestServer;
  close(): Promise<void>;
};

type Closer = { close(): Promise<void> };

/** Start everything. */
export async function startErrorWorld(): Promise<ErrorWorld> {
  const started: Closer[] = [];
  const keep = <T extends Closer>(part: T): T => {
    started.unshift(part);
    return part;
  };
  const close = async (): Promise<void> => {
    for (const part of started) await part.close();
  };
  try {
    return { ...(await startParts(keep)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startParts(keep: <T extends Closer>(part: T) => T): Promise<Omit<ErrorWorld, 'close'>> {
  const clock = createMovableClock();
  const service = keep(await startMisbehavingService(answerJson({ ok: true })));
  prepareService(service);
  const closedPort = await findFreePorts(1);
  const expectedErrors = ['internal_error', 'idp_unavailable', 'store_unavailable', 'token_audience_mismatch'];
  const routes = routesTo(service.url, closedPort);
  const lab = keep(
    await startProviderLab({
      clock,
      expectedErrors,
      routes: { ...routes, routes: [...routes.routes, { id: 'any', paths: ['/api/any'], auth: 'any' }] },
      idp: { userinfo: true, audiences: { accept: [AUDIENCE] } },
      bearer: bearerTokensOf,
    }),
  );
  const idps = lab.provider.idps();
  const redis = { mode: 'single', url: `redis://127.0.0.1:${closedPort}`, connect_timeout: '200ms' };
  const settings = { store: { kind: 'redis', redis } };
  const storeless = keep(await startTestServer({ idps, settings, expectedErrors }));
  const narrow = keep(await startTestServer({ idps, routes, settings: { limits: { requests_in_flight: 1 } } }));
  return { clock, lab, service, storeless, narrow };
}

function bearerTokensOf(issuer: string): object {
  return { enabled: true, issuers: [{ issuer, provider: 'main', audiences: [AUDIENCE] }] };
}

function routesTo(
  url: string,
  closedPort: number,
): { readonly version: 1; readonly services: object; readonly routes: readonly object[] } {
  const timeouts = { headers: '300ms', body_idle: '10s' };
  const route = (path: string, service: string, rest: object = {}): object => {
    return { id: path.slice(5), paths: [path], target_service: service, auth: 'none', ...rest };
  };
  return {
    version: 1,
    services: {
      usual: { urls: [url], timeouts },
      tokenless: { urls: [url], require_all: ['never.granted'], token: { source: 'session' } },
      one_connection: { urls: [url], timeouts, pool: { connections: 1 } },
      closed: { urls: [`http://127.0.0.1:${closedPort}`] },
    },
    routes: [
      route('/api/echo', 'usual', { auth: 'session' }),
      route('/api/tokenless', 'tokenless', { auth: 'session' }),
      route('/api/guarded', 'usual', { allow_ips: ['10.0.0.0/8'] }),
      route('/api/limited', 'usual', { rate_limit: { average: 1, period: '1h', burst: 1, key: 'client_ip' } }),
      route('/api/closed', 'closed'),
      route('/api/garbage', 'usual'),
      route('/api/silent', 'usual'),
      route('/api/busy', 'one_connection'),
    ],
  };
}

function prepareService(service: MisbehavingService): void {
  service.on('/api/garbage', garbage());
  service.on('/api/silent', hang());
  service.on('/api/busy', (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.write('more follows');
  });
}
