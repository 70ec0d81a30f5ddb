import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { KEYCLOAK_USERS, type KeycloakClient, makeRealm, REALM } from './keycloak-realm.ts';
import { getPart } from './parts.ts';
import { type CookieJar, fetchWithJar } from './provider.ts';

/** A real Keycloak on loopback with one realm. */
export type TestKeycloak = {
  /** Issuer of the realm: `http://127.0.0.1:PORT/realms/sallyport`. */
  readonly issuer: string;
  /** Adds a client and returns its internal id; missing members are Keycloak's defaults. @throws Error if it is refused */
  addClient(client: KeycloakClient): Promise<string>;
  /** Its Admin API below `/admin/realms/sallyport`. @throws Error when the answer is no success */
  admin(path: string, method?: 'GET' | 'POST' | 'PUT' | 'DELETE', body?: unknown): Promise<Response>;
  /** Everything it printed. */
  log(): string;
  stop(): Promise<void>;
};

/** Where the sign-in has led: an address of the client, and the form if the answer comes by POST. */
export type KeycloakAnswer = { readonly url: URL; readonly form: URLSearchParams | undefined };

const START_MAX_MS = 170_000;
const STOP_MAX_MS = 10_000;
/** It lives a minute. */
const ADMIN_TOKEN_KEPT_MS = 30_000;
const LISTENING = /Listening on: (http:\/\/[\d.:]+)\. Management interface listening on (http:\/\/[\d.:]+)\./;
const ADMIN = { user: 'admin', password: 'keycloak-of-a-test' };
/** Less optimization by the JVM: a test ends before that would pay. */
const JVM = { JAVA_OPTS_KC_HEAP: '-Xms128m -Xmx512m', JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1' };

/**
 * Start Keycloak with an empty database in memory, and the realm of `keycloak-realm.ts` in it. Takes about 20 s of two
 * cores, so a test process starts it once. A test asks for the part first: `skipWithout('keycloak', 'java')`.
 */
export async function startKeycloak(): Promise<TestKeycloak> {
  const server = spawnKeycloak();
  let base: string;
  try {
    base = await whenServing(server);
    await request(`${base}/admin/realms`, await fetchAdminToken(base), 'POST', makeRealm());
  } catch (error) {
    await server.stop();
    throw error;
  }
  let token = Promise.resolve('');
  let fetchedAt = Number.NEGATIVE_INFINITY;
  const admin: TestKeycloak['admin'] = async (path, method = 'GET', body) => {
    if (performance.now() - fetchedAt >= ADMIN_TOKEN_KEPT_MS) {
      fetchedAt = performance.now();
      token = fetchAdminToken(base);
    }
    return request(`${base}/admin/realms/${REALM}${path}`, await token, method, body);
  };
  return {
    issuer: `${base}/realms/${REALM}`,
    async addClient(client) {
      const created = await admin('/clients', 'POST', client);
      return created.headers.get('location')?.split('/').at(-1) ?? '';
    },
    admin,
    log: server.log,
    stop: server.stop,
  };
}

/**
 * Walks Keycloak's pages from an authorization URL as a person would until they lead back to the client; signs in as
 * `username` when asked. @throws Error when a page is not a sign-in form, or after 12 steps
 */
export async function signInAtKeycloak(
  jar: CookieJar,
  authorizationUrl: string | URL,
  username: string,
  password: string = KEYCLOAK_USERS[username] ?? '',
): Promise<KeycloakAnswer> {
  const issuer = new URL(authorizationUrl).origin;
  let url = new URL(authorizationUrl);
  let response = await fetchWithJar(jar, url);
  for (let step = 0; step < 12; step += 1) {
    const location = response.headers.get('location');
    if (location !== null) {
      url = new URL(location, url);
      if (url.origin !== issuer) return { url, form: undefined };
      response = await fetchWithJar(jar, url);
      continue;
    }
    const page = await response.text();
    const action = new URL(unescapeHtml(/<form[^>]* action="([^"]+)"/i.exec(page)?.[1] ?? 'about:blank'), url);
    if (action.protocol !== 'http:') throw new Error(`Keycloak answered ${response.status} without a form: ${page}`);
    const hidden = hiddenFieldsOf(page);
    if (action.origin !== issuer) return { url: action, form: new URLSearchParams(hidden) };
    url = action;
    response = await fetchWithJar(jar, url, { method: 'POST', body: new URLSearchParams({ username, password }) });
  }
  throw new Error('Keycloak did not return to the client within 12 steps');
}

type Server = { readonly child: ChildProcess; log(): string; stop(): Promise<void> };

function spawnKeycloak(): Server {
  // The system chooses the ports: whatever we choose may be taken by the time it listens.
  const ports = ['--http-host=127.0.0.1', '--http-port=0', '--http-management-port=0'];
  const fixed = ['--optimized', '--cache=local', '--http-enabled=true', '--hostname-strict=false'];
  const log = '--log-level=warn,io.quarkus:info';
  // A process group of its own: its start script waits for the JVM, and a signal must reach both.
  const child = spawn(getPart('keycloak'), ['start', ...fixed, ...ports, log], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ...JVM,
      KC_BOOTSTRAP_ADMIN_USERNAME: ADMIN.user,
      KC_BOOTSTRAP_ADMIN_PASSWORD: ADMIN.password,
    },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk) => (text += chunk));
  const kill = (signal: NodeJS.Signals): void => {
    // Gone already is what was wanted.
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, signal);
  };
  const onExit = (): void => kill('SIGKILL');
  process.once('exit', onExit);
  const closed = once(child, 'close').finally(() => process.removeListener('exit', onExit));
  return {
    child,
    log: () => text,
    async stop() {
      kill('SIGTERM');
      const timer = setTimeout(() => kill('SIGKILL'), STOP_MAX_MS);
      await closed.catch(() => {});
      clearTimeout(timer);
    },
  };
}

/** It says where it listens, and is ready some seconds after that. */
async function whenServing({ child, log }: Server): Promise<string> {
  const end = performance.now() + START_MAX_MS;
  while (performance.now() < end) {
    if (child.exitCode !== null) throw new Error(`Keycloak ended at its start:\n${log()}`);
    const [, base, management] = LISTENING.exec(log()) ?? [];
    const options = { signal: AbortSignal.timeout(5_000) };
    const answer = management && (await fetch(`${management}/health/ready`, options).catch(() => undefined));
    if (answer && answer.status === 200) return base ?? '';
    await sleep(200);
  }
  throw new Error(`Keycloak does not serve after ${START_MAX_MS} ms:\n${log()}`);
}

async function fetchAdminToken(base: string): Promise<string> {
  const answer = await fetch(`${base}/realms/master/protocol/openid-connect/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'password',
      client_id: 'admin-cli',
      username: ADMIN.user,
      password: ADMIN.password,
    }),
  });
  if (answer.status !== 200) throw new Error(`Keycloak refuses its administrator: ${await answer.text()}`);
  return ((await answer.json()) as { access_token: string }).access_token;
}

async function request(url: string, token: string, method: string, body?: unknown): Promise<Response> {
  const answer = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`Keycloak answered ${answer.status} to ${method} ${url}: ${await answer.text()}`);
  return answer;
}

function hiddenFieldsOf(page: string): [string, string][] {
  const inputs = page.match(/<input[^>]*type="hidden"[^>]*>/gi) ?? [];
  return inputs.map((input) => [attributeOf(input, 'name'), attributeOf(input, 'value')]);
}

function attributeOf(tag: string, name: string): string {
  return unescapeHtml(new RegExp(`${name}="([^"]*)"`, 'i').exec(tag)?.[1] ?? '');
}

function unescapeHtml(text: string): string {
  return text
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    .replaceAll('&quot;', '"')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&');
}
