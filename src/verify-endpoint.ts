import { type Answers, isPersonLooking } from './core/app-answers.ts';
import type { BaseExchange } from './core/app-exchange.ts';
import { retryAfterOf } from './core/clock.ts';
import type { Paths } from './core/config/types.ts';
import { type ErrorCode, isSallyportError } from './core/errors.ts';
import type { Waiter } from './core/late.ts';
import type { Metrics } from './core/metrics.ts';
import { AMBIGUOUS, canonicalPath } from './core/path.ts';
import { problemOf, type Replies } from './core/problem.ts';
import type { CookieWriter } from './core/set-cookie.ts';
import type { SiteRuntime } from './core/sites.ts';
import { stepUpHeader, stepUpLogin } from './core/step-up.ts';
import { NO_BEARER, type VerifyEntry, type VerifyServices, verify } from './core/verify.ts';
import { type Decision, type Denial, LateDecision } from './core/verify-decision.ts';

/** What the verify addresses work with besides the decision itself. */
export type VerifyEndpointServices = {
  readonly verify: VerifyServices;
  readonly replies: Replies;
  readonly metrics: Metrics;
  /** Session cookie of each site, to expire conflicting ones. */
  readonly sessionCookies: ReadonlyMap<string, CookieWriter>;
};

/** Failures of what verify depends on. */
const PASSED_ON: ReadonlySet<ErrorCode> = new Set([
  'store_unavailable',
  'idp_unavailable',
  'idp_bad_response',
  'no_token_available',
  'token_audience_mismatch',
]);

type LoginDecision = Extract<Decision, { readonly kind: 'login' }>;

/** Tells verify addresses from others: 0 = none, 1 = exact, 2 = below one (D-02). */
export function compileVerifyPaths(paths: Paths): (path: string) => 0 | 1 | 2 {
  const exact = new Set([`${paths.auth}/verify`, `${paths.auth}/forward`, `${paths.auth}/validate`, ...paths.verify]);
  const prefixes = [...exact].map((path) => `${path}/`);
  let last = '';
  return (path) => {
    // A gateway asks at one of them: comparing is cheaper than hashing a string that was just made.
    if (path === last) return 1;
    if (exact.has(path)) {
      last = path;
      return 1;
    }
    for (const prefix of prefixes) {
      // A tail with dot segments leads elsewhere for whoever resolves them (PC-140).
      if (path.startsWith(prefix)) return canonicalPath(path) === AMBIGUOUS ? 0 : 2;
    }
    return 0;
  };
}

/** Decide and answer one verify request; synchronous unless the session look-up is not. */
export function answerVerify<E extends BaseExchange>(
  app: Answers<E>,
  exchange: E,
  entry: VerifyEntry,
  services: VerifyEndpointServices,
): void {
  const { verifyLatency } = services.metrics;
  const startedAt = verifyLatency.begin();
  const decision = decide(app, exchange, entry, services);
  if (decision === undefined) return;
  if (decision instanceof LateDecision || decision instanceof Promise) {
    app.keep();
    const late = new LateAnswer(app, exchange, services);
    if (decision instanceof LateDecision) decision.wait(late);
    else
      decision.then(
        (value) => late.done(value),
        (error: unknown) => late.failed(error),
      );
    return;
  }
  answer(app, exchange, decision, services);
  verifyLatency.end(startedAt);
}

/** Undefined: the store could not even be asked, and the answer says so. */
function decide<E extends BaseExchange>(
  app: Answers<E>,
  exchange: E,
  entry: VerifyEntry,
  services: VerifyEndpointServices,
): ReturnType<typeof verify> | undefined {
  try {
    return verify(exchange.context, entry, services.verify);
  } catch (error) {
    failVerify(app, exchange, error, services);
    return undefined;
  }
}

/** Answers a request whose decision had to wait. */
class LateAnswer<E extends BaseExchange> implements Waiter<Decision> {
  readonly #app: Answers<E>;
  readonly #exchange: E;
  readonly #services: VerifyEndpointServices;

  constructor(app: Answers<E>, exchange: E, services: VerifyEndpointServices) {
    this.#app = app;
    this.#exchange = exchange;
    this.#services = services;
  }

  done(decision: Decision): void {
    try {
      answer(this.#app, this.#exchange, decision, this.#services);
    } catch (error) {
      this.#app.fail(this.#exchange, error);
    }
    this.#end();
  }

  failed(error: unknown): void {
    try {
      failVerify(this.#app, this.#exchange, error, this.#services);
    } catch (defect) {
      this.#app.fail(this.#exchange, defect);
    }
    this.#end();
  }

  #end(): void {
    const {
      metrics,
      verify: { clock },
    } = this.#services;
    metrics.verifyLatency.waited(clock.now() - this.#exchange.startedAt);
    this.#app.release(this.#exchange);
  }
}

function answer<E extends BaseExchange>(
  app: Answers<E>,
  exchange: E,
  decision: Decision,
  services: VerifyEndpointServices,
): void {
  if (!exchange.open) return;
  const { hot } = services.metrics;
  switch (decision.kind) {
    case 'allow':
      hot.verifyAllow += 1;
      app.allow(exchange, decision.headers);
      return;
    case 'login':
      hot.verifyLogin += 1;
      answerLogin(app, exchange, decision, services);
      return;
    case 'deny':
      refuseVerify(app, exchange, decision, services);
  }
}

/** 302 in every case: the gateway asks with its own method; the person's was GET or HEAD, or the operator chose 302. */
function answerLogin<E extends BaseExchange>(
  app: Answers<E>,
  exchange: E,
  decision: LoginDecision,
  services: VerifyEndpointServices,
): void {
  const headers = decision.expireCookie ? expiredCookies(decision.site, services) : [];
  app.reply(exchange, services.replies.redirect(exchange.context, decision.location, headers, 302));
}

/** Both variants of a session cookie that came with two values. */
function expiredCookies(site: SiteRuntime, { sessionCookies }: VerifyEndpointServices): [string, string][] {
  return (sessionCookies.get(site.site.name)?.expire ?? []).map((value) => ['set-cookie', value]);
}

function refuseVerify<E extends BaseExchange>(
  app: Answers<E>,
  exchange: E,
  denial: Denial,
  services: VerifyEndpointServices,
): void {
  const { code, reason, site, navigation, challenge, expireCookie, allow, nonce, loginQuery, retryAfterS } = denial;
  const headers = expireCookie && site !== undefined ? expiredCookies(site, services) : [];
  if (code === 'insufficient_user_authentication') headers.push([...stepUpHeader(challenge)]);
  if (code === 'invalid_token') {
    const isWhole = challenge.startsWith('DPoP ');
    headers.push(['www-authenticate', isWhole ? challenge : `Bearer realm="sallyport", error="${code}"${challenge}`]);
  }
  if (nonce !== undefined) headers.push(['dpop-nonce', nonce]);
  if (allow !== '') headers.push(['allow', allow]);
  const isLoginHelpful = code === 'authentication_required' && reason !== NO_BEARER;
  const stepUpUrl = site === undefined || loginQuery === undefined ? undefined : stepUpLogin(site, loginQuery);
  const loginUrl = stepUpUrl ?? (isLoginHelpful ? site?.loginUrl : undefined);
  app.refuse(exchange, { code, loginUrl, retryAfterS, headers, navigation, site }, reason);
}

/** An outage answers with the original request's site, so that CORS lets a script read the 503. */
function failVerify<E extends BaseExchange>(
  app: Answers<E>,
  exchange: E,
  error: unknown,
  services: VerifyEndpointServices,
): void {
  const site = services.verify.sites.find(exchange.context.forwardedHost);
  if (isSallyportError(error) && PASSED_ON.has(error.code)) {
    const problem = problemOf(error, isPersonLooking(exchange.context), site);
    const isAway = error.code === 'store_unavailable' || error.code === 'idp_unavailable';
    const storeRetryS = retryAfterOf(services.verify.config.store.retryAfterMs);
    const retryAfterS = error.retryAfterS ?? (isAway ? storeRetryS : undefined);
    app.refuse(exchange, { ...problem, retryAfterS }, error.detail ?? '');
    return;
  }
  app.fail(exchange, error);
}
