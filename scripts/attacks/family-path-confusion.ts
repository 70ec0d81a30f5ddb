import { type AttackCase, COMMON_MEMBERS, expectText, MalformedAttacks } from './cases.ts';
import type { Lab } from './lab.ts';
import { checkForwarded } from './path-forwarded.ts';
import { type Asker, expectedOfVerify, isProtected, outcomeOf } from './path-outcome.ts';
import { createPathWorld, type PathWorld } from './path-world.ts';
import { type Exchange, requestBytes } from './raw-client.ts';
import { CaseLog, type CaseResult } from './report.ts';
import { checkNoIdentity, type HeaderLine, newSessionOf, verifyHeaders } from './sign-in.ts';
import { GATEWAY_ADDRESS } from './world.ts';

const KNOWN_MEMBERS = new Set([...COMMON_MEMBERS, 'method', 'acceptable', 'never', 'forward_as', 'status']);
const OUTCOME = /^(?:notfound|reject|route:(?:public|users|files|admin)|internal:[a-z]+)(?: without auth)?$/;
/** What the gateway says of the request: a page that any session may see. */
const FORWARDED = verifyHeaders([], 'app.example.test', '/api/users/1').slice(1);
/** Bound of the listener on request targets, characters; a gateway has its own. */
const TARGET_MAX_CHARS = 8_192;
const ASKERS: readonly Asker[] = ['entitled', 'ordinary', 'nobody'];

/** A case with what it expects. */
type Play = {
  readonly log: CaseLog;
  readonly world: PathWorld;
  readonly target: string;
  readonly method: string;
  readonly acceptable: readonly string[];
  readonly never: readonly string[];
  readonly attack: AttackCase;
};

/**
 * The target as raw bytes to the proxy, three times: with a session that may do everything, with one without the
 * admin's role, and with none; then the same text as X-Forwarded-Uri to verify. The service that is reached says which
 * route matched; what it received must be the path that was judged.
 */
export async function runPathConfusion(lab: Lab, attack: AttackCase): Promise<CaseResult> {
  const world = await lab.part('path_confusion', () => createPathWorld(lab));
  const log = new CaseLog();
  log.noteUnknown(attack, KNOWN_MEMBERS);
  const play: Play = {
    log,
    world,
    attack,
    target: expectText(attack.input, `${attack.id}.input`),
    method: expectText(attack['method'] ?? 'GET', `${attack.id}.method`),
    acceptable: outcomes(attack, 'acceptable'),
    never: outcomes(attack, 'never'),
  };
  for (const outcome of [...play.acceptable, ...play.never])
    if (!OUTCOME.test(outcome)) log.unchecked.push(`outcome ${JSON.stringify(outcome)}`);
  for (const asker of ASKERS) await askProxy(play, asker);
  for (const asker of ASKERS) await askVerify(play, asker);
  return log.finish('path_confusion', attack);
}

function outcomes(attack: AttackCase, member: 'acceptable' | 'never'): readonly string[] {
  const given = attack[member] ?? (member === 'acceptable' ? [attack.expect] : []);
  if (!Array.isArray(given)) throw new MalformedAttacks(`${attack.id}.${member}: expected an array`);
  return given.map(String);
}

/** From the gateway, with headers that make a verify that is reached by mistake say 200. */
async function askProxy(play: Play, asker: Asker): Promise<void> {
  const { log, world, method, target, acceptable, never } = play;
  world.forget();
  const host: HeaderLine[] = [['host', 'app.example.test'], ...FORWARDED];
  const lines: HeaderLine[] = [...host, ['accept', 'text/html'], ...cookieOf(play, asker), ...proofOf(method)];
  const bytes = requestBytes(method, target, lines);
  const answer = await world.instance.send(bytes, GATEWAY_ADDRESS, { method, deadlineMs: 2_000 });
  log.sent(`as ${asker}`, bytes, answer.bytes);
  const outcome = outcomeOf(world, answer);
  const [response] = answer.responses;
  if (asker === 'entitled') {
    log.check(acceptable.includes(outcome), `${outcome} (${response?.status}), acceptable: ${acceptable.join(', ')}`);
    log.check(!never.includes(outcome), `${outcome}: a hole`);
    noteStatus(play, response?.status);
  } else {
    const open = asker === 'nobody' ? !isProtected(outcome) : outcome !== 'route:admin';
    log.check(open, `${outcome} is reached as ${asker}`);
    const listed = acceptable.includes(outcome) || outcome === 'reject' || outcome === 'notfound';
    log.check(listed, `${outcome} as ${asker}, acceptable: ${acceptable.join(', ')}`);
    const hole = never.some((name) => name === outcome || name === `${outcome} without auth`);
    log.check(!hole, `${outcome} as ${asker}: a hole`);
  }
  checkForwarded(log, world, { outcome, method, forwardAs: play.attack['forward_as'] });
  if (outcome === 'reject' || outcome === 'notfound') checkRefusal(play, answer);
}

function cookieOf({ world }: Play, asker: Asker): HeaderLine[] {
  if (asker === 'nobody') return [];
  const { cookieName } = world.instance.spec;
  return [['cookie', `${cookieName}=${asker === 'entitled' ? world.entitled : world.ordinary}`]];
}

/** Unsafe methods come from our own page: this family is not about CSRF. */
function proofOf(method: string): HeaderLine[] {
  if (method === 'GET' || method === 'HEAD' || method === 'CONNECT') return [];
  return [
    ['origin', 'https://app.example.test'],
    ['x-csrf', '1'],
    ['content-type', 'application/json'],
    ['content-length', '0'],
  ];
}

/** Statuses are recommendations: any refusal is safe. */
function noteStatus({ log, attack }: Play, status: number | undefined): void {
  const recommended = attack['status'];
  if (typeof recommended !== 'number' || recommended === status) return;
  log.notes.push(`answered ${status ?? 'nothing'} where ${recommended} is recommended`);
}

function checkRefusal({ log, world }: Play, { responses }: Exchange): void {
  for (const { status, headers } of responses) {
    checkNoIdentity(log, { headers }, String(status));
    const session = newSessionOf({ status, headers, body: '' }, world.instance.spec.cookieName);
    log.check(session === undefined, `the ${status} sets a session`);
    log.check(status < 500 || status === 501 || status === 505, `answered ${status}`);
  }
}

/** The same text as X-Forwarded-Uri: never allowed to anybody for whom the proxy would not have forwarded it. */
async function askVerify(play: Play, asker: Asker): Promise<void> {
  const { log, world, method, target, acceptable } = play;
  if (target !== target.trim() || target.length > TARGET_MAX_CHARS) {
    if (asker === 'nobody')
      log.notes.push('too long, or blanks around it, which are no part of a header value: not asked of verify');
    return;
  }
  const own = verifyHeaders([], 'app.example.test', target).filter(([name]) => name !== 'x-forwarded-method');
  const lines: HeaderLine[] = [...own, ['x-forwarded-method', method], ...cookieOf(play, asker)];
  if (method !== 'GET') lines.push(['origin', 'https://app.example.test']);
  const bytes = requestBytes('GET', '/auth/verify', lines);
  const answer = await world.instance.send(bytes, GATEWAY_ADDRESS);
  log.sent(`verify as ${asker}`, bytes, answer.bytes);
  const status = answer.responses[0]?.status ?? 0;
  const expected = expectedOfVerify(acceptable, asker);
  if (expected !== 'refuse' && status === 200) return;
  log.check(expected !== 'allow', `verify answered ${status || 'nothing'} to ${asker}, expected 200`);
  log.check(status >= 300 && status < 500, `verify answered ${status || 'nothing'} to ${asker}, expected a refusal`);
  checkRefusal(play, answer);
}
