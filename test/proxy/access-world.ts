import assert from 'node:assert/strict';
import { DEMO_API_AUDIENCE } from '../../src/cli/demo/provider-config.ts';
import {
  call,
  codeOf,
  type ProxyWorld,
  startProxyWorld,
  startService,
  type TestAnswer,
  type TestCall,
  type TestService,
} from './world.ts';

/** Request headers of a test. */
export type Headers = Record<string, string>;

/** An origin on the site's list, and one that is not. */
export const LISTED = 'https://listed.example.test';
export const EVIL = 'https://evil.example.test';

/** An answer, and whether the service saw the request. */
export type Asked = TestAnswer & { readonly reached: boolean };

/** A world with one route for each kind of access, a service that answers 200, and two users who are signed in. */
export type AccessWorld = {
  readonly world: ProxyWorld;
  readonly service: TestService;
  /** Cookie headers. */
  readonly alice: string;
  readonly bob: string;
  ask(path: string, headers?: Headers, rest?: Partial<TestCall>): Promise<Asked>;
  close(): Promise<void>;
};

/** Start it. Below `/v1/` the service answers with everything that a service should not say. */
export async function startAccessWorld(): Promise<AccessWorld> {
  const service = await startService((incoming, response) => {
    if (incoming.url?.startsWith('/v1/') === true) {
      response.writeHead(302, {
        location: `http://127.0.0.1:${service.port}/v1/next?x=1`,
        'set-cookie': ['theme=dark; Path=/', 'bff_session=stolen', 'wide=1; Domain=127.0.0.1'],
        'access-control-allow-origin': '*',
        'cache-control': 'public, max-age=60',
        server: 'inner/1.0',
      });
    }
    incoming.resume().on('end', () => response.end('served'));
  });
  const none = { source: 'none' };
  const route = (id: string, rest: object): object => ({ id, target_service: 'api', paths: [`/${id}/*`], ...rest });
  const world = await startProxyWorld({
    services: {
      api: { urls: [service.url], audience: DEMO_API_AUDIENCE, token: { source: 'session' } },
      plain: { urls: [service.url], token: none },
    },
    routes: [
      route('api', { public: [{ method: 'GET', path: '/api/ping' }] }),
      route('open', { auth: 'none' }),
      route('maybe', { auth: 'optional' }),
      route('admin', { roles: ['admin'] }),
      route('away', { allow_ips: ['10.0.0.0/8'] }),
      route('here', { allow_ips: ['127.0.0.0/8'] }),
      route('page', { on_unauthenticated: 'login' }),
      route('quiet', { on_unauthenticated: '401' }),
      route('lax', { csrf: 'none' }),
      route('all', { csrf: 'all' }),
      route('anonymous', { identity_headers: false }),
      route('plain', { target_service: 'plain' }),
      route('old', { rewrite: { prefix: '/old', to: '/v1' } }),
      route('cached', { cache_control: 'upstream', rewrite: { prefix: '/cached', to: '/v1' } }),
      route('get', { methods: ['GET', 'POST'] }),
      { id: 'verify-only', paths: ['/verify-only/*'], auth: 'session' },
    ],
    settings: {
      identity_headers: {
        Authorization: { token: 'matched' },
        'X-Raw-Token': { token: 'matched', raw: true },
        'X-User-Id': { principal: 'user_id' },
        'X-User-Roles': { principal: 'roles', join: ',' },
      },
    },
  });
  const [alice, bob] = await Promise.all([world.signIn('alice'), world.signIn('bob')]);
  return {
    world,
    service,
    alice,
    bob,
    async ask(path, headers = {}, rest = {}) {
      const seen = service.seen.length;
      const answer = await call({ port: world.port, path, headers, ...rest });
      return { ...answer, reached: service.seen.length > seen };
    },
    async close() {
      await world.close();
      await service.close();
    },
  };
}

/** Status and code of a refusal. Errors: when the service saw the request. */
export function refusal(answer: Asked): string {
  assert.equal(answer.reached, false, 'the service saw a refused request');
  return `${answer.status} ${codeOf(answer)}`;
}
