import { type AttackCase, COMMON_MEMBERS, expectObject, expectText, isObject } from './cases.ts';
import type { Instance } from './instance.ts';
import type { Lab } from './lab.ts';
import type { Exchange } from './raw-client.ts';
import { requestBytes } from './raw-client.ts';
import type { CaseLog } from './report.ts';
import { cookieHeader, type HeaderLine, navigationHeaders, type PendingLogin, type SetCookie } from './sign-in.ts';

/** The stored return_to of every pending login of this family. */
export const RETURN_TO = '/dashboard';

/** One callback case with its pending transaction. */
export type CallbackCase = {
  readonly attack: AttackCase;
  readonly input: Readonly<Record<string, unknown>>;
  readonly instance: Instance;
  /** The transaction called S1 and T1 in the files. */
  readonly pending: PendingLogin;
  /** A transaction of another browser: S2, T2 and T-other. */
  readonly other: PendingLogin;
  /** A session cookie value that the client brought along before the callback; never to be adopted. */
  readonly planted: string;
};

const KNOWN_MEMBERS = new Set([...COMMON_MEMBERS, 'assert']);
const INPUT_MEMBERS = new Set([
  'method',
  'query',
  'txn_cookie',
  'token_response',
  'path',
  'headers',
  'replay_of',
  'age_s',
  'redis',
  'fragment',
  'dpop',
  'host',
  'body',
]);

/** Name members of the case and its input that the runner does not know. */
export function reportUnknownMembers(log: CaseLog, attack: AttackCase): void {
  const input = expectObject(attack.input, `${attack.id}.input`);
  log.noteUnknown(attack, KNOWN_MEMBERS);
  log.noteUnknown(input, INPUT_MEMBERS, 'input.');
  if (input['method'] !== undefined) expectText(input['method'], `${attack.id}.input.method`);
}

/** Put the live state in the place of S1 (S2: the other transaction's; s1: with the case of its letters flipped). */
function substituteState(text: string, run: Pick<CallbackCase, 'pending' | 'other'>): string {
  return text.replace(/\b(S1|S2|s1)(?![A-Za-z0-9_-])/g, (name) => {
    if (name === 'S1') return run.pending.state;
    return name === 'S2' ? run.other.state : flipCase(run.pending.state);
  });
}

function flipCase(text: string): string {
  return text.replace(/[A-Za-z]/g, (char) => (char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase()));
}

/** The Cookie header value for `txn_cookie`; undefined = no cookie, null = a name that the runner does not know. */
export function transactionCookie(
  value: unknown,
  run: Pick<CallbackCase, 'pending' | 'other'>,
): string | undefined | null {
  if (value === null || value === undefined) return undefined;
  const names = Array.isArray(value) ? value : [value];
  const cookies: SetCookie[] = [];
  for (const name of names) {
    if (name === 'T1') cookies.push(...run.pending.cookies);
    else if (name === 'T-other') cookies.push(...run.other.cookies);
    else if (name === 'T2') cookies.push(...conflicting(run, names.includes('T1')));
    else return null;
  }
  return cookieHeader(cookies);
}

/** T2 beside T1 is a second value under T1's own cookie name; alone it is simply the other transaction. */
function conflicting(run: Pick<CallbackCase, 'pending' | 'other'>, besideFirst: boolean): readonly SetCookie[] {
  if (!besideFirst) return run.other.cookies;
  return run.pending.cookies.map((cookie, index) => ({
    ...cookie,
    value: run.other.cookies[index]?.value ?? 'tampered',
  }));
}

/** Send the callback of the case; `extraCookie` goes behind the transaction cookie. */
export async function sendCallback(
  lab: Lab,
  log: CaseLog,
  run: CallbackCase,
  label: string,
  extraCookie = '',
): Promise<Exchange> {
  const { input, instance, pending } = run;
  const cookie = transactionCookie(input['txn_cookie'], run);
  if (cookie === null) log.unchecked.push(`input.txn_cookie ${JSON.stringify(input['txn_cookie'])}`);
  const target = new URL(pending.redirectUri);
  const path = typeof input['path'] === 'string' ? input['path'] : target.pathname;
  const query = substituteState(typeof input['query'] === 'string' ? input['query'] : '', run);
  const method = typeof input['method'] === 'string' ? input['method'] : 'GET';
  const body = typeof input['body'] === 'string' ? substituteState(input['body'], run) : '';
  const host = typeof input['host'] === 'string' ? input['host'] : target.host;
  const cookies = [cookie ?? '', extraCookie].filter((part) => part !== '').join('; ');
  const request = requestBytes(
    method,
    query === '' ? path : `${path}?${query}`,
    headersOf(input, host, cookies, method, body),
    { body },
  );
  const exchange = await instance.send(request, lab.world.strangerAddress(instance), { method, deadlineMs: 12_000 });
  log.sent(label, request, exchange.bytes);
  return exchange;
}

function headersOf(
  input: Readonly<Record<string, unknown>>,
  host: string,
  cookies: string,
  method: string,
  body: string,
): HeaderLine[] {
  const own = isObject(input['headers']) ? input['headers'] : {};
  const lines: HeaderLine[] = [];
  for (const [name, value] of Object.entries(own)) {
    for (const one of Array.isArray(value) ? value : [value]) lines.push([name, String(one)]);
  }
  const names = new Set(lines.map(([name]) => name.toLowerCase()));
  if (cookies !== '') lines.push(['cookie', cookies]);
  if (method !== 'GET' && method !== 'HEAD') lines.push(['content-length', String(Buffer.byteLength(body))]);
  if (body !== '' && !names.has('content-type')) lines.push(['content-type', 'application/x-www-form-urlencoded']);
  return [...navigationHeaders(host).filter(([name]) => !names.has(name)), ...lines];
}
