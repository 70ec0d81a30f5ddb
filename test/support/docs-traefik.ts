import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDemoProvider } from '../../src/cli/demo/provider.ts';
import { startServer } from '../../src/cli/serve.ts';
import { loadConfig } from '../../src/core/config/load.ts';
import { createLog } from '../../src/core/log.ts';
import { readProject } from './docs.ts';
import { getPart } from './parts.ts';
import { findFreePorts } from './ports.ts';
import type { CookieJar } from './provider.ts';
import { until } from './until.ts';

/** The host of the examples. */
export const EXAMPLE_HOST = 'app.example.com';

/** A small server that answers 200 with its name and notes what it received. */
export type NamedServer = {
  readonly url: string;
  /** Headers of the last request. */
  last(): IncomingMessage['headers'] | undefined;
  close(): Promise<void>;
};

/** Start one on a free loopback port. */
export async function startNamedServer(name: string): Promise<NamedServer> {
  let last: IncomingMessage['headers'] | undefined;
  const server: Server = createServer((request, response) => {
    last = request.headers;
    response.end(name);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    last: () => last,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Sallyport with docs/examples/config, and the provider it signs in at. */
export type ExampleBackend = { readonly publicUrl: string; readonly verifyUrl: string; close(): Promise<void> };

/** Start both on free loopback ports; nothing of the example but addresses and ports is changed. */
export async function startExampleBackend(apiUrl: string): Promise<ExampleBackend> {
  const origin = `https://${EXAMPLE_HOST}`;
  const client = {
    client_id: 'example',
    client_secret: 'a-client-secret-of-the-example',
    token_endpoint_auth_method: 'client_secret_basic',
    redirect_uris: [`${origin}/auth/callback`],
    post_logout_redirect_uris: [`${origin}/auth/login`],
  } as const;
  const provider = await startDemoProvider({
    port: 0,
    clients: [{ ...client, redirect_uris: [...client.redirect_uris] }],
  });
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-docs-'));
  try {
    await writeFile(join(directory, 'settings.yaml'), onLoopback(readProject('docs/examples/config/settings.yaml')));
    for (const name of ['idps.yaml', 'routes.yaml']) {
      await writeFile(join(directory, name), readProject(`docs/examples/config/${name}`));
    }
    const config = loadConfig({
      directory,
      environment: {
        SALLYPORT_PUBLIC_URL: origin,
        SALLYPORT_PORT: '0',
        SALLYPORT_SEAL_KEY: 'kJ0sTQv3m2Yw8bZ1rXn4LcA7uHdE6pGf9oIiSxVyBQM',
        SALLYPORT_TRUSTED_PROXIES: 'loopback',
        OIDC_ISSUER: provider.issuer,
        OIDC_CLIENT_ID: client.client_id,
        OIDC_CLIENT_SECRET: client.client_secret,
        REDIS_URL: '',
        API_URL: apiUrl,
      },
    });
    const quick = { ...config, shutdown: { unreadyMs: 0, drainMs: 2_000 } };
    const server = await startServer({ config: quick, log: createLog({ level: 'silent' }) });
    const publicUrl = `http://127.0.0.1:${server.publicPort}`;
    await until(async () => (await fetch(`${publicUrl}/readyz`)).status === 200, 'ready');
    return {
      publicUrl,
      verifyUrl: `http://127.0.0.1:${server.verifyPort}/auth/verify`,
      async close() {
        await server.close();
        await provider.close();
      },
    };
  } catch (error) {
    await provider.close();
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function onLoopback(settings: string): string {
  const moved = settings
    .replaceAll('0.0.0.0', '127.0.0.1')
    .replace('port: 8081', 'port: 0')
    .replace('port: 9090', 'port: 0');
  if (moved.match(/port: 0/g)?.length !== 2) throw new Error('the example no longer has the ports 8081 and 9090');
  return moved;
}

/** A real Traefik with a configuration of the documentation. */
export type ExampleTraefik = {
  readonly web: number;
  readonly websecure: number;
  /** Routers, middlewares or services as Traefik's API reports them. */
  report(kind: 'routers' | 'middlewares' | 'services'): Promise<readonly ApiEntry[]>;
  log(): string;
  close(): Promise<void>;
};

/** What the API says of one entry. */
export type ApiEntry = { readonly name: string; readonly status?: string; readonly error?: readonly string[] };

/**
 * Start Traefik with command-line flags and a dynamic configuration, on free loopback ports.
 * @param flags static configuration without addresses of entry points and without providers.
 */
export async function startExampleTraefik(flags: readonly string[], dynamic: object): Promise<ExampleTraefik> {
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-docs-traefik-'));
  const file = join(directory, 'dynamic.yml');
  await writeFile(file, JSON.stringify(dynamic));
  const web = await findFreePorts(3);
  const own = [
    `--entryPoints.web.address=127.0.0.1:${web}`,
    `--entryPoints.websecure.address=127.0.0.1:${web + 1}`,
    `--entryPoints.traefik.address=127.0.0.1:${web + 2}`,
    '--entryPoints.web.transport.lifeCycle.graceTimeOut=100ms',
    '--entryPoints.websecure.transport.lifeCycle.graceTimeOut=100ms',
    '--entryPoints.traefik.http.aliasHeadersStrategy=delete',
    '--api.insecure=true',
    '--log.noColor=true',
    '--log.level=WARN',
    `--providers.file.filename=${file}`,
  ];
  const child = spawn(getPart('traefik'), [...flags, ...own], { stdio: ['ignore', 'pipe', 'pipe'], cwd: directory });
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const report = async (kind: string): Promise<readonly ApiEntry[]> => {
    const response = await fetch(`http://127.0.0.1:${web + 2}/api/http/${kind}`);
    return (await response.json()) as ApiEntry[];
  };
  const close = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const isReady = async (): Promise<boolean> => {
      if (child.exitCode !== null) throw new Error(`Traefik ended: ${log}`);
      return (await report('routers').catch(() => [])).some(({ name }) => name === 'spa@file');
    };
    await until(isReady, 'Traefik has read its routers', 15_000);
  } catch (error) {
    await close();
    throw error;
  }
  return { web, websecure: web + 1, report, log: () => log, close };
}

/** An answer that came through Traefik. */
export type Answer = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly body: string };

/** One https request to the example's host through Traefik; keeps and sends the jar's cookies, follows nothing. */
export function visit(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  jar?: CookieJar,
  method = 'GET',
): Promise<Answer> {
  const cookie = [...(jar?.cookies ?? [])].map(([name, value]) => `${name}=${value}`).join('; ');
  const all = { host: EXAMPLE_HOST, ...(cookie === '' ? {} : { cookie }), ...headers };
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method, headers: all, servername: EXAMPLE_HOST, agent: false };
    // Traefik's certificate is one that it makes for itself here.
    const outgoing = httpsRequest({ ...options, rejectUnauthorized: false }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        for (const line of incoming.headers['set-cookie'] ?? []) keepCookie(jar, line);
        const body = Buffer.concat(chunks).toString('utf8');
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body });
      });
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

function keepCookie(jar: CookieJar | undefined, line: string): void {
  const pair = line.split(';')[0] ?? '';
  const name = pair.slice(0, pair.indexOf('='));
  if (line.includes('Max-Age=0')) jar?.cookies.delete(name);
  else jar?.cookies.set(name, pair.slice(name.length + 1));
}
