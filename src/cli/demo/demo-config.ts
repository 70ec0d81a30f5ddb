import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DemoLogLevel } from './demo-options.ts';
import type { DemoPorts } from './demo-ports.ts';
import { DEMO_API_AUDIENCE, DEMO_REPORTS_AUDIENCE, type DemoClient } from './provider-config.ts';
import { DEMO_HOST } from './traefik-config.ts';

/** What the demo's configuration depends on. */
export type DemoConfigInput = {
  readonly ports: DemoPorts;
  readonly issuer: string;
  readonly client: DemoClient;
  readonly redisUrl: string | undefined;
  readonly logLevel: DemoLogLevel;
};

/** A configuration folder and the environment that its files are to be read with. */
export type DemoConfigFolder = {
  readonly directory: string;
  /** Holds the secrets of this run; none of them is written to a file. */
  readonly environment: Readonly<Record<string, string>>;
  /** Removes the folder. */
  remove(): Promise<void>;
};

/** The origin that users open. */
export function demoOrigin(ports: DemoPorts): string {
  return `http://${DEMO_HOST}:${ports.front}`;
}

/** The client that Sallyport is at the demo's provider, with a secret made for this run. */
export function createDemoClient(ports: DemoPorts): DemoClient & { readonly client_secret: string } {
  const origin = demoOrigin(ports);
  return {
    client_id: 'sallyport-demo',
    client_name: 'the Sallyport demo',
    client_secret: randomBytes(32).toString('base64url'),
    token_endpoint_auth_method: 'client_secret_basic',
    redirect_uris: [`${origin}/auth/callback`],
    post_logout_redirect_uris: [`${origin}/auth/login`],
    // Registering it is also what makes the provider put `sid` into ID tokens.
    backchannel_logout_uri: `${origin}/auth/backchannel-logout`,
    backchannel_logout_session_required: true,
  };
}

/**
 * Writes settings.yaml, idps.yaml and routes.yaml into a new folder that only this user can read.
 * Errors: file system errors; a folder made before the error is removed.
 */
export async function writeDemoConfig(input: DemoConfigInput): Promise<DemoConfigFolder> {
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-demo-'));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    for (const [name, text] of Object.entries(compileDemoConfig(input))) {
      await writeFile(join(directory, name), text, { mode: 0o600 });
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { directory, remove, environment: compileEnvironment(input) };
}

function compileEnvironment(input: DemoConfigInput): Record<string, string> {
  return {
    SALLYPORT_PUBLIC_URL: demoOrigin(input.ports),
    OIDC_ISSUER: input.issuer,
    OIDC_CLIENT_ID: input.client.client_id,
    OIDC_CLIENT_SECRET: input.client.client_secret ?? '',
    SALLYPORT_SEAL_KEY: randomBytes(32).toString('base64url'),
    ...(input.redisUrl === undefined ? {} : { REDIS_URL: input.redisUrl }),
  };
}

/** The three configuration files by name; secrets and addresses of the run come from the environment. */
export function compileDemoConfig(
  input: DemoConfigInput,
): Record<'settings.yaml' | 'idps.yaml' | 'routes.yaml', string> {
  return {
    'settings.yaml': settingsText(input),
    'idps.yaml': IDPS_TEXT,
    'routes.yaml': routesText(input.ports),
  };
}

function settingsText({ ports, redisUrl, logLevel }: DemoConfigInput): string {
  const store = redisUrl === undefined ? 'kind: memory' : 'kind: redis\n  redis:\n    url: ${REDIS_URL}';
  return `version: 1
sites:
  demo:
    public_url: \${SALLYPORT_PUBLIC_URL}
listen:
  public: {address: 127.0.0.1, port: ${ports.sallyport}}
  verify: {address: 127.0.0.1, port: ${ports.verify}}
  admin: {address: 127.0.0.1, port: ${ports.admin}}
trusted_proxies: [loopback]
insecure_http: true
keys:
  seal:
    - id: demo
      secret: \${SALLYPORT_SEAL_KEY}
session:
  exposed_claims: [sub, name, preferred_username, email, email_verified, roles, groups]
store:
  ${store}
verify:
  gateway: traefik
identity_headers:
  Authorization: {token: matched}
  X-User-Id: {principal: user_id}
  X-User-Username: {principal: username}
  X-User-Email: {principal: email}
  X-User-Role: {principal: roles, pick: first}
  X-User-Roles: {principal: roles, join: ","}
  X-Auth-Session: {session: public_id}
shutdown: {unready: 0s, drain: 2s}
log:
  level: ${logLevel}
`;
}

const IDPS_TEXT = `version: 1
default: demo
providers:
  demo:
    issuer: \${OIDC_ISSUER}
    client_id: \${OIDC_CLIENT_ID}
    client_auth:
      method: client_secret_basic
      secret: \${OIDC_CLIENT_SECRET}
    scopes: [openid, profile, email, offline_access, api.read]
    audiences:
      request: ["${DEMO_API_AUDIENCE}", "${DEMO_REPORTS_AUDIENCE}"]
    claims:
      user_id: [/sub]
      username: [/preferred_username]
      email: [/email]
      email_verified: [/email_verified]
      name: [/name]
      roles: [/roles]
      groups: [/groups]
`;

function routesText(ports: DemoPorts): string {
  return `version: 1
services:
  api:
    urls: ["http://127.0.0.1:${ports.api}"]
    audience: ${DEMO_API_AUDIENCE}
    token: {source: session}
  reports:
    urls: ["http://127.0.0.1:${ports.reports}"]
    audience: ${DEMO_REPORTS_AUDIENCE}
    scopes: [api.read]
    token: {source: refresh}
  dashboard:
    urls: ["http://127.0.0.1:${ports.dashboard}"]
    token: {source: session}
  spa:
    urls: ["http://127.0.0.1:${ports.spa}"]
    token: {source: none}
routes:
  - id: api
    paths: [/api/*]
    target_service: api
  - id: reports
    paths: [/api/reports/*]
    methods: [GET, HEAD]
    target_service: reports
  - id: upload
    paths: [/api/upload]
    methods: [POST]
    target_service: api
    max_body: 256MiB
  - id: echo-socket
    paths: [/api/echo-socket]
    methods: [GET]
    target_service: api
    websocket: {idle: 120s, counts_as_activity: true}
  - id: dashboard
    paths: [/dashboard/*]
    methods: [GET, HEAD]
    target_service: dashboard
  - id: spa
    paths: [/*]
    methods: [GET, HEAD]
    target_service: spa
    auth: none
    cache_control: upstream
`;
}
