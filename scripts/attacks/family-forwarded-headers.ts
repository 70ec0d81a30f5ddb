import { type AttackCase, COMMON_MEMBERS, expectObject, expectText, MalformedAttacks } from './cases.ts';
import { type ForwardedCase, send } from './forwarded-case.ts';
import { checkAnswerHeaders, checkUpstream, identityValue } from './forwarded-effects.ts';
import { checkLogin, checkOriginalRequest } from './forwarded-original.ts';
import { FIRST_LITERAL, SECOND_LITERAL, substituteHandles } from './handles.ts';
import { IDENTITY_HEADERS, type InstanceSpec } from './instance.ts';
import type { Lab } from './lab.ts';
import { type PeerPlay, playedTrust, WORLD_TRUSTED } from './peers.ts';
import { type Exchange, proxyFrameV2, requestBytes } from './raw-client.ts';
import { CaseLog, type CaseResult } from './report.ts';
import { checkNoIdentity, type HeaderLine, locationOf, newSessionOf, setCookies } from './sign-in.ts';
import { USERS } from './world.ts';

const INPUT_MEMBERS = new Set(['peer', 'endpoint', 'method', 'headers', 'trusted_proxies', 'proxied_remote_address']);
const EXPECT_MEMBERS = new Set([
  'decision',
  'status',
  'acceptable_status',
  'note',
  'client_ip',
  'proto',
  'host',
  'uri',
  'method',
  'drop_headers',
  'response_identity',
  'upstream_absent',
  'upstream_single',
]);

/** The request of the case from its peer, byte for byte; see each decision below for what its expectation means. */
export async function runForwardedHeaders(lab: Lab, attack: AttackCase): Promise<CaseResult> {
  const log = new CaseLog();
  const input = expectObject(attack.input, `${attack.id}.input`);
  const expect = expectObject(attack.expect, `${attack.id}.expect`);
  log.noteUnknown(attack, COMMON_MEMBERS);
  log.noteUnknown(input, INPUT_MEMBERS, 'input.');
  log.noteUnknown(expect, EXPECT_MEMBERS, 'expect.');
  const run = await prepare(lab, attack, input, expect);
  if (run.peer.remark !== undefined) log.notes.push(run.peer.remark);
  run.instance.forgetLog();
  lab.world.echo.forget();
  const answer = await send(run, run.headers);
  log.sent(
    `from ${run.peer.localAddress} (plays ${run.peerName})`,
    requestBytes(run.method, run.endpoint, run.headers),
    answer.bytes,
  );
  await judge(lab, log, run, answer);
  return log.finish('forwarded_headers', attack);
}

async function prepare(
  lab: Lab,
  attack: AttackCase,
  input: Record<string, unknown>,
  expect: Record<string, unknown>,
): Promise<ForwardedCase> {
  const place = `${attack.id}.input`;
  const trusted =
    input['trusted_proxies'] === undefined
      ? WORLD_TRUSTED
      : textList(input['trusted_proxies'], `${place}.trusted_proxies`);
  const peerName = expectText(input['peer'], `${place}.peer`);
  const peer = lab.world.peers.play(peerName, trusted);
  const instance = await lab.world.instance(specOf(peer, trusted));
  const lines = headerLines(input['headers'], `${place}.headers`);
  const site = String(expect['host'] ?? '').endsWith('.apps.example.test') ? 'tenants' : 'main';
  const named = lines.some(([, value]) => value.includes(FIRST_LITERAL) || value.includes(SECOND_LITERAL));
  const substitutions = named
    ? [
        { literal: FIRST_LITERAL, handle: await lab.sessionsOf(instance)(USERS.first, site) },
        { literal: SECOND_LITERAL, handle: await lab.sessionsOf(instance)(USERS.second, site) },
      ]
    : [];
  const claimed = input['proxied_remote_address'];
  return {
    attack,
    endpoint: expectText(input['endpoint'], `${place}.endpoint`),
    method: expectText(input['method'], `${place}.method`),
    headers: lines.map(([name, value]) => [name, substituteHandles(value, substitutions)]),
    withSession: named,
    expect,
    instance,
    peer,
    peerName,
    frame:
      claimed === undefined ? Buffer.alloc(0) : proxyFrameV2(expectText(claimed, `${place}.proxied_remote_address`)),
  };
}

function specOf(peer: PeerPlay, trusted: readonly string[]): Partial<InstanceSpec> {
  return { listener: peer.listener, trustedProxies: playedTrust(trusted, peer.listener, peer.trusted) };
}

function headerLines(value: unknown, place: string): HeaderLine[] {
  if (!Array.isArray(value)) throw new MalformedAttacks(`${place}: expected [name, value] pairs`);
  return value.map((pair, index) => {
    if (!Array.isArray(pair) || pair.length !== 2)
      throw new MalformedAttacks(`${place}[${index}]: expected [name, value]`);
    return [expectText(pair[0], `${place}[${index}][0]`), expectText(pair[1], `${place}[${index}][1]`)];
  });
}

function textList(value: unknown, place: string): string[] {
  if (!Array.isArray(value)) throw new MalformedAttacks(`${place}: expected an array`);
  return value.map((entry, index) => expectText(entry, `${place}[${index}]`));
}

async function judge(lab: Lab, log: CaseLog, run: ForwardedCase, answer: Exchange): Promise<void> {
  switch (run.expect['decision']) {
    case 'evaluate':
      return judgeEvaluated(lab, log, run, answer);
    case 'reject':
      return judgeRejected(lab, log, run, answer);
    case 'ignore_forwarded':
      return judgeIgnored(log, run, answer);
    case 'redirect_or_reject':
      return judgeRedirectOrReject(log, answer);
    default:
      log.unchecked.push(`expect.decision ${JSON.stringify(run.expect['decision'])}`);
  }
}

/** 200 for the live session (or the public route), seen as the original request that the expectation describes. */
async function judgeEvaluated(lab: Lab, log: CaseLog, run: ForwardedCase, answer: Exchange): Promise<void> {
  const response = answer.responses[0];
  const isLogin = run.endpoint.split('?')[0] === '/auth/login';
  if (isLogin) return checkLogin(log, run, response);
  const isVerify = /^\/auth\/(verify|forward|validate)\b/.test(run.endpoint);
  if (isVerify) await checkOriginalRequest(log, run, response);
  else log.check(response?.status === 200, `answered ${response?.status ?? 'nothing'}, expected 200`);
  if (isVerify && response !== undefined) checkAnswerHeaders(log, run, response);
  await checkUpstream(lab, log, run);
}

/** A 4xx (or one of `acceptable_status`) without identity and without a new session; nothing reaches a service. */
function judgeRejected(lab: Lab, log: CaseLog, run: ForwardedCase, answer: Exchange): void {
  log.check(lab.world.echo.seen.length === 0, 'the service behind saw the request');
  const response = answer.responses[0];
  if (response === undefined) {
    log.check(answer.closedByServer, 'no answer and the connection stays open');
    return;
  }
  const { acceptable_status: listed } = run.expect;
  const acceptable = Array.isArray(listed)
    ? listed.includes(response.status)
    : response.status >= 400 && response.status < 500;
  log.check(
    acceptable,
    `answered ${response.status}, expected ${Array.isArray(listed) ? listed.join(', ') : 'a 4xx refusal'}`,
  );
  checkNoIdentity(log, response, 'refusal');
  log.check(newSessionOf(response, run.instance.spec.cookieName) === undefined, 'the refusal sets a session');
}

/** Answered as the direct request it is: nothing of the forwarded values comes back, the host is the real one. */
function judgeIgnored(log: CaseLog, run: ForwardedCase, answer: Exchange): void {
  const response = answer.responses[0];
  log.check(response !== undefined && response.status < 500, `answered ${response?.status ?? 'nothing'}`);
  if (response === undefined) return;
  if (run.endpoint.split('?')[0] === '/auth/login') checkLogin(log, run, response);
  const text = answer.bytes.toString('latin1');
  for (const [name, value] of run.headers) {
    const isForwarded = /^(x[-_.]forwarded|forwarded|x-real|x-original)/i.test(name);
    log.check(!isForwarded || !text.includes(value), `the answer repeats ${value} of ${name}`);
  }
  for (const name of ['client_ip', 'proto', 'uri', 'method']) {
    if (run.expect[name] !== undefined) log.unchecked.push(`expect.${name} with ignore_forwarded`);
  }
}

/** Never 200 and never a Secure cookie over http; a redirect may only lead to https on the same host. */
function judgeRedirectOrReject(log: CaseLog, answer: Exchange): void {
  const response = answer.responses[0];
  if (response === undefined) {
    log.check(answer.closedByServer, 'no answer and the connection stays open');
    return;
  }
  log.check(
    response.status >= 300 && response.status < 500,
    `answered ${response.status}, expected a redirect or a refusal`,
  );
  log.check(
    setCookies(response).every(({ expires }) => expires),
    'the answer sets a cookie',
  );
  const location = locationOf(response);
  if (location !== undefined) log.check(location.startsWith('https://app.example.test/'), `redirects to ${location}`);
  const carried = IDENTITY_HEADERS.filter((name) => identityValue(response, name) !== '');
  log.check(carried.length === 0, `the answer carries identity headers: ${carried.join(', ')}`);
}
