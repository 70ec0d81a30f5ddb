import { createRemoteJWKSet, jwtVerify } from 'jose';
import { DEMO_API_AUDIENCE } from '../../src/cli/demo/provider-config.ts';
import { call, startService, type TestAnswer, type TestService } from '../proxy/world.ts';
import { createCookieJar, signInAtProvider } from './provider.ts';

/** A browser's cookies of one host, with their paths, and the lines that set them. */
export class CookieBox {
  readonly #cookies = new Map<string, { readonly value: string; readonly path: string }>();

  /** Take what an answer sets or removes. */
  keep(answer: TestAnswer): void {
    for (const line of setCookies(answer)) {
      const [pair = '', ...attributes] = line.split('; ');
      const equals = pair.indexOf('=');
      const path = attributes.find((text) => text.startsWith('Path='))?.slice(5) ?? '/';
      const name = pair.slice(0, equals);
      if (attributes.includes('Max-Age=0')) this.#cookies.delete(name);
      else this.#cookies.set(name, { value: pair.slice(equals + 1), path });
    }
  }

  get(name: string): string | undefined {
    return this.#cookies.get(name)?.value;
  }

  delete(name: string): void {
    this.#cookies.delete(name);
  }

  /** The same cookies in another box. */
  copy(): CookieBox {
    const box = new CookieBox();
    for (const [name, cookie] of this.#cookies) box.#cookies.set(name, cookie);
    return box;
  }

  /** The Cookie header for a path. */
  header(path: string): string {
    const sent = [...this.#cookies].filter(([, { path: own }]) => own === '/' || `${path}/`.startsWith(`${own}/`));
    return sent.map(([name, { value }]) => `${name}=${value}`).join('; ');
  }
}

/** Lines of Set-Cookie. */
export function setCookies({ headers }: TestAnswer): readonly string[] {
  return headers['set-cookie'] ?? [];
}

/** Send a request with a box's cookies and keep what comes back. */
export async function ask(
  port: number,
  box: CookieBox,
  path: string,
  init: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<TestAnswer> {
  const cookie = box.header(path.split('?')[0] as string);
  const headers = { ...(cookie === '' ? {} : { cookie }), ...init.headers };
  const answer = await call({
    port,
    path,
    method: init.method ?? 'GET',
    headers,
    ...(init.body !== undefined && { body: init.body }),
  });
  box.keep(answer);
  return answer;
}

/** Walk through a sign-in; returns the callback's answer and the provider's issuer. */
export async function signInWith(port: number, box: CookieBox, user: string, headers: Record<string, string> = {}) {
  const login = await ask(port, box, '/auth/login', { headers });
  if (login.status !== 302) throw new Error(`/auth/login answered ${login.status}: ${login.body}`);
  const location = login.headers.location ?? '';
  const callback = await signInAtProvider(createCookieJar(), location, user, user);
  const answer = await ask(port, box, `${callback.pathname}${callback.search}`, { headers });
  return { answer, issuer: new URL(location).origin };
}

/** What a back end that trusts nobody finds in an access token: signature, issuer, audience and end are checked. */
export async function readAccessToken(token: string, issuer: string) {
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
  const { payload } = await jwtVerify(token, keys, { issuer, audience: DEMO_API_AUDIENCE, typ: 'at+jwt' });
  return payload;
}

/** A back end that believes nobody: it checks the token of each request itself, and answers its subject or 401. */
export function startCheckingService(issuerOf: () => string): Promise<TestService> {
  return startService((request, response) => {
    const token = (request.headers.authorization ?? '').replace('Bearer ', '');
    readAccessToken(token, issuerOf()).then(
      ({ sub }) => response.end(sub),
      () => response.writeHead(401).end(),
    );
  });
}
