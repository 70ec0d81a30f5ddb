import { type AttackCase, COMMON_MEMBERS, MalformedAttacks } from './cases.ts';
import { FIRST_LITERAL, SECOND_LITERAL, type Substitution, substituteHandles } from './handles.ts';
import { type Instance, InstanceRefused } from './instance.ts';
import type { Lab } from './lab.ts';
import type { User } from './provider.ts';
import { type Exchange, requestBytes, valuesOf } from './raw-client.ts';
import { CaseLog, type CaseResult } from './report.ts';
import { checkNoIdentity, type HeaderLine, navigationHeaders, setCookies, verifyHeaders } from './sign-in.ts';
import { GATEWAY_ADDRESS, USERS } from './world.ts';

const KNOWN_MEMBERS = new Set([...COMMON_MEMBERS, 'cookie_name', 'raw']);
const DEFAULT_NAME = 'bff_session';

/**
 * The Cookie header lines of the case, sent to verify from the trusted gateway with live handles in place of the
 * literals. A handle in `expect` = 200 as that handle's user; null = never 200 and no identity.
 */
export async function runCookies(lab: Lab, attack: AttackCase): Promise<CaseResult> {
  const log = new CaseLog();
  log.noteUnknown(attack, KNOWN_MEMBERS);
  const name = typeof attack['cookie_name'] === 'string' ? attack['cookie_name'] : DEFAULT_NAME;
  // A cookie name with the prefix __Host- forbids the Domain of the tenants' site.
  const spec = name === DEFAULT_NAME ? {} : { cookieName: name, tenants: false };
  let instance: Instance;
  try {
    instance = await lab.world.instance(spec);
  } catch (error) {
    if (!(error instanceof InstanceRefused)) throw error;
    log.check(false, `the configuration with the cookie name ${name} is refused: ${error.message}`);
    return log.finish('cookies', attack);
  }
  const { substitutions, owner } = await liveHandles(lab, instance, attack);
  const lines = cookieLines(attack).map((line) => substituteHandles(line, substitutions));
  for (const encoding of encodingsOf(lines)) {
    const request = requestBytes('GET', '/auth/verify', verifyHeaders(lines), { encoding });
    const answer = await instance.send(request, GATEWAY_ADDRESS);
    log.sent(`verify (${encoding})`, request, answer.bytes);
    judge(log, answer, owner);
  }
  if (owner === undefined && isConflict(attack, name)) await checkExpired(lab, log, instance, lines, name);
  return log.finish('cookies', attack);
}

function cookieLines(attack: AttackCase): string[] {
  const lines = Array.isArray(attack.input) ? attack.input : [attack.input];
  return lines.map((line) => {
    if (typeof line !== 'string') throw new MalformedAttacks(`${attack.id}.input: expected a string or strings`);
    return line;
  });
}

/** Live sessions for the literals, and the user whom `expect` names (undefined = nobody). */
async function liveHandles(
  lab: Lab,
  instance: Instance,
  attack: AttackCase,
): Promise<{ readonly substitutions: Substitution[]; readonly owner: User | undefined }> {
  const sessions = lab.sessionsOf(instance);
  const users = new Map<string, User>([
    [FIRST_LITERAL, USERS.first],
    [SECOND_LITERAL, USERS.second],
  ]);
  const { expect } = attack;
  if (expect !== null && typeof expect !== 'string') {
    throw new MalformedAttacks(`${attack.id}.expect: expected a session id or null`);
  }
  if (expect !== null && !users.has(expect)) users.set(expect, USERS.third);
  const substitutions: Substitution[] = [];
  for (const [literal, user] of users) substitutions.push({ literal, handle: await sessions(user) });
  return { substitutions, owner: expect === null ? undefined : users.get(expect) };
}

/** Text of code points below 0x100 can stand for bytes or for UTF-8; both are tried. */
function encodingsOf(lines: readonly string[]): ('utf8' | 'latin1')[] {
  const text = lines.join('');
  const highest = Math.max(0, ...[...text].map((char) => char.codePointAt(0) ?? 0));
  return highest >= 0x80 && highest < 0x100 ? ['utf8', 'latin1'] : ['utf8'];
}

function judge(log: CaseLog, answer: Exchange, owner: User | undefined): void {
  const response = answer.responses[0];
  if (owner !== undefined) {
    log.check(response?.status === 200, `answered ${response?.status ?? 'nothing'}, expected 200 for a live session`);
    const user = response && valuesOf(response.headers, 'x-user-id').join(' | ');
    log.check(user === owner.sub, `X-User-Id is ${JSON.stringify(user)}, expected ${owner.sub}`);
    return;
  }
  // The parser may close or wait for more on control characters; nothing is accepted then.
  if (response === undefined) return;
  log.check(response.status >= 400 && response.status < 500, `answered ${response.status}, expected a 4xx refusal`);
  checkNoIdentity(log, response, 'answer');
}

/** True if the case is about several values for the one name. */
function isConflict(attack: AttackCase, name: string): boolean {
  const pairs = cookieLines(attack).join('; ').split(';');
  const values = pairs.map((pair) => pair.trim()).filter((pair) => pair.startsWith(`${name}=`));
  return new Set(values).size > 1;
}

/** Conflicting values are expired where an answer can carry Set-Cookie: in verify's refusal or a browser's. */
async function checkExpired(
  lab: Lab,
  log: CaseLog,
  instance: Instance,
  lines: readonly string[],
  name: string,
): Promise<void> {
  const cookies = lines.map((line): HeaderLine => ['cookie', line]);
  const requests: [Buffer, string][] = [
    [requestBytes('GET', '/auth/verify', verifyHeaders(lines)), GATEWAY_ADDRESS],
    [
      requestBytes('GET', '/api/auth/session', [...navigationHeaders('app.example.test'), ...cookies]),
      lab.world.strangerAddress(instance),
    ],
  ];
  for (const [request, from] of requests) {
    const response = (await instance.send(request, from)).responses[0];
    if (response && setCookies(response).some((cookie) => cookie.name === name && cookie.expires)) return;
  }
  log.check(false, 'no answer expires the conflicting cookies');
}
