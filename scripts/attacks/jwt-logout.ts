import { type AttackCase, COMMON_MEMBERS, MalformedAttacks } from './cases.ts';
import type { Instance } from './instance.ts';
import { signInWith } from './jwt-sign-in.ts';
import { buildTokens, idToken, type readInput } from './jwt-token.ts';
import { createJwtWorld, DEFAULT_ALGS, type JwtWorld } from './jwt-world.ts';
import type { Lab } from './lab.ts';
import { type RawResponse, requestBytes, valuesOf } from './raw-client.ts';
import { CaseLog, type CaseResult } from './report.ts';
import { newSessionOf, verifyHandle } from './sign-in.ts';

const KNOWN_INPUT = new Set(['context', 'header', 'payload', 'signature', 'sign_with', 'raw', 'replay']);

type Input = ReturnType<typeof readInput>;

/**
 * A logout token as the case describes it, posted to the back-channel address while its user is signed in. `accept` =
 * 200; `reject` = a 4xx, and the session lives on. A replay is judged at its second time.
 */
export async function runLogoutToken(lab: Lab, attack: AttackCase, input: Input): Promise<CaseResult> {
  const world = await lab.part('jwt', createJwtWorld);
  const log = new CaseLog();
  log.noteUnknown(attack, COMMON_MEMBERS);
  log.noteUnknown(input, KNOWN_INPUT, 'input.');
  const instance = await world.instance(DEFAULT_ALGS);
  for (const token of await buildTokens(attack.id, input, world.keys)) {
    if (input['replay'] === true) {
      const first = await post(lab, log, instance, token);
      log.check(first?.status === 200, `the first time is answered ${first?.status ?? 'nothing'}`);
    }
    const handle = await signIn(lab, world, instance);
    const response = await post(lab, log, instance, token);
    await judge(log, attack, input, instance, handle, response);
  }
  return log.finish('jwt', attack);
}

async function signIn(lab: Lab, world: JwtWorld, instance: Instance): Promise<string> {
  const { exchange } = await signInWith(lab, { world, instance }, (nonce) => ({
    id_token: idToken(nonce, world.keys),
  }));
  const { responses, bytes } = exchange;
  const handle = responses[0] && newSessionOf(responses[0], instance.spec.cookieName);
  if (handle === undefined) throw new Error(`no session: ${bytes.toString('latin1').slice(0, 300)}`);
  return handle;
}

async function post(lab: Lab, log: CaseLog, instance: Instance, token: string): Promise<RawResponse | undefined> {
  const body = new URLSearchParams({ logout_token: token }).toString();
  const headers = [
    ['host', 'app.example.test'],
    ['content-type', 'application/x-www-form-urlencoded'],
    ['content-length', String(body.length)],
  ] as const;
  const request = requestBytes('POST', '/auth/backchannel-logout', headers, { body });
  const { responses, bytes } = await instance.send(request, lab.world.strangerAddress(instance));
  log.sent('logout', request, bytes);
  return responses[0];
}

async function judge(
  log: CaseLog,
  attack: AttackCase,
  input: Input,
  instance: Instance,
  handle: string,
  response: RawResponse | undefined,
): Promise<void> {
  const status = response?.status ?? 0;
  log.check(valuesOf(response?.headers ?? [], 'cache-control').join() === 'no-store', 'the answer may be stored');
  if (attack.expect === 'accept') log.check(status === 200 || status === 204, `answered ${status || 'nothing'}`);
  else if (attack.expect === 'reject') log.check(status >= 400 && status < 500, `answered ${status || 'nothing'}`);
  else throw new MalformedAttacks(`${attack.id}.expect: expected accept or reject`);
  const names = { sid: 's1', ...(input['payload'] as object | undefined) };
  const mustEnd = attack.expect === 'accept' && names.sid === 's1';
  const isLive = (await verifyHandle(instance, handle))?.status === 200;
  log.check(isLive !== mustEnd, mustEnd ? 'the session lives on' : 'the session has ended');
}
