import { type AttackCase, expectObject, expectText, isObject, MalformedAttacks, splitOnce } from './cases.ts';
import type { CsrfWorld } from './csrf-world.ts';
import { AUDIENCE, type Instance } from './instance.ts';
import type { Lab } from './lab.ts';
import { requestBytes, valuesOf } from './raw-client.ts';
import { type HeaderLine, signIn, verifyHeaders } from './sign-in.ts';
import { GATEWAY_ADDRESS, USERS } from './world.ts';

/** The name that the files write for the proof header, and the configured one. */
const FILE_PROOF = /x-bff-csrf/gi;
const PROOF = 'x-csrf';

/** A request of csrf_cors, ready to be sent. */
export type CsrfCase = {
  readonly attack: AttackCase;
  readonly instance: Instance;
  readonly method: string;
  /** As the case names it, without query. */
  readonly path: string;
  readonly query: string;
  /** Undefined = none. */
  readonly origin: string | undefined;
  readonly isHandshake: boolean;
  readonly isPreflight: boolean;
  /** What a preflight asks for; header names in lower case. */
  readonly requested: { readonly method: string; readonly headers: readonly string[] };
  /** The live session that is presented; undefined = none. */
  readonly handle: string | undefined;
  /** Played at verify, which speaks for the path. */
  readonly atVerify: boolean;
  readonly from: string;
  readonly bytes: Buffer;
};

/** What a case may present. */
export const CREDENTIALS: readonly unknown[] = [undefined, 'cookie', 'bearer', 'cookie+bearer', 'none'];

const BODIES: readonly (readonly [string, string])[] = [
  ['application/json', '{"name":"x"}'],
  ['application/x-www-form-urlencoded', ''],
  ['text/plain', '{"name":"x"}'],
  ['multipart/form-data', '--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'],
];

/** What a case asks for, before anything is signed in. */
function readCsrfInput(attack: AttackCase): {
  readonly input: Readonly<Record<string, unknown>>;
  readonly target: string;
  readonly headers: readonly HeaderLine[];
  readonly isHandshake: boolean;
} {
  const input = expectObject(attack.input, `${attack.id}.input`);
  const target = expectText(input['path'], `${attack.id}.input.path`).replaceAll(FILE_PROOF, PROOF);
  const headers = headerLines(attack.id, input['headers'] ?? {});
  return { input, target, headers, isHandshake: headers.some(([name]) => name === 'sec-websocket-key') };
}

/** A header value that is an array stands for repeated lines. */
function headerLines(id: string, value: unknown): HeaderLine[] {
  if (!isObject(value)) throw new MalformedAttacks(`${id}.input.headers: expected an object`);
  return Object.entries(value).flatMap(([name, content]) => {
    return (Array.isArray(content) ? content : [content]).map((one): HeaderLine => {
      const text = expectText(one, `${id}.input.headers.${name}`);
      return [name.toLowerCase().replaceAll(FILE_PROOF, PROOF), text.replaceAll(FILE_PROOF, PROOF)];
    });
  });
}

/** Sign in as the case needs it and compose its bytes. */
export async function prepareCsrfCase(lab: Lab, world: CsrfWorld, attack: AttackCase): Promise<CsrfCase> {
  const { input, target, headers, isHandshake } = readCsrfInput(attack);
  const credentials = expectText(input['credentials'] ?? 'none', `${attack.id}.input.credentials`);
  const instance = credentials === 'bearer' ? world.bearer : world.instance;
  const [path = '', query = ''] = splitOnce(target, '?');
  const handle = credentials.startsWith('cookie') ? await sessionFor(lab, instance, path) : undefined;
  const method = expectText(input['method'], `${attack.id}.input.method`);
  const atVerify = /^\/auth\/(verify|forward|validate)\b/.test(path);
  const host = expectText(input['host'] ?? 'app.example.test', `${attack.id}.input.host`);
  const own = await withProof(instance, handle, await withToken(lab, headers));
  const cookie: HeaderLine[] = handle === undefined ? [] : [['cookie', `${instance.spec.cookieName}=${handle}`]];
  const isForwarded = atVerify && !path.startsWith('/auth/');
  const body = isForwarded ? '' : ((await logoutBody(lab, path)) ?? bodyOf(method, headers, input['body']));
  const length: HeaderLine[] =
    unsafeBody(method) && !isForwarded ? [['content-length', String(Buffer.byteLength(body))]] : [];
  const bytes = isForwarded
    ? requestBytes('GET', '/auth/verify', [...forwardedAs(host, method, target), ...cookie, ...own])
    : requestBytes(method, target, [['host', host], ...own, ...cookie, ...length], { body });
  const requestedMethod = valuesOf(headers, 'access-control-request-method')[0] ?? '';
  return {
    attack,
    instance,
    method,
    path,
    query,
    // Several lines are no origin.
    origin: headers.some(([name]) => name === 'origin') ? valuesOf(headers, 'origin').join(', ') : undefined,
    isHandshake,
    isPreflight: method === 'OPTIONS' && requestedMethod !== '' && valuesOf(headers, 'origin').length > 0,
    requested: {
      method: requestedMethod,
      headers: valuesOf(headers, 'access-control-request-headers').flatMap((line) => line.toLowerCase().split(/ *, */)),
    },
    handle,
    atVerify,
    from: atVerify ? GATEWAY_ADDRESS : lab.world.strangerAddress(instance),
    bytes,
  };
}

/** Cases that may end or renew the session get one of their own. */
function sessionFor(lab: Lab, instance: Instance, path: string): Promise<string> {
  const isSpent = /^\/auth\/(logout|refresh|backchannel-logout)/.test(path);
  return isSpent ? signIn(lab.world, instance, USERS.first) : lab.sessionsOf(instance)(USERS.first);
}

async function withToken(lab: Lab, headers: readonly HeaderLine[]): Promise<HeaderLine[]> {
  const token = await lab.world.provider.accessToken(USERS.first, AUDIENCE);
  return headers.map(([name, value]) => [name, name === 'authorization' ? value.replace(/\bAT$/, token) : value]);
}

/** In mode `token` the proof is that of the session; wrong values stay wrong. */
async function withProof(
  instance: Instance,
  handle: string | undefined,
  headers: readonly HeaderLine[],
): Promise<readonly HeaderLine[]> {
  if (instance.spec.csrfMode !== 'token' || handle === undefined) return headers;
  const lines: HeaderLine[] = [
    ['host', 'app.example.test'],
    ['cookie', `${instance.spec.cookieName}=${handle}`],
  ];
  const bytes = requestBytes('GET', '/api/auth/session?slide=false', lines);
  const [response] = (await instance.send(bytes, GATEWAY_ADDRESS)).responses;
  const { csrf_token: token } = JSON.parse(response?.body ?? '{}') as { csrf_token?: unknown };
  const proof = expectText(token, 'csrf_token of the session check');
  return headers.map(([name, value]) => [name, name === PROOF && value === '1' ? proof : value]);
}

function forwardedAs(host: string, method: string, uri: string): HeaderLine[] {
  return verifyHeaders([], host, uri).map(([name, value]) => [name, name === 'x-forwarded-method' ? method : value]);
}

function unsafeBody(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';
}

function bodyOf(method: string, headers: readonly HeaderLine[], given: unknown): string {
  if (!unsafeBody(method)) return '';
  if (typeof given === 'string') return given;
  const type = headers.find(([name]) => name === 'content-type')?.[1] ?? '';
  return BODIES.find(([prefix]) => type.startsWith(prefix))?.[1] ?? '';
}

/** A valid logout token of some other session: the cookie that comes along must not matter. */
async function logoutBody(lab: Lab, path: string): Promise<string | undefined> {
  if (path !== '/auth/backchannel-logout') return undefined;
  return new URLSearchParams({ logout_token: await lab.world.provider.logoutToken('of-nobody') }).toString();
}
