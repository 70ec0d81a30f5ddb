import { type AttackCase, COMMON_MEMBERS, isObject } from './cases.ts';
import { CREDENTIALS, type CsrfCase, prepareCsrfCase } from './csrf-case.ts';
import { checkCors, checkHeaders, isLive, judgeAccepted, judgeRejected } from './csrf-judge.ts';
import { type CsrfWorld, createCsrfWorld } from './csrf-world.ts';
import type { Lab } from './lab.ts';
import { CaseLog, type CaseResult } from './report.ts';

const KNOWN_MEMBERS = new Set([
  ...COMMON_MEMBERS,
  'expect_headers',
  'upstream_headers',
  'assert',
  'status',
  'acceptable_status',
]);
const INPUT_MEMBERS = new Set(['method', 'host', 'path', 'credentials', 'headers', 'body']);

/**
 * The request of the case with a live session or token as it says, with cookies in both CSRF modes. `accept` = done once, as the method that was
 * evaluated; `reject` = a 4xx, nothing reaches the service, nothing can be read, the session lives on.
 */
export async function runCsrfCors(lab: Lab, attack: AttackCase): Promise<CaseResult> {
  const world = await lab.part('csrf_cors', () => createCsrfWorld(lab));
  const log = new CaseLog();
  noteUnknown(log, attack);
  await playCase(lab, world, attack, log);
  const { credentials } = attack.input as Record<string, unknown>;
  if (String(credentials).startsWith('cookie')) {
    await playCase(lab, { ...world, instance: world.byToken }, attack, log);
  }
  return log.finish('csrf_cors', attack);
}

async function playCase(lab: Lab, world: CsrfWorld, attack: AttackCase, log: CaseLog): Promise<void> {
  const run = await prepareCsrfCase(lab, world, attack);
  lab.world.echo.forget();
  if (isObject(attack['upstream_headers']))
    lab.world.echo.answerWith(attack['upstream_headers'] as Record<string, string>);
  const exchange = await run.instance.send(run.bytes, run.from, { method: run.method });
  log.sent(`request (${run.instance.spec.csrfMode ?? 'header'})`, run.bytes, exchange.bytes);
  const [response] = exchange.responses;
  if (response !== undefined) {
    checkCors(log, run, response);
    checkHeaders(log, attack['expect_headers'], response);
  }
  if (attack.expect === 'reject') await judgeRejected(lab, log, run, exchange);
  else if (attack.expect !== 'accept') log.unchecked.push(`expect ${JSON.stringify(attack.expect)}`);
  else if (response === undefined) log.check(false, 'no answer');
  else await judgeAccepted(lab, log, run, response);
  await checkAsserts(log, run);
}

function noteUnknown(log: CaseLog, attack: AttackCase): void {
  log.noteUnknown(attack, KNOWN_MEMBERS);
  const { credentials, ...input } = attack.input as Record<string, unknown>;
  if (!CREDENTIALS.includes(credentials)) log.unchecked.push(`input.credentials ${JSON.stringify(credentials)}`);
  log.noteUnknown(input, INPUT_MEMBERS, 'input.');
}

async function checkAsserts(log: CaseLog, run: CsrfCase): Promise<void> {
  const { assert } = run.attack;
  for (const text of Array.isArray(assert) ? assert : []) {
    if (text === 'session still valid afterwards') log.check(await isLive(run), 'the session is no longer valid');
    else log.unchecked.push(`assert ${JSON.stringify(text)}`);
  }
}
