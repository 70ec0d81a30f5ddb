import { SallyportError } from '../../src/core/errors.ts';
import type { Refresh } from '../../src/core/freshness.ts';
import { compileIdentityHeaders } from '../../src/core/identity.ts';
import type { Timers } from '../../src/core/lease.ts';
import { createLog } from '../../src/core/log.ts';
import type { Session } from '../../src/core/services.ts';
import type { SessionHot } from '../../src/core/session.ts';
import type { SessionStore } from '../../src/core/store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { createRefresh } from '../../src/flows/refresh.ts';
import type { GrantAnswer, RefreshedTokens } from '../../src/flows/refresh-grant.ts';
import { createRefreshRecords, type RefreshRecord } from '../../src/flows/refresh-record.ts';
import { createClock, loginOf, made, ringOf, settled } from '../core/sessions-support.ts';
import { NOW, principalOf } from '../core/world.ts';
import { sessionsOver } from '../support/direct-sessions.ts';

/** Total deadline of a token call, ms. */
export const CALL_MS = 2_000;
/** Longest a request waits. */
export const WAIT_MAX_MS = 3_000;

/** Answers of a provider, in turn; each is told the refresh token that was sent. */
export type Script = readonly ((token: string) => GrantAnswer | Promise<GrantAnswer>)[];

/** How a scene differs from the usual one. */
export type RefreshScene = {
  readonly script?: Script;
  readonly hot?: Partial<SessionHot>;
  readonly store?: SessionStore;
  readonly allowRoles?: readonly string[];
};

/** One session near the end of its token, a refresh over a real store, and a provider that follows a script. */
export async function openRefresh(scene: RefreshScene = {}) {
  const clock = createClock();
  const store = scene.store ?? createMemoryStore();
  const ring = ringOf('k1');
  const identity = compileIdentityHeaders([{ name: 'Authorization', source: { kind: 'token', raw: false } }], {
    onOversize: () => {},
    onControl: () => {},
  });
  const sessions = sessionsOver({ store, ring, clock, identity });
  const tokens = { accessToken: 'at-0', tokenIssuedAt: NOW - 600_000, tokenExpiresAt: NOW + 30_000, renewable: true };
  const { hot } = loginOf({ ...tokens, ...scene.hot });
  const { handle, session } = made(
    await sessions.create({ hot, cold: { refreshToken: 'rt-0', idToken: undefined }, startedAt: NOW }),
  );
  const sent: string[] = [];
  const told: string[] = [];
  const revoked: string[] = [];
  const timers = createTimers();
  const script = [...(scene.script ?? [])];
  const open = (): Refresh =>
    createRefresh({
      store,
      sessions,
      ring,
      clock,
      timers,
      identity,
      log: createLog({ level: 'silent' }),
      settings: { leadMs: 60_000, jitterMs: 0, waitMaxMs: WAIT_MAX_MS, backoff: { firstMs: 2_000, maxMs: 60_000 } },
      allow: { emailDomains: [], groups: [], roles: scene.allowRoles ?? [] },
      events: {
        renewed: () => void told.push('renewed'),
        kept: (_session, error) => void told.push(`kept ${error.message}`),
        ended: (_session, cause, reason) => void told.push(`refresh_${cause} ${reason}`),
        superseded: () => void told.push('superseded'),
      },
      random: () => 0,
      grantOf: () => ({
        callMs: CALL_MS,
        grant: async (_basis, token) => {
          sent.push(token);
          const answer = script.shift();
          if (answer === undefined) throw new TypeError('a token call that nobody expected');
          return answer(token);
        },
      }),
      revoke: (_idp, tokens) => void revoked.push(...tokens),
      onFlights: (change) => void told.push(change > 0 ? 'begins' : 'is over'),
    });
  const records = createRefreshRecords({ store, ring, clock, timers, isClosing: () => true });
  return {
    refresh: open(),
    /** The same in another process. */
    open,
    store,
    sessions,
    handle,
    session,
    clock,
    timers,
    sent,
    told,
    revoked,
    find: async (): Promise<Session | undefined> => settled(sessions.find(handle, false)),
    record: async (): Promise<RefreshRecord | undefined> => records.read(handle, session.locator),
    /** Write tokens into the record, as another process does that was faster. */
    async overtake(number: number, refreshToken = `rt-${number}`): Promise<void> {
      const record = made(await records.read(handle, session.locator));
      const tokens = { accessToken: `at-${number}`, tokenIssuedAt: clock.now(), tokenExpiresAt: clock.now() + 600_000 };
      await records.write(handle, session.locator, record, {
        hot: { ...record.hot, ...tokens },
        cold: { ...record.cold, refreshToken },
      });
    },
  };
}

/** Tokens that the provider gives under a number. */
export function tokensOf(number: number, now: number, different: Partial<RefreshedTokens> = {}): RefreshedTokens {
  return {
    accessToken: `at-${number}`,
    tokenType: 'bearer',
    tokenIssuedAt: now,
    tokenExpiresAt: now + 600_000,
    scopes: ['openid'],
    principal: principalOf(),
    acr: undefined,
    idToken: `it-${number}`,
    ...different,
  };
}

/** A good answer with a rotated refresh token. */
export function granted(number: number, different: Partial<RefreshedTokens> = {}): GrantAnswer {
  return { kind: 'granted', refreshToken: `rt-${number}`, read: async () => tokensOf(number, NOW, different) };
}

/** No answer. */
export function away(mayRepeat = false): GrantAnswer {
  return { kind: 'failed', error: new SallyportError('idp_unavailable', { detail: 'scripted' }), mayRepeat };
}

/** Timers that a test fires. */
function createTimers(): Timers & { fire(ms: number): void; readonly waiting: readonly number[] } {
  const waiting: { readonly ms: number; readonly run: () => void }[] = [];
  return {
    schedule(ms, run) {
      const entry = { ms, run };
      waiting.push(entry);
      return () => {
        const index = waiting.indexOf(entry);
        if (index !== -1) waiting.splice(index, 1);
      };
    },
    fire(ms) {
      for (const entry of waiting.filter((other) => other.ms === ms)) {
        waiting.splice(waiting.indexOf(entry), 1);
        entry.run();
      }
    },
    get waiting() {
      return waiting.map(({ ms }) => ms);
    },
  };
}

/** Let everything happen that can happen now. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
