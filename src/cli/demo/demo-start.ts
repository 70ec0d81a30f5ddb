import { loadConfig } from '../../core/config/load.ts';
import type { Config } from '../../core/config/types.ts';
import { createLog } from '../../core/log.ts';
import { startServer } from '../serve.ts';
import { startDemoApi } from './api.ts';
import { startDashboard } from './dashboard.ts';
import { createDemoClient, type DemoConfigInput, demoOrigin, writeDemoConfig } from './demo-config.ts';
import type { DemoOptions } from './demo-options.ts';
import { assertPortsFree, assignPorts, type DemoPorts } from './demo-ports.ts';
import { DEMO_USERS, type DemoProvider, type DemoProviderOptions, startDemoProvider } from './provider.ts';
import { DEMO_API_AUDIENCE, DEMO_REPORTS_AUDIENCE } from './provider-config.ts';
import { startStaticServer } from './static-server.ts';
import { findTraefik, startTraefik } from './traefik.ts';

/** What the demo says when it is ready; the members of the `--json` line, in this order. */
export type DemoInfo = {
  /** What users open. */
  readonly url: string;
  /** The same address when Traefik answers there, else null. */
  readonly traefik_url: string | null;
  readonly issuer: string;
  readonly user: string;
  readonly password: string;
  /** ForwardAuth, for gateways on this machine. */
  readonly verify_url: string;
  readonly admin_url: string;
  readonly pid: number;
};

/** A running demo. */
export type RunningDemo = {
  readonly info: DemoInfo;
  /** The provider, for tests that rotate its keys or look at its users. */
  readonly provider: DemoProvider;
  /** Why Traefik is absent although it was wanted; undefined otherwise. */
  readonly traefikMissing: boolean;
  /** Ends every part, the last started first, and removes every folder. */
  close(): Promise<void>;
};

type Closer = () => Promise<void>;

/**
 * Starts every part of the demo on loopback and waits until users can sign in.
 * `log` receives Sallyport's own log lines, `onTokenResponse` what the provider issues (tests look for it everywhere).
 * Errors: PortTakenError, the configuration's and Traefik's own errors;
 * parts started before the error are ended.
 */
export async function startDemo(
  options: Omit<DemoOptions, 'json'>,
  log: { write(line: string): unknown },
  environment: NodeJS.ProcessEnv = process.env,
  onTokenResponse?: DemoProviderOptions['onTokenResponse'],
): Promise<RunningDemo> {
  const binary = options.traefik ? findTraefik(environment) : undefined;
  const ports = assignPorts(options.port, binary !== undefined);
  await assertPortsFree(options.port);
  const closers: Closer[] = [];
  const close = (): Promise<void> => closeAll(closers.splice(0).reverse());
  try {
    const provider = await startParts(options, ports, closers, log, onTokenResponse);
    if (binary !== undefined) {
      const traefik = await startTraefik({ binary, ports: { entry: ports.front, ...ports } });
      closers.push(() => traefik.close());
    }
    const traefikMissing = options.traefik && binary === undefined;
    return { info: describe(ports, provider.issuer, binary !== undefined), provider, traefikMissing, close };
  } catch (error) {
    await close();
    throw error;
  }
}

// One part that fails to end must not keep the others alive.
async function closeAll(closers: readonly Closer[]): Promise<void> {
  const errors: unknown[] = [];
  for (const closer of closers) {
    await closer().catch((error: unknown) => errors.push(error));
  }
  if (errors.length > 0) {
    throw new AggregateError(errors, 'a part did not end cleanly');
  }
}

async function startParts(
  options: Omit<DemoOptions, 'json'>,
  ports: DemoPorts,
  closers: Closer[],
  log: { write(line: string): unknown },
  onTokenResponse: DemoProviderOptions['onTokenResponse'],
): Promise<DemoProvider> {
  const keep = <Part extends { close(): Promise<void> }>(part: Part): Part => {
    closers.push(() => part.close());
    return part;
  };
  const client = createDemoClient(ports);
  const hooks = onTokenResponse === undefined ? {} : { onTokenResponse };
  const provider = keep(
    await startDemoProvider({ port: ports.provider, clients: [client], showHints: true, ...hooks }),
  );
  keep(await startStaticServer({ port: ports.spa }));
  keep(await startDemoApi({ port: ports.api, issuer: provider.issuer, audience: DEMO_API_AUDIENCE }));
  keep(await startDemoApi({ port: ports.reports, issuer: provider.issuer, audience: DEMO_REPORTS_AUDIENCE }));
  keep(await startDashboard({ port: ports.dashboard }));
  const config = await loadDemoConfig({ ...options, ports, issuer: provider.issuer, client });
  const destination = { write: (line: string): void => void log.write(line) };
  keep(await startServer({ config, log: createLog({ level: options.logLevel }, destination) }));
  return provider;
}

async function loadDemoConfig(input: DemoConfigInput): Promise<Config> {
  const folder = await writeDemoConfig(input);
  try {
    return await loadConfig({ directory: folder.directory, environment: folder.environment });
  } finally {
    await folder.remove();
  }
}

function describe(ports: DemoPorts, issuer: string, withTraefik: boolean): DemoInfo {
  const [user] = DEMO_USERS;
  return {
    url: demoOrigin(ports),
    traefik_url: withTraefik ? demoOrigin(ports) : null,
    issuer,
    user: user?.username ?? '',
    password: user?.password ?? '',
    verify_url: `http://127.0.0.1:${ports.verify}/auth/verify`,
    admin_url: `http://127.0.0.1:${ports.admin}`,
    pid: process.pid,
  };
}
