import { type Exchange, exchange, type RawResponse, requestBytes, valuesOf } from '../../scripts/attacks/raw-client.ts';
import { locationOf, setCookies } from '../../scripts/attacks/sign-in.ts';
import type { Grant, ScriptedProvider } from './scripted-provider.ts';
import { PUBLIC_URL, type TestServer } from './test-server.ts';

/** A header line as it goes over the wire. */
export type Header = readonly [string, string];

/** Who is asking: a person's browser window, a script in a page, or a program without Fetch Metadata. */
export type Asking = 'navigation' | 'fetch' | 'program';

/** One request of a test browser. */
export type Ask = {
  readonly as?: Asking;
  readonly method?: string;
  readonly headers?: readonly Header[];
  readonly body?: string;
  readonly host?: string;
  /** Address it comes from; 127.0.0.1 is a trusted peer of the test server. */
  readonly from?: string;
  readonly deadlineMs?: number;
};

/** A browser as far as the server can tell: a cookie jar and raw bytes on a socket. */
export type TestBrowser = {
  readonly cookies: Map<string, string>;
  /** A request to the public listener; cookies are sent and kept. @throws Error without an answer */
  ask(target: string, ask?: Ask): Promise<RawResponse>;
  /** What a gateway asks verify about a request of this browser. */
  verify(
    ask?: Ask & { readonly query?: string; readonly uri?: string; readonly verifyMethod?: string },
  ): Promise<RawResponse>;
  /** Begin a login: where it goes, and what it says there. */
  beginLogin(query?: string): Promise<{ readonly state: string; readonly nonce: string; readonly url: URL }>;
  /** Sign in from beginning to end, with what the provider is told to answer; returns the callback's answer. */
  signIn(provider: ScriptedProvider, patch?: Grant['patch'], ask?: Ask): Promise<RawResponse>;
  /** Every answer so far as it came over the wire. */
  readonly received: readonly string[];
};

const HOST = new URL(PUBLIC_URL).host;
const FETCH_METADATA: Readonly<Record<Asking, readonly Header[]>> = {
  navigation: [
    ['accept', 'text/html,application/xhtml+xml'],
    ['sec-fetch-site', 'none'],
    ['sec-fetch-mode', 'navigate'],
    ['sec-fetch-dest', 'document'],
  ],
  fetch: [
    ['accept', '*/*'],
    ['sec-fetch-site', 'same-origin'],
    ['sec-fetch-mode', 'cors'],
    ['sec-fetch-dest', 'empty'],
  ],
  program: [['accept', 'application/json']],
};

/** A new browser without cookies. */
export function createBrowser(server: Pick<TestServer, 'ports'>): TestBrowser {
  const cookies = new Map<string, string>();
  const received: string[] = [];
  const send = async (port: number, method: string, target: string, headers: readonly Header[], ask: Ask) => {
    const cookie: Header[] = cookies.size === 0 ? [] : [['cookie', cookieText(cookies)]];
    const own = (ask.headers ?? []).map(([name]) => name.toLowerCase());
    const usual = [...headers, ...FETCH_METADATA[ask.as ?? 'navigation']].filter(([name]) => !own.includes(name));
    const bytes = requestBytes(method, target, [...usual, ...cookie, ...(ask.headers ?? [])], { body: ask.body ?? '' });
    const result = await sendBytes(port, bytes, { method, from: ask.from, deadlineMs: ask.deadlineMs });
    received.push(result.bytes.toString('latin1'));
    const response = result.responses[0];
    if (response === undefined) throw new Error(`no answer to ${method} ${target}`);
    keepCookies(cookies, response);
    return response;
  };
  const browser: TestBrowser = {
    cookies,
    received,
    ask(target, ask = {}) {
      const length: Header[] = ask.body === undefined ? [] : [['content-length', String(Buffer.byteLength(ask.body))]];
      return send(server.ports.public, ask.method ?? 'GET', target, [['host', ask.host ?? HOST], ...length], ask);
    },
    verify({ query = '', uri = '/dashboard', verifyMethod = 'GET', ...ask } = {}) {
      const headers: Header[] = [
        ['host', 'sallyport.internal'],
        ['x-forwarded-host', ask.host ?? HOST],
        ['x-forwarded-uri', uri],
        ['x-forwarded-proto', 'https'],
        ['x-forwarded-method', ask.method ?? 'GET'],
        ['x-forwarded-for', '198.51.100.7'],
      ];
      return send(server.ports.verify, verifyMethod, `/auth/verify${query === '' ? '' : `?${query}`}`, headers, ask);
    },
    async beginLogin(query = '') {
      const response = await browser.ask(`/auth/login${query === '' ? '' : `?${query}`}`);
      const url = new URL(locationOf(response) ?? 'about:blank');
      const { searchParams } = url;
      return { url, state: searchParams.get('state') ?? '', nonce: searchParams.get('nonce') ?? '' };
    },
    async signIn(provider, patch = {}, ask = {}) {
      const { state, nonce } = await browser.beginLogin();
      return browser.ask(callbackTarget(provider, state, provider.codeFor({ nonce, patch })), ask);
    },
  };
  return browser;
}

/** The callback address as the provider would send a browser there. */
export function callbackTarget(provider: ScriptedProvider, state: string, code: string): string {
  return `/auth/callback?${new URLSearchParams({ code, state, iss: provider.issuer })}`;
}

/** Bytes over a connection of their own. */
export function sendBytes(
  port: number,
  bytes: Buffer | readonly Buffer[],
  options: {
    readonly method?: string | undefined;
    readonly from?: string | undefined;
    readonly deadlineMs?: number | undefined;
    readonly all?: boolean;
  } = {},
): Promise<Exchange> {
  const { method = 'GET', from = '127.0.0.1', deadlineMs = 8_000, all = false } = options;
  const listen = { answers: all ? ('all' as const) : ('one' as const), method, deadlineMs, quietMs: 250 };
  return exchange({ host: '127.0.0.1', port, localAddress: from }, bytes, listen);
}

/** The first value of an answer's header; undefined if absent. */
export function headerOf(response: RawResponse, name: string): string | undefined {
  return valuesOf(response.headers, name)[0];
}

/** Names of the cookies that an answer sets and that it expires. */
export function cookieChanges(response: RawResponse): {
  readonly set: readonly string[];
  readonly expired: readonly string[];
} {
  const lines = setCookies(response);
  const names = (expires: boolean): string[] => [
    ...new Set(lines.filter((line) => line.expires === expires).map(({ name }) => name)),
  ];
  return { set: names(false), expired: names(true) };
}

function keepCookies(cookies: Map<string, string>, response: RawResponse): void {
  for (const { name, value, expires } of setCookies(response)) {
    if (expires) cookies.delete(name);
    else cookies.set(name, value);
  }
}

function cookieText(cookies: ReadonlyMap<string, string>): string {
  return [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
}
