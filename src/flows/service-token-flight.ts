import * as oauth from 'oauth4webapi';
import type { ServiceTokenSettings } from '../core/config/types-token.ts';
import { type Lease, type LeaseServices, underLease } from '../core/lease.ts';
import { LIMITS } from '../core/limits.ts';
import type { Session } from '../core/services.ts';
import type { IdpRuntime } from './idp.ts';
import { nextBackoff } from './refresh-backoff.ts';
import { renewalTime } from './refresh-due.ts';
import {
  endSession,
  type FlightServices,
  LEASE_MARGIN_MS,
  lose,
  sendGuarded,
  storeRotation,
} from './refresh-flight.ts';
import { type SpendAnswer, spendRefreshToken } from './refresh-grant.ts';
import type { RefreshRecord } from './refresh-record.ts';
import { exchangeToken, failureOf, judge, wishes } from './service-token-call.ts';
import { failed, type TokenAnswer } from './service-token-check.ts';
import {
  type FiledFailure,
  type FiledToken,
  fileToken,
  openToken,
  type TokenRecordServices,
} from './service-token-record.ts';
import { callMsOf, tokenMetadata } from './token-endpoint.ts';

/** How an attempt to obtain a token ended: what is known of it now, or the session is over. */
export type TokenEnd = ({ readonly kind: 'known' } & FiledToken) | { readonly kind: 'ended'; readonly reason: string };

/** What an attempt is made with. */
export type TokenFlightServices = TokenRecordServices &
  LeaseServices &
  Pick<FlightServices, 'records' | 'sessions' | 'settings' | 'events' | 'revoke' | 'random'>;

/** One attempt, for all requests of this process that wait for the same token of a session. */
export type TokenFlight = {
  readonly handle: string;
  readonly session: Session;
  readonly need: ServiceTokenSettings;
  /** `fieldOf` the need. */
  readonly field: string;
  readonly runtime: IdpRuntime;
};

type Step = TokenEnd | undefined;

/**
 * Obtain a session's token for a service, or wait for whoever is at it (D-19): one call in the whole cluster. Whoever
 * spends the refresh token holds the lease of whoever renews the session's own token.
 * @throws store_unavailable
 */
export async function runTokenFlight(flight: TokenFlight, services: TokenFlightServices): Promise<TokenEnd> {
  const { clock, settings } = services;
  const ttlMs = callMsOf(flight.runtime) + LIMITS.leaseSlackMs;
  const name = flight.need.source === 'refresh' ? 'grant' : (`t:${flight.field}` as const);
  const known = await advance(flight, services, undefined);
  if (known !== undefined) return known;
  const end = await underLease(services, flight.session.locator, name, ttlMs, (lease) =>
    advance(flight, services, lease),
  );
  return end ?? away(undefined, 'somebody else did not come back with it', clock.now() + settings.backoff.firstMs);
}

async function advance(flight: TokenFlight, services: TokenFlightServices, lease: Lease | undefined): Promise<Step> {
  const { records, clock, ring } = services;
  const { handle, need, runtime, session } = flight;
  const record = await records.read(handle, session.locator);
  if (record === undefined) return { kind: 'ended', reason: 'unknown_session' };
  const filed = openToken(ring, handle, session.locator, record, flight.field);
  const { token, failure } = filed;
  const now = clock.now();
  const isGood =
    token !== undefined && now < renewalTime(services.settings, session.locator, token.issuedAt, token.expiresAt);
  if (isGood || (failure !== undefined && now < failure.until)) return { kind: 'known', ...filed };
  // A process that was paused may have lost the lease: then nothing is sent.
  if (lease === undefined || !lease.hasLeft(callMsOf(runtime) + LEASE_MARGIN_MS)) return undefined;
  return need.source === 'refresh'
    ? spend(flight, services, lease, record, filed)
    : exchange(flight, services, record, filed);
}

async function exchange(
  flight: TokenFlight,
  services: TokenFlightServices,
  record: RefreshRecord,
  filed: FiledToken,
): Promise<Step> {
  const now = services.clock.now();
  const { hot } = record;
  if (now >= hot.tokenExpiresAt) {
    return away(filed, 'the session has no token to exchange now', now + services.settings.backoff.firstMs);
  }
  const answer = await exchangeToken(flight.runtime, flight.need, hot.accessToken, now);
  return file(flight, services, record, filed, answer);
}

async function spend(
  flight: TokenFlight,
  services: TokenFlightServices,
  lease: Lease,
  record: RefreshRecord,
  filed: FiledToken,
): Promise<Step> {
  const { clock, records } = services;
  const { runtime, need } = flight;
  const { refreshToken } = record.cold;
  const now = clock.now();
  if (refreshToken === undefined) {
    return file(flight, services, record, filed, failed('no_token_available', 'the session has no refresh token'));
  }
  if (now < record.backoff.until)
    return away(filed, 'the provider is left alone after a failure', record.backoff.until);
  const send = (): Promise<SpendAnswer> => spendRefreshToken(runtime, record, refreshToken, wishes(need));
  const answer = await sendGuarded({ ...flight, callMs: callMsOf(runtime) }, records, lease, refreshToken, send);
  if (answer === undefined) return undefined;
  if (answer.kind === 'granted') return take(flight, services, record, filed, answer.refreshToken, answer.response);
  if (answer.kind === 'refused') return endSession(flight, services, record, 'failed', 'invalid_grant');
  return file(flight, services, record, filed, failureOf(answer.error));
}

/** The rotated refresh token is stored before the answer is read and before anybody uses what it holds. */
async function take(
  flight: TokenFlight,
  services: TokenFlightServices,
  record: RefreshRecord,
  filed: FiledToken,
  refreshToken: string,
  response: Response,
): Promise<Step> {
  const rotated = await storeRotation(flight, services.records, record, refreshToken);
  if (rotated.kind !== 'written') return lose(flight, services, rotated.kind, [refreshToken]);
  const answer = await readAnswer(flight, services, record, response);
  if (answer === 'subject_changed') {
    return endSession(flight, services, rotated.record, 'failed', answer, refreshToken);
  }
  return file(flight, services, rotated.record, filed, answer);
}

/** An ID token may come along; it must speak of the same user (OpenID Connect Core §12.2, R-103). */
async function readAnswer(
  { runtime, need }: TokenFlight,
  { clock }: TokenFlightServices,
  { hot }: RefreshRecord,
  response: Response,
): Promise<TokenAnswer | 'subject_changed'> {
  try {
    const result = await oauth.processRefreshTokenResponse(tokenMetadata(runtime), runtime.client(), response);
    const subject = oauth.getValidatedIdTokenClaims(result)?.sub ?? hot.principal.subject;
    if (subject !== hot.principal.subject) return 'subject_changed';
    return judge(runtime, need, result, need.scopes.length === 0 ? hot.scopes : need.scopes, clock.now());
  } catch (error) {
    return failureOf(error);
  }
}

/** Write down what came of it, a failure with its pause; an older token that is still good stays. */
async function file(
  flight: TokenFlight,
  services: TokenFlightServices,
  record: RefreshRecord,
  filed: FiledToken,
  answer: TokenAnswer,
): Promise<Step> {
  const { session, field, handle } = flight;
  const next: FiledToken =
    answer.kind === 'token'
      ? { token: answer, failure: undefined }
      : { token: filed.token, failure: pause(services, filed.failure, answer) };
  if (await fileToken(services, handle, session.locator, record.revision, field, next)) {
    return { kind: 'known', ...next };
  }
  // Nobody will use it (D-18).
  if (answer.kind === 'token') services.revoke(session.hot.idp, [answer.token]);
  return { kind: 'ended', reason: 'unknown_session' };
}

/** The pause after one more failure. */
export function pause(
  { settings, clock, random }: Pick<TokenFlightServices, 'settings' | 'clock' | 'random'>,
  before: FiledFailure | undefined,
  answer: Extract<TokenAnswer, { kind: 'failed' }>,
): FiledFailure {
  const last = { until: 0, failures: before?.failures ?? 0 };
  return { ...answer, ...nextBackoff(last, settings.backoff, clock.now(), random()) };
}

/** Not the provider's answer, so nothing is written. */
function away(filed: FiledToken | undefined, detail: string, until: number): TokenEnd {
  return { kind: 'known', token: filed?.token, failure: { ...failed('idp_unavailable', detail), until, failures: 0 } };
}
