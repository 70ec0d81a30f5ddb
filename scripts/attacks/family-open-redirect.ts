import { type AttackCase, COMMON_MEMBERS, expectText } from './cases.ts';
import { MAIN_URL } from './instance.ts';
import type { Lab } from './lab.ts';
import { CaseLog, type CaseResult } from './report.ts';
import { beginLogin, completeLogin, type LoginAnswer, locationOf } from './sign-in.ts';
import { USERS } from './world.ts';

const KNOWN_MEMBERS = new Set([...COMMON_MEMBERS, 'browser_resolves_to', 'input_kind']);
const CALLBACK_URL = `${MAIN_URL}/auth/callback`;

/**
 * A sign-in with this `return_to`, walked to its end: `accept` = the callback redirects to that very URL; `reject` =
 * the login is refused with a 4xx, or the sign-in ends on the default page.
 */
export async function runOpenRedirect(lab: Lab, attack: AttackCase): Promise<CaseResult> {
  const log = new CaseLog();
  const input = expectText(attack.input, `${attack.id}.input`);
  log.noteUnknown(attack, KNOWN_MEMBERS);
  const kind = attack['input_kind'] ?? 'value';
  if (kind !== 'value' && kind !== 'raw_query') log.unchecked.push(`input_kind ${JSON.stringify(kind)}`);
  const query = kind === 'raw_query' ? input : `return_to=${encodeURIComponent(input.toWellFormed())}`;
  const instance = await lab.world.instance();
  const login = await beginLogin(lab.world, instance, query);
  log.sent('login', login.request, login.exchange.bytes);
  const value = kind === 'raw_query' ? new URLSearchParams(input).get('return_to') : input;
  if (attack.expect === 'accept') await checkAccepted(lab, log, attack, login, value);
  else if (attack.expect === 'reject') await checkRejected(lab, log, login);
  else log.unchecked.push(`expect ${JSON.stringify(attack.expect)}`);
  return log.finish('open_redirect', attack);
}

async function checkAccepted(
  lab: Lab,
  log: CaseLog,
  attack: AttackCase,
  login: LoginAnswer,
  value: string | null,
): Promise<void> {
  if (login.pending === undefined) {
    // The file allows a refusal beside the recommended result: "must be re-encoded as %20, or refused".
    if (/or refused/.test(attack.why) && isRefusal(login)) return;
    log.check(false, `the login was not sent to the provider (status ${login.response?.status ?? 'none'})`);
    return;
  }
  const target = await finish(lab, log, login);
  const origin = typeof attack['browser_resolves_to'] === 'string' ? attack['browser_resolves_to'] : MAIN_URL;
  log.check(target?.origin === origin, `the sign-in ended at ${target?.origin ?? 'no redirect'}, expected ${origin}`);
  const expected = URL.canParse(value ?? '', CALLBACK_URL) ? new URL(value ?? '', CALLBACK_URL).href : undefined;
  log.check(target?.href === expected, `the sign-in ended at ${target?.href ?? 'no redirect'}, expected ${expected}`);
}

async function checkRejected(lab: Lab, log: CaseLog, login: LoginAnswer): Promise<void> {
  if (login.pending === undefined) {
    log.check(isRefusal(login), `neither a refusal nor a sign-in (status ${login.response?.status ?? 'none'})`);
    return;
  }
  const target = await finish(lab, log, login);
  if (target === undefined) return;
  log.check(target.href === `${MAIN_URL}/`, `the sign-in ended at ${target.href}, expected the default page`);
}

function isRefusal({ response, exchange }: LoginAnswer): boolean {
  if (response === undefined) return exchange.closedByServer;
  return response.status >= 400 && response.status < 500 && locationOf(response) === undefined;
}

/** Walk the sign-in to its end; the URL that a browser would go to, undefined without a redirect. */
async function finish(lab: Lab, log: CaseLog, login: LoginAnswer): Promise<URL | undefined> {
  if (login.pending === undefined) return undefined;
  const instance = await lab.world.instance();
  const { response, exchange, handle } = await completeLogin(lab.world, instance, login.pending, USERS.first);
  log.sent('callback', '(the callback of this login)', exchange.bytes);
  if (response === undefined || handle === undefined) return undefined;
  const location = locationOf(response);
  return location !== undefined && URL.canParse(location, CALLBACK_URL) ? new URL(location, CALLBACK_URL) : undefined;
}
