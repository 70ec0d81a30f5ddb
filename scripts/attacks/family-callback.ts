import { randomBytes } from 'node:crypto';
import { type CallbackOutcome, checkAsserts } from './callback-asserts.ts';
import { type CallbackCase, RETURN_TO, reportUnknownMembers, sendCallback } from './callback-case.ts';
import { type AttackCase, expectObject, isObject } from './cases.ts';
import type { Instance, InstanceSpec } from './instance.ts';
import type { Lab } from './lab.ts';
import type { Exchange } from './raw-client.ts';
import { findRedisServer, type OwnRedis, startRedis } from './redis.ts';
import { CaseLog, type CaseResult, undecided } from './report.ts';
import { beginLogin, completeLogin, newSessionOf, type PendingLogin, verifyHandle } from './sign-in.ts';
import { USERS } from './world.ts';

/**
 * The callback of a real pending login, damaged as the case says, with the provider answering as the case says.
 * `accept` = a redirect with a live session; `reject` = 4xx or 5xx and no session; a replay with a live session may
 * also be sent on to the stored target (D-23), as long as nothing is exchanged and no session changes.
 */
export async function runCallback(lab: Lab, attack: AttackCase): Promise<CaseResult> {
  const log = new CaseLog();
  const input = expectObject(attack.input, `${attack.id}.input`);
  reportUnknownMembers(log, attack);
  if (input['redis'] !== undefined) return runWithOwnRedis(lab, log, attack, input);
  if (input['age_s'] !== undefined) {
    const instance = await lab.world.ownInstance();
    try {
      return await runOn(lab, log, attack, input, instance, undefined);
    } finally {
      await instance.close();
    }
  }
  const spec = input['dpop'] === true ? { dpop: true } : {};
  return runOn(lab, log, attack, input, await lab.world.instance(spec), undefined);
}

async function runWithOwnRedis(
  lab: Lab,
  log: CaseLog,
  attack: AttackCase,
  input: Record<string, unknown>,
): Promise<CaseResult> {
  const binary = findRedisServer();
  if (binary === undefined) return undecided('callback', attack, 'redis-server not found');
  const redis = await startRedis(binary);
  const spec: Partial<InstanceSpec> = { redisUrl: redis.url };
  let instance: Instance | undefined;
  try {
    instance = await lab.world.ownInstance(spec);
    return await runOn(lab, log, attack, input, instance, redis);
  } finally {
    await instance?.close();
    await redis.stop();
  }
}

async function runOn(
  lab: Lab,
  log: CaseLog,
  attack: AttackCase,
  input: Record<string, unknown>,
  instance: Instance,
  redis: OwnRedis | undefined,
): Promise<CaseResult> {
  const pending = await startLogin(lab, log, instance);
  const other = await startLogin(lab, log, instance);
  if (pending === undefined || other === undefined) return log.finish('callback', attack);
  const run: CallbackCase = { attack, input, instance, pending, other, planted: randomBytes(32).toString('base64url') };
  lab.world.provider.forget();
  const bystander = await replayFirst(lab, log, run);
  if (typeof input['age_s'] === 'number') instance.advanceMs(input['age_s'] * 1000);
  await arm(lab, log, run, redis);
  const outcome = await observe(lab, log, run, bystander, '');
  await judge(log, run, outcome);
  await checkAsserts(lab, log, run, outcome);
  if (bystander !== undefined) await checkReplayWithSession(lab, log, run, bystander);
  return log.finish('callback', attack);
}

async function startLogin(lab: Lab, log: CaseLog, instance: Instance): Promise<PendingLogin | undefined> {
  const login = await beginLogin(lab.world, instance, `return_to=${encodeURIComponent(RETURN_TO)}`);
  if (login.pending === undefined) {
    log.sent('login', login.request, login.exchange.bytes);
    log.check(false, 'the login was not sent to the provider');
  }
  return login.pending;
}

/** For `replay_of`: spend the transaction first. Returns the session that a successful first callback made. */
async function replayFirst(lab: Lab, log: CaseLog, run: CallbackCase): Promise<string | undefined> {
  const kind = run.input['replay_of'];
  if (kind === undefined) return undefined;
  if (kind === 'success') {
    const first = await completeLogin(lab.world, run.instance, run.pending, USERS.first);
    log.check(first.handle !== undefined, 'the first callback, before the replay, made no session');
    return first.handle;
  }
  if (kind !== 'error') {
    log.unchecked.push(`input.replay_of ${JSON.stringify(kind)}`);
    return undefined;
  }
  const refused = {
    ...run,
    input: {
      method: 'GET',
      txn_cookie: 'T1',
      query: 'error=access_denied&state=S1&iss=https%3A%2F%2Fidp.example.test',
    },
  };
  await sendCallback(lab, log, refused, 'the error answer before');
  return undefined;
}

async function arm(lab: Lab, log: CaseLog, run: CallbackCase, redis: OwnRedis | undefined): Promise<void> {
  const failure = run.input['redis'];
  if (failure === 'down') await redis?.stop();
  else if (failure !== undefined && failure !== 'down-on-write')
    log.unchecked.push(`input.redis ${JSON.stringify(failure)}`);
  const patch = isObject(run.input['token_response']) ? run.input['token_response'] : {};
  lab.world.provider.arm({
    user: USERS.first,
    nonce: run.pending.nonce,
    patch,
    beforeAnswer: failure === 'down-on-write' ? () => redis?.stop() : undefined,
  });
}

async function observe(
  lab: Lab,
  log: CaseLog,
  run: CallbackCase,
  bystander: string | undefined,
  cookie: string,
): Promise<CallbackOutcome> {
  const before = lab.world.provider.tokenRequests.length;
  const startedAt = performance.now();
  const asserts = Array.isArray(run.attack['assert']) ? run.attack['assert'] : [];
  const planted =
    cookie === '' && asserts.includes('new session id') ? `${run.instance.spec.cookieName}=${run.planted}` : cookie;
  const exchange = await sendCallback(lab, log, run, 'callback', planted);
  const tokenRequests = lab.world.provider.tokenRequests.length - before;
  return { exchange, elapsedMs: performance.now() - startedAt, tokenRequests, bystander };
}

async function judge(log: CaseLog, run: CallbackCase, { exchange }: CallbackOutcome): Promise<void> {
  const [response] = exchange.responses;
  const handle = response && newSessionOf(response, run.instance.spec.cookieName);
  if (run.attack.expect === 'accept') {
    log.check(response?.status === 302, `answered ${response?.status ?? 'nothing'}, expected 302 with a session`);
    const answer = handle === undefined ? undefined : await verifyHandle(run.instance, handle);
    log.check(answer?.status === 200, 'no live session came of it');
  } else if (run.attack.expect === 'reject') {
    log.check(isRefusal(exchange), `answered ${response?.status ?? 'nothing'}, expected a 4xx or 5xx refusal`);
    log.check(handle === undefined, 'a refused callback sets a session');
  } else log.unchecked.push(`expect ${JSON.stringify(run.attack.expect)}`);
}

function isRefusal({ responses, closedByServer }: Exchange): boolean {
  const [response] = responses;
  return response === undefined ? closedByServer : response.status >= 400;
}

/** The browser that signed in repeats its callback: an error, or on to the target; its session stays. */
async function checkReplayWithSession(lab: Lab, log: CaseLog, run: CallbackCase, bystander: string): Promise<void> {
  const outcome = await observe(lab, log, run, bystander, `${run.instance.spec.cookieName}=${bystander}`);
  const [response] = outcome.exchange.responses;
  log.check(
    response !== undefined && response.status >= 300,
    `a replay with the session answered ${response?.status ?? 'nothing'}`,
  );
  log.check(
    response === undefined || newSessionOf(response, run.instance.spec.cookieName) === undefined,
    'a replay with the session sets a session',
  );
  log.check(outcome.tokenRequests === 0, 'a replay with the session asks the token endpoint');
  log.check((await verifyHandle(run.instance, bystander))?.status === 200, 'a replay ends the existing session');
}
