import { hash } from 'node:crypto';
import { createChangeWaiter, within } from '../core/lease.ts';
import { LIMITS } from '../core/limits.ts';
import type { ServiceToken, ServiceTokens, Session, SessionOver, Tokens } from '../core/services.ts';
import type { SessionHot } from '../core/session.ts';
import { type BoundTokens, createBoundTokens } from './bound-tokens.ts';
import type { IdpRuntime } from './idp.ts';
import { createRefreshRecords } from './refresh-record.ts';
import { exchangeToken, obtainClientToken } from './service-token-call.ts';
import { failed, findScopeProblem, mismatch, readAudiences, type TokenAnswer } from './service-token-check.ts';
import { pause, runTokenFlight, type TokenFlightServices } from './service-token-flight.ts';
import { fieldOf } from './service-token-record.ts';
import { type Obtain, type SourceServices, type TokenService, TokenSource } from './service-token-source.ts';

/** What the tokens of services work with. */
export type TokensServices = Omit<TokenFlightServices, 'records' | 'waiter' | 'isClosing'> &
  Omit<SourceServices, 'isClosing'> & {
    readonly services: readonly TokenService[];
    /** Undefined: the configuration does not know the provider any more. */
    idpOf(name: string): IdpRuntime | undefined;
  };

type Given = ServiceToken | SessionOver;
type Flights = TokenFlightServices & { readonly bound: BoundTokens };
type Ensure = (handle: string, session: Session, staleForS: number) => Given | Promise<Given>;

/** Create the tokens of all services of a configuration (SPEC §9). */
export function createServiceTokens(services: TokensServices): ServiceTokens {
  let isClosing = false;
  const shared = { ...services, isClosing: () => isClosing };
  const waiter = createChangeWaiter(services.store, services.timers);
  const records = createRefreshRecords(shared);
  const flights = { ...shared, waiter, records, bound: createBoundTokens({ ...shared, records }) };
  const sources = services.services.map((service) => new TokenSource(service, shared));
  const byName = new Map(sources.map((source) => [source.service.name, compileSource(source, flights, services)]));
  const ensure: Tokens['ensure'] = (handle, session, service, staleForS) => {
    const source = byName.get(service);
    if (source === undefined) throw new TypeError(`no service named ${service}`);
    return source(handle, session, staleForS);
  };
  const eager = sources.filter(({ service }) => service.token.eager).map(({ service }) => service.name);
  return {
    ensure,
    prefetch: (handle, session) => prefetch(services, eager, session, (name) => ensure(handle, session, name, 0)),
    async close() {
      isClosing = true;
      waiter.close();
      await Promise.allSettled(sources.flatMap((source) => source.running()));
    },
  };
}

async function prefetch(
  { timers, log }: TokensServices,
  eager: readonly string[],
  { publicId }: Session,
  ensure: (name: string) => Given | Promise<Given>,
): Promise<void> {
  if (eager.length === 0) return;
  const mapped = new Set<string>();
  const attempts = eager.map(async (name) => {
    if ((await ensure(name)).kind === 'token') mapped.add(name);
  });
  await within(timers, LIMITS.eagerTokensMs, Promise.allSettled(attempts));
  const names = [...mapped];
  const missing = eager.filter((name) => !mapped.has(name));
  const event = 'bff_service_tokens_mapped';
  log.info({ event, services: names, missing, session: publicId }, `${event} services=${names.join(',')}`);
}

/** How the token of one service comes about. */
function compileSource(source: TokenSource, flights: Flights, services: TokensServices): Ensure {
  const { token: need } = source.service;
  switch (need.source) {
    case 'none': {
      const none: ServiceToken = {
        kind: 'token',
        authorization: '',
        headersWith: (headers) => services.identity.withToken(headers, ''),
      };
      return () => none;
    }
    case 'session':
      return compileOwn(source, flights, services);
    case 'client_credentials':
      return compileClient(source, flights, services);
    default:
      return compileObtained(source, flights, services);
  }
}

/** The session's or caller's own token, if it is what the service needs; judged once for each. */
function compileOwn(source: TokenSource, { bound }: Flights, { clock }: TokensServices): Ensure {
  const judged = new WeakMap<SessionHot, ServiceToken>();
  return (handle, session, staleForS) => {
    const { hot } = session;
    const known = judged.get(hot);
    if (known !== undefined) return known;
    if (staleForS > 0) {
      const away = failed('idp_unavailable', 'the session token has expired');
      throw source.refusal(away, session, clock.now() + staleForS * 1000);
    }
    const problem = findOwnProblem(source.service, session);
    if (problem !== undefined) throw source.refusal(problem, session, 0);
    if (isBound(session)) {
      const found = bound.find(handle, session);
      const take = (token: Given | undefined): Given => {
        if (token === undefined) throw source.refusal(NO_KEY, session, 0);
        if (token.kind === 'token') judged.set(hot, token);
        return token;
      };
      return found instanceof Promise ? found.then(take) : take(found);
    }
    // Where a header holds the same text already, it is shared.
    const value = `Bearer ${hot.accessToken}`;
    const authorization = session.headers.pairs.find((text) => text === value) ?? value;
    const token: ServiceToken = { kind: 'token', authorization, headersWith: (headers) => headers };
    judged.set(hot, token);
    return token;
  };
}

const NO_KEY = failed('no_token_available', 'the session has no key for its token');

/** A session's token is bound to a key of ours; that of a caller is bound to a key of theirs. */
function isBound({ hot, locator }: Session): boolean {
  return locator !== '' && hot.tokenType.toLowerCase() === 'dpop';
}

function findOwnProblem({ token: need }: TokenService, session: Session) {
  const { hot, locator } = session;
  if (hot.accessToken === '' || (hot.tokenType.toLowerCase() !== 'bearer' && !isBound(session))) {
    return failed('no_token_available', 'the session has no token that could be sent');
  }
  const received = readAudiences(hot.accessToken);
  // A caller's token was made for us; to whom else it may go must be known (D-09).
  if (locator === '' && (need.audience === undefined || received?.includes(need.audience) !== true)) {
    return failed('no_token_available', 'the token of the caller is not meant for it');
  }
  if (need.audience !== undefined && received !== undefined && !received.includes(need.audience)) {
    return mismatch(need.audience, received);
  }
  const problem = findScopeProblem(need, hot.scopes);
  return problem === undefined ? undefined : failed('no_token_available', problem);
}

/** A token of the client itself: one for all sessions, in each process (D-21). */
function compileClient(source: TokenSource, flights: TokenFlightServices, { idpOf, clock }: TokensServices): Ensure {
  const { token: need } = source.service;
  const key = fieldOf(need);
  const obtain = compileAttempt(flights, (now) => {
    const runtime = idpOf(need.idp);
    return runtime === undefined ? UNKNOWN_IDP : obtainClientToken(runtime, need, now);
  });
  return () => source.find(key, clock.now()) ?? source.ensure(key, undefined, obtain);
}

/** A token of the session, in its record; callers have theirs exchanged, or bring it. */
function compileObtained(source: TokenSource, flights: Flights, services: TokensServices): Ensure {
  const { token: need } = source.service;
  const { idpOf, clock } = services;
  const field = fieldOf(need);
  const ofCaller = compileCaller(source, flights, services);
  return (handle, session) => {
    const { locator, hot } = session;
    if (locator === '') return ofCaller(handle, session, 0);
    const known = source.find(locator, clock.now());
    if (known !== undefined) return known;
    const runtime = idpOf(hot.idp);
    if (runtime === undefined) return { kind: 'ended', reason: 'unknown_idp' };
    return source.ensure(locator, session, () => runTokenFlight({ handle, session, need, field, runtime }, flights));
  };
}

/** D-09: unchanged if it is meant for the service, else exchanged, else refused. Exchanged ones end with the caller's. */
function compileCaller(source: TokenSource, flights: Flights, services: TokensServices): Ensure {
  const own = compileOwn(source, flights, services);
  const { token: need } = source.service;
  const { idpOf, clock } = services;
  const isOthers = new WeakSet<SessionHot>();
  return (handle, session, staleForS) => {
    const { hot } = session;
    const { accessToken, idp, tokenExpiresAt } = hot;
    if (!isOthers.has(hot)) {
      const isMeant = need.audience !== undefined && readAudiences(accessToken)?.includes(need.audience) === true;
      if (isMeant || need.source !== 'exchange') return own(handle, session, staleForS);
      isOthers.add(hot);
    }
    const key = hash('sha256', accessToken, 'base64url');
    const known = source.find(key, clock.now());
    if (known !== undefined) return known;
    const obtain = compileAttempt(flights, async (now) => {
      const runtime = idpOf(idp);
      if (runtime === undefined) return UNKNOWN_IDP;
      const answer = await exchangeToken(runtime, need, accessToken, now);
      return answer.kind === 'token' ? { ...answer, expiresAt: Math.min(answer.expiresAt, tokenExpiresAt) } : answer;
    });
    return source.ensure(key, session, obtain);
  };
}

const UNKNOWN_IDP = failed('no_token_available', 'its provider is not configured');

/** An attempt of this process alone. */
function compileAttempt(
  flights: TokenFlightServices,
  ask: (now: number) => TokenAnswer | Promise<TokenAnswer>,
): Obtain {
  return async (before) => {
    const answer = await ask(flights.clock.now());
    return answer.kind === 'token'
      ? { kind: 'known', token: answer, failure: undefined }
      : { kind: 'known', token: undefined, failure: pause(flights, before, answer) };
  };
}
