import type { App, Handler } from './core/app.ts';
import type { Http2App, Http2Handler } from './core/app-http2.ts';
import { SallyportError } from './core/errors.ts';
import type { Reply } from './core/problem.ts';
import { compilePublicHandler } from './endpoints.ts';
import { createParts, type Ground, type Parts } from './parts.ts';
import { createProxy } from './proxy/proxy.ts';
import { createReadiness, type Readiness } from './readiness.ts';
import { answerVerify, compileVerifyPaths, type VerifyEndpointServices } from './verify-endpoint.ts';

/** Everything that one version of the configuration makes; listeners outlive it (D-43). */
export type Generation = {
  readonly parts: Parts;
  readonly readiness: Readiness;
  /** Handlers of the listeners, bound to them. */
  public(app: App): Handler;
  verify(app: App): Handler;
  verifyH2(app: Http2App): Http2Handler;
  admin(app: App): Handler;
  /** End connections that no generation in `others` uses. Requests under way through them fail. */
  close(others: readonly Generation[]): Promise<void>;
};

/** Make a generation. @param previous what has not changed is taken over from it: store, providers, counters. */
export function createGeneration(ground: Ground, previous?: Generation): Generation {
  const parts = createParts(ground, previous?.parts);
  const readiness = createReadiness(parts.store, parts.idps);
  const { config, replies, metrics } = parts.app;
  const proxy = createProxy({
    ...parts.verify,
    replies,
    log: ground.log,
    metrics,
    changes: parts.store.changes,
    tokenCookies: parts.flows.tokenCookies,
  });
  const sessionCookies = new Map([...parts.flows.cookies].map(([name, cookies]) => [name, cookies.session]));
  const services: VerifyEndpointServices = { verify: parts.verify, replies, metrics, sessionCookies };
  const { verify, verifyH2 } = config.listen;
  return {
    parts,
    readiness,
    public: compilePublic(parts, readiness, proxy.handle, services),
    verify: compileVerify(parts, services, verify?.trustedPeers === 'all'),
    verifyH2: compileVerify(parts, services, verifyH2?.trustedPeers === 'all'),
    admin: compileAdmin(parts, readiness),
    async close(others) {
      await proxy.close();
      await parts.close(others.map((other) => other.parts));
    },
  };
}

type ProxyHandle = ReturnType<typeof createProxy>['handle'];

/** The browser's listener. Verify is answered here only where it has no listener of its own (D-01). */
function compilePublic(
  parts: Parts,
  readiness: Readiness,
  proxy: ProxyHandle,
  services: VerifyEndpointServices,
): Generation['public'] {
  const { paths, listen } = parts.app.config;
  const { flows, origin, trusted } = parts;
  const handle = compilePublicHandler({ flows, origin, trusted, readiness: readiness.read, proxy });
  const kindOf = compileVerifyPaths(paths);
  const sharesVerify = listen.verify === undefined && listen.verifyH2 === undefined;
  return (app) => (exchange, req) => {
    const kind = kindOf(exchange.context.path);
    if (kind === 0) return handle(app, exchange, req);
    if (!sharesVerify) throw new SallyportError('not_found', { detail: 'verify has its own listener' });
    return answerVerify(app, exchange, { allPeersTrusted: false, shared: true, tail: kind === 2 }, services);
  };
}

/** The gateway's listeners: verify addresses and nothing else. */
function compileVerify(
  parts: Parts,
  services: VerifyEndpointServices,
  allPeersTrusted: boolean,
): Generation['verify'] & Generation['verifyH2'] {
  const kindOf = compileVerifyPaths(parts.app.config.paths);
  const handle: Generation['verify'] & Generation['verifyH2'] =
    <E extends Parameters<typeof answerVerify>[1]>(app: Parameters<typeof answerVerify<E>>[0]) =>
    (exchange: E) => {
      const kind = kindOf(exchange.context.path);
      if (kind === 0) throw new SallyportError('not_found', { detail: 'only verify is served here' });
      answerVerify(app, exchange, { allPeersTrusted, shared: false, tail: kind === 2 }, services);
    };
  return handle;
}

/** The operator's listener: metrics and readiness. */
function compileAdmin(parts: Parts, readiness: Readiness): Generation['admin'] {
  const { config, metrics } = parts.app;
  return (app) => async (exchange) => {
    const { method, path } = exchange.context;
    if (method !== 'GET' && method !== 'HEAD') {
      throw new SallyportError('method_not_allowed', { headers: [['allow', 'GET, HEAD']] });
    }
    if (path === '/readyz') {
      const { ready, body } = readiness.read();
      return app.reply(exchange, plain(ready ? 200 : 503, 'application/json', JSON.stringify(body)));
    }
    if (path !== '/metrics' || !config.metrics.enabled) throw new SallyportError('not_found');
    return app.reply(exchange, plain(200, 'text/plain; version=0.0.4; charset=utf-8', await metrics.exposition()));
  };
}

function plain(status: number, type: string, body: string): Reply {
  return { status, headers: [['content-type', type]], body };
}
