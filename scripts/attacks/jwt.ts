import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type AttackCase, COMMON_MEMBERS, expectObject, expectText, MalformedAttacks } from './cases.ts';
import type { Instance } from './instance.ts';
import { buildBoundRequest, signProof } from './jwt-dpop.ts';
import { runIdToken } from './jwt-id-token.ts';
import { runLogoutToken } from './jwt-logout.ts';
import { baseToken, buildTokens, readInput } from './jwt-token.ts';
import { createJwtWorld, DEFAULT_ALGS, type JwtWorld } from './jwt-world.ts';
import type { Lab } from './lab.ts';
import { type RawResponse, requestBytes, valuesOf } from './raw-client.ts';
import { CaseLog, type CaseResult } from './report.ts';
import { checkNoIdentity, type HeaderLine, verifyHeaders } from './sign-in.ts';
import { GATEWAY_ADDRESS } from './world.ts';

const KNOWN_INPUT = new Set(
  `context header payload signature sign_with raw allowed_algs assert_no_request_to assert_max_ms jwks client_cert
  scheme dpop note request replay`.split(/\s+/),
);

/** What the only accepted subject is called. */
const SUBJECT = 'u1';
const TRIES_FOR_TIME = 3;

type Input = ReturnType<typeof readInput>;
type Play = { readonly log: CaseLog; readonly attack: AttackCase; readonly input: Input; readonly instance: Instance };

/**
 * An access token as the case describes it, brought to verify from the trusted gateway, signed for real with keys of a
 * real JWKS endpoint. `accept` = 200 as the token's subject; `reject` = a 4xx without any identity.
 */
export async function runJwt(lab: Lab, attack: AttackCase): Promise<CaseResult> {
  const input = readInput(attack.id, attack.input);
  if (input.context === 'logout_token') return runLogoutToken(lab, attack, input);
  if (input.context === 'id_token') return runIdToken(lab, attack, input);
  if (input.context !== 'access_token' && input.context !== 'dpop_proof')
    throw new MalformedAttacks(`${attack.id}.input.context: ${input.context}`);
  const world = await lab.part('jwt', createJwtWorld);
  const log = new CaseLog();
  noteUnknown(log, attack, input);
  const instance = await world.instance((input['allowed_algs'] as string[] | undefined) ?? DEFAULT_ALGS);
  const play: Play = { log, attack, input, instance };
  // The keys are read at the first token of an instance: not on this case's account.
  await warmUp(play, world);
  const reads = world.keyReads();
  const asked = await watchRequests(async () => {
    if (input.context === 'dpop_proof') return playProof(play, world);
    for (const token of await buildTokens(attack.id, input, world.keys)) {
      for (const request of requestsOf(play, token, world)) await sendAndJudge(play, request);
    }
  });
  const host = input['assert_no_request_to'];
  log.check(host === undefined || !asked.some((origin) => origin.includes(String(host))), `a request went to ${host}`);
  log.check(world.keyReads() - reads <= 1, `the keys were read ${world.keyReads() - reads} times for one case`);
  return log.finish('jwt', attack);
}

function noteUnknown(log: CaseLog, attack: AttackCase, input: Input): void {
  log.noteUnknown(attack, COMMON_MEMBERS);
  log.noteUnknown(input, KNOWN_INPUT, 'input.');
  const { jwks, client_cert: certificate } = input as Readonly<Record<string, unknown>>;
  // The set holds ec-1 and ec-2 for every case, and no request carries a client certificate.
  if (jwks !== undefined && jwks !== 'two ES256 keys') log.unchecked.push(`input.jwks ${String(jwks)}`);
  if (certificate !== undefined && certificate !== 'none')
    log.unchecked.push(`input.client_cert ${String(certificate)}`);
  if (Array.isArray(input['header'] && (expectObject(input['header'], attack.id)['x5c'] as unknown))) {
    log.notes.push('x5c carries the bare public key of the attacker instead of a certificate');
  }
}

async function warmUp({ attack, instance }: Play, world: JwtWorld): Promise<void> {
  const token = baseToken(attack.id, world.keys);
  const [response] = (await instance.send(verifyRequest([['authorization', `Bearer ${token}`]]), GATEWAY_ADDRESS))
    .responses;
  if (response?.status !== 200) throw new Error(`the valid base token is answered ${response?.status}`);
}

/** The requests that bring a token as the case says. */
function requestsOf({ attack, input, instance }: Play, token: string, world: JwtWorld): readonly Buffer[] {
  const scheme = input['scheme'] === undefined ? 'Bearer' : expectText(input['scheme'], `${attack.id}.scheme`);
  const authorization: HeaderLine = ['authorization', `${scheme} ${token}`];
  if (input['raw'] === 'two-authorization-headers') {
    const other: HeaderLine = ['authorization', `Bearer ${baseToken(`${attack.id}-2`, world.keys)}`];
    return [verifyRequest([authorization, authorization]), verifyRequest([authorization, other])];
  }
  if (input['raw'] === 'query:access_token') {
    return [verifyRequest([], `?access_token=${token}`), verifyRequest([], '', `/dashboard?access_token=${token}`)];
  }
  const proof: HeaderLine[] = [];
  if (typeof input['dpop'] === 'string') {
    const about = { token, method: 'GET', nowS: world.nowS(instance) };
    const payload = { htu: 'https://app.example.test/dashboard' };
    proof.push(['dpop', signProof(attack.id, { payload }, world.holder, about)]);
  }
  return [verifyRequest([authorization, ...proof])];
}

/** A bound token with its proof; a replay is the same request once more, after it was accepted. */
async function playProof(play: Play, world: JwtWorld): Promise<void> {
  const { attack, input, instance } = play;
  const bound = buildBoundRequest(attack.id, input, world.keys, world.holder, world.nowS(instance));
  const lines: HeaderLine[] = [
    ['authorization', `DPoP ${bound.token}`],
    ['dpop', bound.proof],
  ];
  const headers = [...verifyHeaders([], 'app.example.test', bound.uri), ...lines].map(([name, value]): HeaderLine => {
    return name.toLowerCase() === 'x-forwarded-method' ? [name, bound.method] : [name, value];
  });
  const request = requestBytes('GET', '/auth/verify', headers);
  if (input['replay'] === true) await sendAndJudge({ ...play, attack: { ...attack, expect: 'accept' } }, request);
  await sendAndJudge(play, request);
}

function verifyRequest(lines: readonly HeaderLine[], query = '', uri = '/dashboard'): Buffer {
  return requestBytes('GET', `/auth/verify${query}`, [...verifyHeaders([], 'app.example.test', uri), ...lines]);
}

async function sendAndJudge({ log, attack, input, instance }: Play, request: Buffer): Promise<void> {
  const maxMs = input['assert_max_ms'];
  let fastestMs = Number.POSITIVE_INFINITY;
  // A bound on time speaks of the work, not of the machine's other load: the fastest try counts.
  for (let tries = maxMs === undefined ? 1 : TRIES_FOR_TIME; tries > 0; tries -= 1) {
    const began = performance.now();
    const answer = await instance.send(request, GATEWAY_ADDRESS);
    fastestMs = Math.min(fastestMs, performance.now() - began);
    log.sent('verify', request, answer.bytes);
    judge(log, attack, input, answer.responses[0]);
  }
  log.check(maxMs === undefined || fastestMs <= Number(maxMs), `answered after ${Math.round(fastestMs)} ms`);
}

function judge(log: CaseLog, attack: AttackCase, input: Input, response: RawResponse | undefined): void {
  const status = response?.status ?? 0;
  const read = (name: string): string => valuesOf(response?.headers ?? [], name).join(' | ');
  if (attack.expect === 'accept') {
    log.check(status === 200, `answered ${status || 'nothing'}, expected 200`);
    log.check(read('x-user-id') === SUBJECT, `X-User-Id is ${JSON.stringify(read('x-user-id'))}`);
    return;
  }
  if (attack.expect !== 'reject') throw new MalformedAttacks(`${attack.id}.expect: expected accept or reject`);
  if (status === 200 && String(input['note'] ?? '').startsWith('or accept with the claim ignored')) {
    log.notes.push('accepted with the claim ignored, as its note allows');
    log.check(read('x-user-roles') === '', `X-User-Roles is ${JSON.stringify(read('x-user-roles'))}`);
    return;
  }
  log.check(status >= 400 && status < 500, `answered ${status || 'nothing'}, expected a 4xx refusal`);
  checkNoIdentity(log, response, 'answer');
}

/** Origins that HTTP requests of this process went to meanwhile; raw sockets of this runner are none. */
async function watchRequests(run: () => Promise<void>): Promise<readonly string[]> {
  const origins: string[] = [];
  const note = (message: unknown): void => {
    origins.push(String((message as { readonly request?: { readonly origin?: unknown } }).request?.origin));
  };
  subscribe('undici:request:create', note);
  try {
    await run();
  } finally {
    unsubscribe('undici:request:create', note);
  }
  return origins;
}
