import { App } from './core/app.ts';
import { SallyportError } from './core/errors.ts';
import type { Reply } from './core/problem.ts';
import { compilePublicHandler } from './endpoints.ts';
import { createParts, type Ground, type Parts } from './parts.ts';
import { createProxy } from './proxy/proxy.ts';
import { createReadiness, type Readiness } from './readiness.ts';
import { answerVerify, compileVerifyPaths, type VerifyEndpointServices } from './verify-endpoint.ts';

/** A running server. */
export type RunningServer = {
  readonly publicPort: number;
  readonly verifyPort: number | undefined;
  readonly adminPort: number | undefined;
  /** Drain and stop: not ready first, then no new connections, then the rest within the drain deadline (D-22). */
  close(): Promise<void>;
};

type Apps = { readonly public: App; readonly verify: App | undefined; readonly admin: App | undefined };
type Proxy = ReturnType<typeof createProxy>;

const DRAIN_POLL_MS = 20;

/** Wire the whole program and bind its listeners (see cli/serve.ts). */
export async function createServer(ground: Ground): Promise<RunningServer> {
  const { config, log } = ground;
  const parts = createParts(ground);
  const readiness = createReadiness(parts.store, parts.idps);
  const proxy = createProxy({ ...parts.verify, replies: parts.app.replies, log, metrics: parts.app.metrics });
  const apps = createApps(parts, readiness, proxy);
  const stop = async (): Promise<void> => {
    for (const app of [apps.public, apps.verify, apps.admin]) {
      app?.stopListening();
      app?.close();
    }
    await proxy.close();
    await parts.close();
  };
  try {
    const ports = await bind(apps, parts);
    log.info({ ...ports, files: config.files }, 'listening');
    return { ...ports, close: () => drain(apps, parts, readiness).then(stop) };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function bind(apps: Apps, { app: { config } }: Parts) {
  const { listen } = config;
  const publicPort = await apps.public.listen(listen.public.address, listen.public.port);
  const verifyPort = listen.verify && (await apps.verify?.listen(listen.verify.address, listen.verify.port));
  const adminPort = listen.admin && (await apps.admin?.listen(listen.admin.address, listen.admin.port));
  return { publicPort, verifyPort, adminPort };
}

async function drain(apps: Apps, { app: { config, metrics } }: Parts, readiness: Readiness): Promise<void> {
  readiness.drain();
  await sleep(config.shutdown.unreadyMs);
  for (const app of [apps.public, apps.verify, apps.admin]) app?.stopListening();
  const deadline = Date.now() + config.shutdown.drainMs;
  while (metrics.hot.inFlight > 0 && Date.now() < deadline) await sleep(DRAIN_POLL_MS);
}

function createApps(parts: Parts, readiness: Readiness, proxy: Proxy): Apps {
  const { config, replies, metrics } = parts.app;
  const sessionCookies = new Map([...parts.flows.cookies].map(([name, cookies]) => [name, cookies.session]));
  const services = { verify: parts.verify, replies, metrics, sessionCookies };
  return {
    public: createPublicApp(parts, readiness, proxy, services),
    verify: config.listen.verify === undefined ? undefined : createVerifyApp(parts, services),
    admin: config.listen.admin === undefined ? undefined : createAdminApp(parts, readiness),
  };
}

/** The browser's listener. Verify is answered here only where it has no listener of its own (D-01). */
function createPublicApp(parts: Parts, readiness: Readiness, proxy: Proxy, services: VerifyEndpointServices): App {
  const { config } = parts.app;
  const { flows, origin, trusted } = parts;
  const handle = compilePublicHandler({ flows, origin, trusted, readiness: readiness.read, proxy: proxy.handle });
  const kindOf = compileVerifyPaths(config.paths);
  const sharesVerify = config.listen.verify === undefined;
  const app: App = new App(parts.app, (exchange, req) => {
    const kind = kindOf(exchange.context.path);
    if (kind === 0) return handle(app, exchange, req);
    if (!sharesVerify) throw new SallyportError('not_found', { detail: 'verify has its own listener' });
    return answerVerify(app, exchange, { allPeersTrusted: false, shared: true, tail: kind === 2 }, services);
  });
  return app;
}

/** The gateway's listener: verify addresses and nothing else. */
function createVerifyApp(parts: Parts, services: VerifyEndpointServices): App {
  const { config } = parts.app;
  const allPeersTrusted = config.listen.verify?.trustedPeers === 'all';
  const kindOf = compileVerifyPaths(config.paths);
  const app: App = new App(parts.app, (exchange) => {
    const kind = kindOf(exchange.context.path);
    if (kind === 0) throw new SallyportError('not_found', { detail: 'only verify is served here' });
    answerVerify(app, exchange, { allPeersTrusted, shared: false, tail: kind === 2 }, services);
  });
  return app;
}

/** The operator's listener: metrics and readiness. */
function createAdminApp(parts: Parts, readiness: Readiness): App {
  const { config, metrics } = parts.app;
  const app: App = new App(parts.app, async (exchange) => {
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
  });
  return app;
}

function plain(status: number, type: string, body: string): Reply {
  return { status, headers: [['content-type', type]], body };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
