import type { ForwardedCase } from './forwarded-case.ts';
import type { Lab } from './lab.ts';
import { type RawResponse, requestBytes, valuesOf } from './raw-client.ts';
import type { CaseLog } from './report.ts';
import type { HeaderLine } from './sign-in.ts';
import { USERS } from './world.ts';

/** What a session of the first user puts into the identity headers whose values are known beforehand. */
const SESSION_VALUES: Readonly<Record<string, string>> = {
  'x-user-id': USERS.first.sub,
  'x-user-username': USERS.first.username,
  'x-user-email': USERS.first.email,
  'x-user-role': USERS.first.roles[0],
  'x-user-roles': USERS.first.roles.join(','),
};

/** All values of an identity header as one text; empty where it is absent or blank. */
export function identityValue(response: RawResponse, name: string): string {
  return valuesOf(response.headers, name).join(' | ');
}

/** Members of an expectation that speak about the headers of verify's answer. */
export function checkAnswerHeaders(log: CaseLog, run: ForwardedCase, response: RawResponse): void {
  const { drop_headers: dropped, response_identity: identity } = run.expect;
  for (const name of texts(dropped)) {
    log.check(valuesOf(response.headers, name).length === 0, `verify's answer carries ${name}`);
  }
  if (identity === undefined) return;
  if (identity !== 'from session only') {
    log.unchecked.push(`expect.response_identity ${JSON.stringify(identity)}`);
    return;
  }
  for (const [name, expected] of Object.entries(SESSION_VALUES)) {
    const value = identityValue(response, name);
    log.check(
      value === expected,
      `${name} is ${JSON.stringify(value)}, expected ${JSON.stringify(expected)} of the session`,
    );
  }
}

/** Members of an expectation that speak about what a service behind a proxied route receives. */
export async function checkUpstream(lab: Lab, log: CaseLog, run: ForwardedCase): Promise<void> {
  const { upstream_absent: absent, upstream_single: single, drop_headers: dropped } = run.expect;
  if (absent !== undefined || single !== undefined) {
    const seen = lab.world.echo.seen[0]?.headers;
    log.check(
      lab.world.echo.seen.length === 1,
      `the service behind saw ${lab.world.echo.seen.length} requests, expected 1`,
    );
    if (seen === undefined) return;
    for (const name of texts(absent)) {
      log.check(valuesOf(seen, name).length === 0, `the service received ${name}: ${valuesOf(seen, name).join(' | ')}`);
    }
    checkSingle(log, seen, single);
  }
  if (dropped !== undefined) await checkDropped(lab, log, run, texts(dropped));
}

function checkSingle(log: CaseLog, seen: readonly HeaderLine[], single: unknown): void {
  if (single === undefined || single === null || typeof single !== 'object') return;
  for (const [name, wanted] of Object.entries(single)) {
    const expected = wanted === 'session value' ? SESSION_VALUES[name.toLowerCase()] : wanted;
    if (expected === undefined) log.unchecked.push(`expect.upstream_single.${name}`);
    const values = valuesOf(seen, name);
    log.check(
      values.length === 1 && values[0] === expected,
      `the service received ${name}: ${JSON.stringify(values)}, expected one ${expected}`,
    );
  }
}

/** "Never forwarded": the same aliases on a proxied route do not reach the service either. */
async function checkDropped(lab: Lab, log: CaseLog, run: ForwardedCase, names: readonly string[]): Promise<void> {
  const aliases = run.headers.filter(([name]) => names.includes(name.toLowerCase()));
  lab.world.echo.forget();
  const lines: HeaderLine[] = [['host', 'app.example.test'], ...aliases];
  const answer = await run.instance.send(requestBytes('GET', '/api/public/x', lines), run.peer.localAddress);
  const [seen] = lab.world.echo.seen;
  log.check(
    seen !== undefined || isRefused(answer.responses[0]),
    'the aliases on a proxied route: no answer of the service',
  );
  for (const name of names) {
    log.check(seen === undefined || valuesOf(seen.headers, name).length === 0, `a proxied route forwards ${name}`);
  }
}

function isRefused(response: RawResponse | undefined): boolean {
  return response !== undefined && response.status >= 400 && response.status < 500;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
}
