import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectFolder } from '../../scripts/parts.js';
import { getPart } from '../../test/support/parts.ts';
import type { Lab } from './lab.ts';
import { askOnce } from './once.ts';
import { pickPorts, type Running, SERVER_CORE, startProgram, whenListening } from './process.ts';
import { AUDIENCE, CLIENT } from './provider.ts';
import { PUBLIC_URL, requestText } from './requests.ts';

const READY_MS = 20_000;

/** How one server differs from the usual one. */
export type SallyportOptions = {
  /** Members of settings.yaml, replaced as a whole. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Further listeners. */
  readonly listen?: Readonly<Record<string, unknown>>;
  readonly routes?: Readonly<Record<string, unknown>>;
  /** Accept bearer tokens of the lab's provider; off by default, as in the program. */
  readonly bearer?: boolean;
  /** Arguments of Node before the program, e.g. for a profile. */
  readonly node?: readonly string[];
  readonly core?: number | string;
  /** Folder of a built package; the checkout if absent. */
  readonly program?: string;
};

/** A server under test: the shipped program with its own configuration files. */
export type Sallyport = {
  readonly publicPort: number;
  readonly verifyPort: number;
  readonly adminPort: number;
  /** Where its files are. */
  readonly folder: string;
  readonly pid: number;
  output(): string;
  stop(): Promise<void>;
};

/** Write the configuration; returns its folder and ports. Everything that is not set here has its default. */
export async function writeConfiguration(
  lab: Lab,
  { settings = {}, listen = {}, routes, bearer = false }: SallyportOptions,
) {
  const folder = lab.subfolder('sallyport');
  const port = pickPorts(3);
  const at = (offset: number): object => ({ address: '127.0.0.1', port: port + offset });
  const all = {
    version: 1,
    sites: { main: { public_url: PUBLIC_URL } },
    listen: { public: at(0), verify: at(1), admin: at(2), ...listen },
    trusted_proxies: ['loopback'],
    keys: { seal: [{ id: 'k1', secret: lab.sealSecret }] },
    session: { idle: '2h', absolute: '12h' },
    store: { kind: 'redis', redis: { url: lab.redis.url } },
    shutdown: { unready: '0s', drain: '1s' },
    log: { level: 'error' },
    ...settings,
  };
  writeFileSync(join(folder, 'settings.yaml'), JSON.stringify(all));
  writeFileSync(join(folder, 'idps.yaml'), JSON.stringify(providersFile(lab.provider.issuer, bearer)));
  if (routes !== undefined) writeFileSync(join(folder, 'routes.yaml'), JSON.stringify({ version: 1, ...routes }));
  return { folder, publicPort: port, verifyPort: port + 1, adminPort: port + 2 };
}

/** Start the program on the server's core and wait until it is ready. */
export async function startSallyport(lab: Lab, options: SallyportOptions = {}): Promise<Sallyport> {
  const { folder, ...ports } = await writeConfiguration(lab, options);
  const running = runSallyport(folder, options);
  await whenListening(ports.adminPort, running);
  await whenReady(ports.adminPort, running);
  return { ...ports, folder, pid: running.pid, output: running.output, stop: running.stop };
}

/** Store reached and provider known. */
async function whenReady(adminPort: number, running: Running): Promise<void> {
  for (const end = performance.now() + READY_MS; performance.now() < end; await sleep(20)) {
    if ((await askOnce(adminPort, requestText('/readyz', []))).status === 200) return;
  }
  await running.stop();
  throw new Error(`not ready within ${READY_MS} ms:\n${running.output()}`);
}

/** Start the program without waiting for it. */
export function runSallyport(folder: string, options: SallyportOptions = {}): Running {
  const { node = [], core = SERVER_CORE, program: home = projectFolder } = options;
  const program = join(home, 'bin/sallyport.js');
  return startProgram(nodeProgram(), [...node, program, 'serve', '--config', folder], { core });
}

/** The pinned Node, by its binary: a script in between would be a process of its own. */
export function nodeProgram(): string {
  return join(getPart('node'), 'bin/node');
}

function providersFile(issuer: string, bearer: boolean): object {
  return {
    version: 1,
    providers: {
      main: {
        issuer,
        client_id: CLIENT.id,
        client_auth: { method: 'client_secret_basic', secret: CLIENT.secret },
        scopes: ['openid', 'profile', 'email'],
      },
    },
    bearer: { enabled: bearer, issuers: [{ issuer, provider: 'main', audiences: [AUDIENCE] }] },
  };
}
