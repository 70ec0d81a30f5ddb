import type { LoginSettings } from '../core/config/types.ts';
import type { RefreshSettings } from '../core/config/types-refresh.ts';
import { isSallyportError, type SallyportError } from '../core/errors.ts';
import { type Lease, type LeaseServices, underLease } from '../core/lease.ts';
import { LIMITS } from '../core/limits.ts';
import type { Session, Sessions } from '../core/services.ts';
import type { SessionHot } from '../core/session.ts';
import { findLoginDenial } from './claims.ts';
import { NO_BACKOFF, nextBackoff } from './refresh-backoff.ts';
import { type Grant, type GrantAnswer, type RefreshedTokens, SubjectChangedError } from './refresh-grant.ts';
import type { Lost, RefreshRecord, RefreshRecords, Written } from './refresh-record.ts';

/** How an attempt to renew a session's token ended. */
export type FlightEnd =
  /** The record holds a token that need not be renewed, whoever brought it. */
  | { readonly kind: 'renewed' }
  /** The old token stays; no attempt before `until`, ms since the epoch. */
  | { readonly kind: 'kept'; readonly until: number }
  /** The session is over. */
  | { readonly kind: 'ended'; readonly reason: string };

/** Why a refresh ends a session: there is no way to renew it, or the person is no longer let in. */
export type EndCause = 'failed' | 'denied';

/** What is told about refreshes, for logs, metrics and the audit. */
export type FlightEvents = {
  renewed(session: Session): void;
  kept(session: Session, error: Error): void;
  ended(session: Session, cause: EndCause, reason: string): void;
  superseded(session: Session): void;
};

/** What a flight is made with. */
export type FlightServices = LeaseServices & {
  readonly sessions: Pick<Sessions, 'replace'>;
  readonly records: RefreshRecords;
  readonly settings: RefreshSettings;
  readonly allow: LoginSettings['allow'];
  readonly events: FlightEvents;
  /** From 0 to 1. */
  random(): number;
  /** Take back tokens that nobody will use, without waiting. */
  revoke(idp: string, tokens: readonly string[]): void;
};

/** One attempt, for all requests of this process that wait for the same session. */
export type Flight = {
  readonly handle: string;
  /** As it was when the attempt began. */
  readonly session: Session;
  readonly grant: Grant;
  /** Total deadline of a token call. */
  readonly callMs: number;
  /** Whether a token is to be renewed now. */
  isDue(hot: SessionHot, now: number): boolean;
};

/** Undefined: look again. */
type Step = FlightEnd | undefined;

/** What must be left of a lease besides the call itself when the call begins: time to store its result. */
export const LEASE_MARGIN_MS = 1_000;

/**
 * Renew the token of a session, or wait for whoever is at it (D-19). Only the holder of the lease spends the refresh
 * token, and only after having read the record anew; whatever was obtained is written at the revision that was read.
 * A lease is taken for one call and never prolonged.
 * @throws store_unavailable
 */
export async function runFlight(flight: Flight, services: FlightServices): Promise<FlightEnd> {
  const { clock, settings } = services;
  const ttlMs = flight.callMs + LIMITS.leaseSlackMs;
  const end = await underLease(services, flight.session.locator, 'grant', ttlMs, (lease) =>
    advance(flight, services, lease),
  );
  return end ?? { kind: 'kept', until: clock.now() + settings.backoff.firstMs };
}

async function advance(flight: Flight, services: FlightServices, lease: Lease | undefined): Promise<Step> {
  const { records, clock } = services;
  const record = await records.read(flight.handle, flight.session.locator);
  if (record === undefined) return { kind: 'ended', reason: 'unknown_session' };
  if (!flight.isDue(record.hot, clock.now())) return { kind: 'renewed' };
  if (record.cold.refreshToken === undefined) return { kind: 'ended', reason: 'token_expired' };
  if (clock.now() < record.backoff.until) return { kind: 'kept', until: record.backoff.until };
  return lease && spend(flight, services, lease, record, record.cold.refreshToken);
}

async function spend(
  flight: Flight,
  services: FlightServices,
  lease: Lease,
  record: RefreshRecord,
  token: string,
): Promise<Step> {
  const { clock, records } = services;
  const send = (): Promise<GrantAnswer> => flight.grant(record, token, clock.now());
  const answer = await sendGuarded(flight, records, lease, token, send);
  if (answer === undefined) return undefined;
  if (answer.kind === 'granted') return take(flight, services, record, answer);
  if (answer.kind === 'refused') return endSession(flight, services, record, 'failed', 'invalid_grant');
  return keep(flight, services, record, answer.error);
}

/**
 * Send a refresh token. Where the connection broke, the record is read again and the same token sent once more, if
 * there is time; after a deadline there is none, and the back-off decides.
 * @returns undefined: look again, this process may have lost the lease, or the token is another one now.
 */
export async function sendGuarded<Answer extends { readonly kind: string; readonly mayRepeat?: boolean }>(
  { handle, session, callMs }: Pick<Flight, 'handle' | 'session' | 'callMs'>,
  records: RefreshRecords,
  lease: Lease,
  token: string,
  send: () => Promise<Answer>,
): Promise<Answer | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    // A process that was paused may have lost the lease: then nothing is sent.
    if (!lease.hasLeft(callMs + LEASE_MARGIN_MS)) return undefined;
    const answer = await send();
    if (answer.mayRepeat !== true || attempt > 1 || !lease.hasLeft(callMs + LEASE_MARGIN_MS)) return answer;
    const found = await records.read(handle, session.locator);
    if (found?.cold.refreshToken !== token) return undefined;
  }
}

/** Store the refresh token of an answer, before anything else is done with that answer. */
export async function storeRotation(
  { handle, session }: Pick<Flight, 'handle' | 'session'>,
  records: RefreshRecords,
  record: RefreshRecord,
  refreshToken: string,
): Promise<Written> {
  if (refreshToken === record.cold.refreshToken) return { kind: 'written', record };
  return records.write(handle, session.locator, record, { cold: { ...record.cold, refreshToken } });
}

/** Store the refresh token, then what the answer says. */
async function take(
  flight: Flight,
  services: FlightServices,
  record: RefreshRecord,
  answer: Extract<GrantAnswer, { kind: 'granted' }>,
): Promise<Step> {
  const { records, allow, events } = services;
  const { handle, session } = flight;
  const { refreshToken } = answer;
  const rotated = await storeRotation(flight, records, record, refreshToken);
  if (rotated.kind !== 'written') return lose(flight, services, rotated.kind, [refreshToken]);
  const tokens = await readAnswer(answer);
  if (tokens instanceof SubjectChangedError) {
    return endSession(flight, services, rotated.record, 'failed', 'subject_changed', refreshToken);
  }
  if (tokens instanceof Error) return keep(flight, services, rotated.record, tokens);
  const denial = findLoginDenial(tokens.principal, allow);
  if (denial !== undefined) {
    return endSession(flight, services, rotated.record, 'denied', `login.allow: ${denial}`, refreshToken);
  }
  const { idToken = rotated.record.cold.idToken, ...fresh } = tokens;
  const change = {
    hot: { ...rotated.record.hot, ...fresh },
    cold: { ...rotated.record.cold, idToken },
    ...(rotated.record.backoff.failures > 0 && { backoff: NO_BACKOFF }),
  };
  const written = await records.write(handle, session.locator, rotated.record, change).catch(asTooMuch);
  if (written instanceof Error) return keep(flight, services, rotated.record, written);
  if (written.kind !== 'written') return lose(flight, services, written.kind, [refreshToken, tokens.accessToken]);
  events.renewed(session);
  return { kind: 'renewed' };
}

/** An answer that does not fit into a session is as unusable as a broken one; an outage of the store is passed on. */
function asTooMuch(error: unknown): SallyportError {
  if (isSallyportError(error) && error.code === 'idp_bad_response') return error;
  throw error;
}

async function readAnswer(answer: Extract<GrantAnswer, { kind: 'granted' }>): Promise<RefreshedTokens | Error> {
  try {
    return await answer.read();
  } catch (error) {
    return error instanceof Error ? error : new TypeError('a non-error was thrown');
  }
}

/**
 * There is no place for what was obtained. If the session is gone, nobody will use it: it is taken back (D-18). If
 * another process has renewed it meanwhile, it is dropped alone: taking it back would end the grant, which is the
 * winner's too (RFC 7009 §2.1).
 */
export function lose(
  { session }: Pick<Flight, 'session'>,
  services: Pick<FlightServices, 'events' | 'revoke'>,
  lost: Lost,
  tokens: readonly string[],
): Extract<FlightEnd, { kind: 'ended' }> | undefined {
  if (lost === 'superseded') {
    services.events.superseded(session);
    return undefined;
  }
  services.revoke(session.hot.idp, tokens);
  return { kind: 'ended', reason: 'unknown_session' };
}

/** The token stays as it is; all processes read from the record when to try again. */
async function keep(flight: Flight, services: FlightServices, record: RefreshRecord, error: Error): Promise<Step> {
  const { records, clock, settings, events } = services;
  events.kept(flight.session, error);
  const backoff = nextBackoff(record.backoff, settings.backoff, clock.now(), services.random());
  const written = await records.write(flight.handle, flight.session.locator, record, { backoff });
  return written.kind === 'superseded' ? undefined : { kind: 'kept', until: backoff.until };
}

/**
 * The session ends, unless somebody has renewed it: its refresh token goes first, at the revision that was
 * read. After that nobody can renew it, and the rest can go without a guard.
 * @param obtained a refresh token of the provider's answer, to be taken back.
 */
export async function endSession(
  flight: Pick<Flight, 'handle' | 'session'>,
  services: Pick<FlightServices, 'records' | 'sessions' | 'events' | 'revoke'>,
  record: RefreshRecord,
  cause: EndCause,
  reason: string,
  obtained?: string,
): Promise<Extract<FlightEnd, { kind: 'ended' }> | undefined> {
  const { records, sessions, events } = services;
  const { handle, session } = flight;
  const cold = { ...record.cold, refreshToken: undefined };
  const written = await records.write(handle, session.locator, record, { cold });
  if (written.kind === 'superseded') return undefined;
  if (obtained !== undefined) services.revoke(session.hot.idp, [obtained]);
  if (written.kind === 'gone') return { kind: 'ended', reason: 'unknown_session' };
  await sessions.replace({ ...session, hot: record.hot });
  events.ended(session, cause, reason);
  return { kind: 'ended', reason: `refresh_${cause}` };
}
