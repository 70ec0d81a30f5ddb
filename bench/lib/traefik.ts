import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AUTH_REQUEST_HEADERS, AUTH_RESPONSE_HEADERS } from '../../src/cli/demo/traefik-config.ts';
import { getPart } from '../../test/support/parts.ts';
import type { Lab } from './lab.ts';
import { askOnce } from './once.ts';
import { type Running, SERVER_CORE, startProgram, whenListening } from './process.ts';
import { requestText } from './requests.ts';

const ROUTES_MS = 10_000;

/** What stands in front of what. */
export type TraefikOptions = {
  /** Its own port. */
  readonly entry: number;
  /** Port of the service behind. */
  readonly service: number;
  /** ForwardAuth's address, with the CA of an https one; undefined = nobody is asked. */
  readonly verify: { readonly address: string; readonly caFile?: string } | undefined;
};

/** Start Traefik on the server's core: one router, one ForwardAuth, one service. */
export async function startTraefik(lab: Lab, options: TraefikOptions): Promise<Running> {
  const folder = lab.subfolder('traefik');
  const dynamic = join(folder, 'dynamic.json');
  const main = join(folder, 'traefik.json');
  writeFileSync(dynamic, JSON.stringify(dynamicConfig(options)));
  writeFileSync(
    main,
    JSON.stringify({
      global: { checkNewVersion: false, sendAnonymousUsage: false },
      log: { level: 'ERROR' },
      entryPoints: { web: { address: `127.0.0.1:${options.entry}` } },
      providers: { file: { filename: dynamic, watch: false } },
    }),
  );
  const running = startProgram(getPart('traefik'), [`--configFile=${main}`], {
    core: SERVER_CORE,
    env: { GOMAXPROCS: '1' },
  });
  await whenListening(options.entry, running);
  await whenRouting(options.entry);
  return running;
}

/** It listens before it has read its routes, and answers 404 until then. */
async function whenRouting(port: number): Promise<void> {
  for (const end = performance.now() + ROUTES_MS; performance.now() < end; await sleep(20)) {
    const { status } = await askOnce(port, requestText('/', [], `localhost:${port}`));
    if (status !== 404) return;
  }
  throw new Error('Traefik knows no route');
}

function dynamicConfig({ service, verify }: TraefikOptions): object {
  const tls = verify?.caFile === undefined ? {} : { tls: { ca: verify.caFile } };
  const middlewares =
    verify === undefined
      ? {}
      : {
          middlewares: {
            ask: {
              forwardAuth: {
                address: verify.address,
                trustForwardHeader: false,
                authRequestHeaders: AUTH_REQUEST_HEADERS,
                authResponseHeaders: AUTH_RESPONSE_HEADERS,
                maxResponseBodySize: 65_536,
                ...tls,
              },
            },
          },
        };
  const asks = verify === undefined ? {} : { middlewares: ['ask'] };
  return {
    http: {
      routers: { all: { entryPoints: ['web'], rule: 'PathPrefix(`/`)', service: 'behind', ...asks } },
      services: { behind: { loadBalancer: { servers: [{ url: `http://127.0.0.1:${service}` }] } } },
      ...middlewares,
    },
  };
}
