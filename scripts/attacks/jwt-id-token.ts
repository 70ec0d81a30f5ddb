import { setTimeout as sleep } from 'node:timers/promises';
import { type AttackCase, COMMON_MEMBERS, expectObject, MalformedAttacks } from './cases.ts';
import type { Instance } from './instance.ts';
import { signInWith } from './jwt-sign-in.ts';
import { buildTokens, idToken, type readInput } from './jwt-token.ts';
import { createJwtWorld, DEFAULT_ALGS, type JwtWorld } from './jwt-world.ts';
import type { Lab } from './lab.ts';
import { type RawResponse, valuesOf } from './raw-client.ts';
import { CaseLog, type CaseResult } from './report.ts';
import { newSessionOf, verifyHandle } from './sign-in.ts';

const KNOWN_INPUT = new Set(['context', 'header', 'payload', 'signature', 'sign_with', 'request', 'grant', 'userinfo']);
/** Life of the first access token where the case attacks the refresh, s. */
const SHORT_LIFE_S = 1;
const REFRESHED = 'an-access-token-of-the-attacker';

type Input = ReturnType<typeof readInput>;
type Play = { readonly lab: Lab; readonly world: JwtWorld; readonly instance: Instance; readonly log: CaseLog };

/**
 * An ID token as the case describes it, answered by the token endpoint to a real login, or to a refresh. `accept` = the
 * user is signed in; `reject` = nobody is, and what came with the token reaches nobody.
 */
export async function runIdToken(lab: Lab, attack: AttackCase, input: Input): Promise<CaseResult> {
  const world = await lab.part('jwt', createJwtWorld);
  const log = new CaseLog();
  log.noteUnknown(attack, COMMON_MEMBERS);
  log.noteUnknown(input, KNOWN_INPUT, 'input.');
  const { userinfo, grant = 'authorization_code' } = input as Readonly<Record<string, unknown>>;
  const instance = await (userinfo === undefined ? world.instance(DEFAULT_ALGS) : world.withUserinfo());
  if (userinfo !== undefined) world.answerUserinfo(expectObject(userinfo, `${attack.id}.input.userinfo`));
  const play: Play = { lab, world, instance, log };
  if (grant === 'authorization_code') await attackLogin(play, attack, input);
  else if (grant === 'refresh_token') await attackRefresh(play, attack, input);
  else throw new MalformedAttacks(`${attack.id}.input.grant: ${String(grant)}`);
  return log.finish('jwt', attack);
}

async function attackLogin({ lab, world, instance, log }: Play, attack: AttackCase, input: Input): Promise<void> {
  const wanted = expectObject(input['request'] ?? {}, `${attack.id}.input.request`);
  const query = new URLSearchParams(
    Object.entries(wanted).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString();
  const login = { lab, world, instance, log, query };
  const response = await signIn(login, async (nonce) => {
    const payload = { nonce, ...expectObject(input['payload'] ?? {}, `${attack.id}.input.payload`) };
    const [token] = await buildTokens(attack.id, { ...input, payload }, world.keys);
    return { id_token: token ?? '' };
  });
  const handle = response && newSessionOf(response, instance.spec.cookieName);
  if (attack.expect === 'accept') {
    const status = handle === undefined ? 0 : (await verifyHandle(instance, handle))?.status;
    log.check(status === 200, `verify answers ${status || 'nothing: there is no session'}`);
    return;
  }
  if (attack.expect !== 'reject') throw new MalformedAttacks(`${attack.id}.expect: expected accept or reject`);
  log.check(handle === undefined, 'there is a session');
  const status = response?.status ?? 0;
  log.check(status >= 400 && status < 600, `the callback is answered ${status || 'nothing'}`);
}

/** The session of an honest login; its token ends, and the refresh brings the case's ID token. */
async function attackRefresh({ lab, world, instance, log }: Play, attack: AttackCase, input: Input): Promise<void> {
  if (attack.expect !== 'reject') throw new MalformedAttacks(`${attack.id}.expect: expected reject`);
  const response = await signIn({ lab, world, instance, log, query: '' }, async (nonce) => ({
    expires_in: SHORT_LIFE_S,
    refresh_token: 'a-refresh-token-of-the-runner',
    id_token: idToken(nonce, world.keys),
  }));
  const handle = response && newSessionOf(response, instance.spec.cookieName);
  if (handle === undefined) throw new Error(`${attack.id}: the honest login made no session`);
  const [token = ''] = await buildTokens(attack.id, input, world.keys);
  world.answerTokens({ access_token: REFRESHED, token_type: 'Bearer', expires_in: 3_600, id_token: token });
  await sleep(SHORT_LIFE_S * 1_000 + 100);
  const answer = await verifyHandle(instance, handle);
  const carried = valuesOf(answer?.headers ?? [], 'authorization').join(' | ');
  log.check(!carried.includes(REFRESHED), 'the refreshed token is passed on');
}

type Login = Play & { readonly query: string };

async function signIn(
  { lab, world, instance, log, query }: Login,
  answerOf: (nonce: string) => Promise<object>,
): Promise<RawResponse | undefined> {
  const { request, exchange } = await signInWith(lab, { world, instance, query }, answerOf);
  log.sent('callback', request, exchange.bytes);
  return exchange.responses[0];
}
