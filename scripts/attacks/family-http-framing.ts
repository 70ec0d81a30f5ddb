import { type AttackCase, COMMON_MEMBERS, expectText } from './cases.ts';
import type { Instance } from './instance.ts';
import type { Lab } from './lab.ts';
import { type Exchange, valuesOf } from './raw-client.ts';
import { CaseLog, type CaseResult } from './report.ts';
import { verifyHandle } from './sign-in.ts';
import { GATEWAY_ADDRESS, USERS } from './world.ts';

const KNOWN_MEMBERS = new Set([...COMMON_MEMBERS, 'uws_v20_79', 'uws_head_2026_08']);
/** Statuses by which a parser or handler refuses a malformed message. */
const REFUSALS = new Set([400, 411, 413, 414, 417, 431, 501, 505]);
const LISTEN = { answers: 'all', deadlineMs: 2_000, quietMs: 250 } as const;

/** What an expectation text asks for. */
type Reading = 'reject' | 'accept' | 'either';

/**
 * Raw bytes (Latin-1) on a fresh connection. `reject` = refused with a 4xx, 501 or 505, closed, or never completed;
 * nothing reaches the service, at most one request is answered, no cookie is set. Afterwards a normal request on a
 * new connection must work and the session of the bystander must live.
 */
export async function runHttpFraming(lab: Lab, attack: AttackCase): Promise<CaseResult> {
  const log = new CaseLog();
  log.noteUnknown(attack, KNOWN_MEMBERS);
  const input = expectText(attack.input, `${attack.id}.input`);
  const expect = expectText(attack.expect, `${attack.id}.expect`);
  const instance = await lab.world.instance();
  const bystander = await lab.sessionsOf(instance)(USERS.first);
  lab.world.echo.forget();
  const from = lab.world.strangerAddress(instance);
  const bytes = Buffer.from(input, 'latin1');
  const answer = await instance.send(bytes, from, { ...LISTEN, method: input.startsWith('HEAD ') ? 'HEAD' : 'GET' });
  log.sent('raw', bytes, answer.bytes);
  const reading = readExpectation(expect);
  if (reading === undefined) log.unchecked.push(`expect ${JSON.stringify(expect)}`);
  else judge(lab, log, reading, answer);
  if (reading === 'reject') await sendInPieces(lab, log, instance, bytes, from);
  if (/body is hello/.test(expect)) checkBody(lab, log);
  if (/both lines joined/.test(expect)) await checkJoined(log, instance, input, from, bystander);
  if (/ignore the claimed source/.test(expect)) await checkSourceIgnored(log, instance, from);
  const alive = await verifyHandle(instance, bystander);
  log.check(
    alive?.status === 200,
    `afterwards a normal verify of a live session answered ${alive?.status ?? 'nothing'}`,
  );
  if (reading === 'reject') await noteProxied(lab, log, instance, input, from);
  return log.finish('http_framing', attack);
}

/** The same bytes with the body arriving later: parsers that read ahead differ between the two. */
async function sendInPieces(lab: Lab, log: CaseLog, instance: Instance, bytes: Buffer, from: string): Promise<void> {
  const bodyAt = bytes.indexOf('\r\n\r\n') + 4;
  if (bodyAt < 4 || bodyAt === bytes.length) return;
  lab.world.echo.forget();
  const answer = await instance.send([bytes.subarray(0, bodyAt), bytes.subarray(bodyAt)], from, LISTEN);
  log.sent('raw in two pieces', '(the same, body later)', answer.bytes);
  judge(lab, log, 'reject', answer);
}

function readExpectation(expect: string): Reading | undefined {
  if (/^reject\b/.test(expect)) return 'reject';
  if (/^accept or reject\b/.test(expect) || /^accept\b.*\bor reject\b/.test(expect)) return 'either';
  if (/^accept synchronously answered/.test(expect)) return 'either';
  return /^accept\b/.test(expect) ? 'accept' : undefined;
}

function judge(lab: Lab, log: CaseLog, reading: Reading, answer: Exchange): void {
  const first = answer.responses[0];
  for (const response of answer.responses) {
    log.check(valuesOf(response.headers, 'set-cookie').length === 0, 'an answer sets a cookie');
  }
  if (reading === 'either') return;
  if (reading === 'accept') {
    log.check(
      first !== undefined && !REFUSALS.has(first.status),
      `answered ${first?.status ?? 'nothing'}, expected a normal answer`,
    );
    return;
  }
  log.check(lab.world.echo.seen.length === 0, `the service behind saw ${lab.world.echo.seen.length} request(s)`);
  log.check(answer.responses.length <= 1, `${answer.responses.length} requests were answered on the connection`);
  if (first === undefined) {
    if (answer.timedOut) log.notes.push('the parser waited for more bytes; nothing was handled');
    return;
  }
  const refused = (first.status >= 400 && first.status < 500) || first.status === 501 || first.status === 505;
  log.check(refused, `answered ${first.status}, expected a refusal`);
}

function checkBody(lab: Lab, log: CaseLog): void {
  for (const { body } of lab.world.echo.seen)
    log.check(body === 'hello', `the service behind read the body ${JSON.stringify(body)}`);
}

/** The same lines with a live handle, on a route that needs one: 200 shows that the second line counts. */
async function checkJoined(
  log: CaseLog,
  instance: Instance,
  input: string,
  from: string,
  handle: string,
): Promise<void> {
  const routed = input.replace(/^GET \S+/, 'GET /api/users/1').replace(/bff_session=[^\r;]*/, `bff_session=${handle}`);
  const answer = await instance.send(Buffer.from(routed, 'latin1'), from);
  log.sent('joined', routed, answer.bytes);
  log.check(
    answer.responses[0]?.status === 200,
    `with a live handle in the second line: ${answer.responses[0]?.status ?? 'nothing'}, expected 200`,
  );
}

/** The same frame before a verify request from an untrusted address must not make that address trusted. */
async function checkSourceIgnored(log: CaseLog, instance: Instance, from: string): Promise<void> {
  const frame = Buffer.from('\r\n\r\n\0\r\nQUIT\n!\x11\0\f\n\0\0\x05\n\0\0\x05\0P\0P', 'latin1');
  const verify = Buffer.from('GET /auth/verify HTTP/1.1\r\nHost: bff.internal:8080\r\n\r\n', 'latin1');
  const plain = (await instance.send(verify, from)).responses[0]?.status;
  const framed = (await instance.send(Buffer.concat([frame, verify]), from)).responses[0]?.status;
  const trusted = (await instance.send(verify, GATEWAY_ADDRESS)).responses[0]?.status;
  log.check(framed === plain, `verify answers ${framed} behind the frame and ${plain} without it`);
  log.check(framed !== trusted, `verify cannot tell the frame's address from the trusted one (both ${trusted})`);
}

/** How the same bytes fare on a proxied public route; told, not judged: the files' targets are served by no route. */
async function noteProxied(lab: Lab, log: CaseLog, instance: Instance, input: string, from: string): Promise<void> {
  const routed = input.replace(/^([A-Z]+) \/ /, '$1 /api/public/x ');
  if (routed === input) return;
  lab.world.echo.forget();
  const answer = await instance.send(Buffer.from(routed, 'latin1'), from, { ...LISTEN, deadlineMs: 1_000 });
  const seen = lab.world.echo.seen.map(({ method, url, body }) => `${method} ${url} ${JSON.stringify(body)}`);
  if (seen.length === 0 && answer.responses.length <= 1) return;
  log.notes.push(
    `on a proxied public route the same framing is forwarded: ${seen.join(', ') || `${answer.responses.length} answers`}`,
  );
}
