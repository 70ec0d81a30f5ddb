import { type CallbackCase, RETURN_TO, sendCallback } from './callback-case.ts';
import { IDP_TIMEOUT_MS, MAIN_URL } from './instance.ts';
import type { Lab } from './lab.ts';
import { challengeOf } from './provider.ts';
import type { Exchange } from './raw-client.ts';
import type { CaseLog } from './report.ts';
import { locationOf, newSessionOf, setCookies, verifyHandle } from './sign-in.ts';

/** What an assertion is checked against. */
export type CallbackOutcome = {
  readonly exchange: Exchange;
  readonly elapsedMs: number;
  /** Token requests that this callback caused. */
  readonly tokenRequests: number;
  /** Handle of a session that lived before this callback, if there was one. */
  readonly bystander: string | undefined;
};

type Check = (
  lab: Lab,
  log: CaseLog,
  run: CallbackCase,
  outcome: CallbackOutcome,
  match: RegExpExecArray,
) => void | Promise<void>;

const REVOCATION_WAIT_MS = 3_000;
/** Beyond the provider deadline itself: connection set-up, sealing, the answer. */
const TIMEOUT_SLACK_MS = 1_500;

/** Each assertion text of the files and what it checks; first match wins. */
const CHECKS: readonly (readonly [RegExp, Check])[] = [
  [/^one token request with code_verifier V1 and redirect_uri of the pending transaction$/, checkTokenRequest],
  [
    /^one token request$/,
    (_lab, log, _run, { tokenRequests }) => log.check(tokenRequests === 1, `${tokenRequests} token requests`),
  ],
  [
    /^no token request sent$/,
    (_lab, log, _run, { tokenRequests }) =>
      log.check(tokenRequests === 0, `${tokenRequests} token request(s) were sent`),
  ],
  [/^new session id$/, checkNewSessionId],
  [/^(no session created|no bff_session cookie set|no new session)$/, checkNoSession],
  [/^pending transaction deleted$/, checkTransactionGone],
  [/^txn cookie cleared$/, checkTransactionCookieCleared],
  [/^Location equals the stored return_to$/, checkLocation],
  [
    /^no Location to (\S+)$/,
    (_lab, log, _run, outcome, [, host = '']) =>
      log.check(!locationText(outcome).includes(host), `Location leads to ${host}`),
  ],
  [/^existing session untouched$/, checkBystander],
  [/^answer within the configured timeout$/, checkTimeout],
  [
    /but no state disclosed$/,
    (_lab, log, run, { exchange }) =>
      log.check(!exchange.bytes.includes(run.pending.state), 'the answer repeats the state'),
  ],
  [
    /^body does not contain (.+)$/,
    (_lab, log, _run, { exchange }, [, text = '']) =>
      log.check(!bodyOf(exchange).includes(text), `the body contains ${text}`),
  ],
  [
    /^escaped or omitted$/,
    (_lab, log, _run, { exchange }) =>
      log.check(
        !/<(img|script|svg|iframe)[^>]*(onerror|alert|src=x)/i.test(bodyOf(exchange)),
        'the body repeats markup of the query',
      ),
  ],
  [
    /^error_uri not rendered$/,
    (_lab, log, _run, { exchange }) =>
      log.check(!/javascript:/i.test(exchange.bytes.toString('latin1')), 'the answer repeats error_uri'),
  ],
  [
    /^token request body contains (\S+) as one value$/,
    (lab, log, _run, _outcome, [, pair = '']) => checkBodyPair(lab, log, pair),
  ],
  [/^best-effort revocation$/, checkRevocation],
  [
    /^(\d{3})$/,
    (_lab, log, _run, { exchange }, [, status]) =>
      log.check(
        exchange.responses[0]?.status === Number(status),
        `status ${exchange.responses[0]?.status ?? 'none'}, expected ${status}`,
      ),
  ],
  [/^process stays up$/, checkAlive],
];

/** Run the assertions of a case; a text that no check knows is reported as unchecked. */
export async function checkAsserts(lab: Lab, log: CaseLog, run: CallbackCase, outcome: CallbackOutcome): Promise<void> {
  const { assert } = run.attack;
  for (const text of Array.isArray(assert) ? assert : []) {
    const found = CHECKS.find(([pattern]) => pattern.test(String(text)));
    const match = found?.[0].exec(String(text));
    if (found === undefined || match === null || match === undefined)
      log.unchecked.push(`assert ${JSON.stringify(text)}`);
    else await found[1](lab, log, run, outcome, match);
  }
}

function bodyOf({ responses }: Exchange): string {
  return responses[0]?.body ?? '';
}

function locationText({ exchange }: CallbackOutcome): string {
  const [response] = exchange.responses;
  return (response && locationOf(response)) ?? '';
}

function checkTokenRequest(lab: Lab, log: CaseLog, run: CallbackCase, { tokenRequests }: CallbackOutcome): void {
  log.check(tokenRequests === 1, `${tokenRequests} token requests, expected one`);
  const parameters = lab.world.provider.tokenRequests.at(-1)?.parameters;
  const verifier = parameters?.get('code_verifier') ?? '';
  log.check(challengeOf(verifier) === run.pending.challenge, 'code_verifier is not the one of the pending transaction');
  log.check(
    parameters?.get('redirect_uri') === run.pending.redirectUri,
    `redirect_uri is ${parameters?.get('redirect_uri')}`,
  );
}

async function checkNewSessionId(
  _lab: Lab,
  log: CaseLog,
  run: CallbackCase,
  { exchange, bystander }: CallbackOutcome,
): Promise<void> {
  const [response] = exchange.responses;
  const handle = response && newSessionOf(response, run.instance.spec.cookieName);
  log.check(handle !== undefined && handle !== run.planted && handle !== bystander, 'the session id is not a new one');
  const planted = await verifyHandle(run.instance, run.planted);
  log.check(planted?.status !== 200, 'the session id that the client brought along is accepted');
}

function checkNoSession(_lab: Lab, log: CaseLog, run: CallbackCase, { exchange }: CallbackOutcome): void {
  for (const response of exchange.responses) {
    log.check(newSessionOf(response, run.instance.spec.cookieName) === undefined, 'a session cookie is set');
  }
}

/** Once more with the same state and cookie: nothing is exchanged and no session comes of it. */
async function checkTransactionGone(
  lab: Lab,
  log: CaseLog,
  run: CallbackCase,
  outcome: CallbackOutcome,
): Promise<void> {
  const before = lab.world.provider.tokenRequests.length;
  const again = await sendCallback(lab, log, run, 'the callback again');
  log.check(lab.world.provider.tokenRequests.length === before, 'the transaction can be redeemed a second time');
  checkNoSession(lab, log, run, { ...outcome, exchange: again });
}

function checkTransactionCookieCleared(
  _lab: Lab,
  log: CaseLog,
  run: CallbackCase,
  { exchange }: CallbackOutcome,
): void {
  const [response] = exchange.responses;
  const expired = new Set(
    response
      ? setCookies(response)
          .filter((cookie) => cookie.expires)
          .map(({ name }) => name)
      : [],
  );
  for (const { name } of run.pending.cookies)
    log.check(expired.has(name), `the transaction cookie ${name} is not cleared`);
}

function checkLocation(_lab: Lab, log: CaseLog, _run: CallbackCase, outcome: CallbackOutcome): void {
  const location = locationText(outcome);
  const target = URL.canParse(location, MAIN_URL) ? new URL(location, MAIN_URL).href : location;
  log.check(target === `${MAIN_URL}${RETURN_TO}`, `Location is ${JSON.stringify(location)}, expected ${RETURN_TO}`);
}

async function checkBystander(
  _lab: Lab,
  log: CaseLog,
  run: CallbackCase,
  { bystander }: CallbackOutcome,
): Promise<void> {
  const answer = bystander === undefined ? undefined : await verifyHandle(run.instance, bystander);
  log.check(answer?.status === 200, `the existing session is no longer accepted (${answer?.status ?? 'none'})`);
}

function checkTimeout(_lab: Lab, log: CaseLog, _run: CallbackCase, { exchange, elapsedMs }: CallbackOutcome): void {
  log.check(exchange.responses.length > 0, 'no answer at all');
  log.check(
    elapsedMs <= IDP_TIMEOUT_MS + TIMEOUT_SLACK_MS,
    `answered after ${Math.round(elapsedMs)} ms; the configured total is ${IDP_TIMEOUT_MS} ms`,
  );
}

function checkBodyPair(lab: Lab, log: CaseLog, pair: string): void {
  const equals = pair.indexOf('=');
  const wanted = decodeURIComponent(pair.slice(equals + 1));
  const values = lab.world.provider.tokenRequests.at(-1)?.parameters.getAll(pair.slice(0, equals)) ?? [];
  log.check(
    values.length === 1 && values[0] === wanted,
    `the token request holds ${pair.slice(0, equals)} as ${JSON.stringify(values)}`,
  );
}

async function checkRevocation(lab: Lab, log: CaseLog): Promise<void> {
  const deadline = performance.now() + REVOCATION_WAIT_MS;
  while (lab.world.provider.revocations.length === 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  log.check(lab.world.provider.revocations.length > 0, 'the tokens that could not be kept were not revoked');
}

async function checkAlive(_lab: Lab, log: CaseLog, run: CallbackCase): Promise<void> {
  const answer = await verifyHandle(run.instance, run.planted);
  log.check(
    answer?.status === 401,
    `afterwards a verify of an unknown session answered ${answer?.status ?? 'nothing'}`,
  );
}
