import assert from 'node:assert/strict';
import { systemClock } from '../../src/core/clock.ts';
import type { Session, Sessions } from '../../src/core/services.ts';
import type { Principal } from '../../src/core/session.ts';
import { createSessions, type SessionsOptions } from '../../src/core/sessions.ts';
import { loginOf } from '../core/sessions-support.ts';
import { principalOf } from '../core/world.ts';
import { NO_IDENTITY } from './identity.ts';

/** What sessions of a test need at least; the rest has a default. */
export type DirectSessionsOptions = Pick<SessionsOptions, 'store' | 'ring'> &
  Partial<Omit<SessionsOptions, 'settings'>> & { readonly settings?: Partial<SessionsOptions['settings']> };

const SETTINGS = { idleMs: 1_800_000, absoluteMs: 43_200_000, maxPerUser: 0, checkSlides: true, exposedClaims: [] };
const TOKEN_MS = 3_600_000;

/** Sessions over a store without a server, by the real clock, with no identity headers. */
export function sessionsOver({ settings, ...options }: DirectSessionsOptions): Sessions {
  return createSessions({
    clock: systemClock,
    identity: NO_IDENTITY,
    tombstoneTtlMs: 60_000,
    onBackgroundError: () => {},
    ...options,
    settings: { ...SETTINGS, ...settings },
  });
}

/** Create a session as a login of now would, without any provider. */
export async function createSession(
  sessions: Sessions,
  principal: Partial<Principal>,
  sid?: string,
): Promise<{ readonly handle: string; readonly session: Session }> {
  const now = Date.now();
  const { hot } = loginOf({ principal: principalOf(principal), tokenExpiresAt: now + TOKEN_MS, authTime: now, sid });
  const created = await sessions.create({ hot, cold: { refreshToken: undefined, idToken: undefined }, startedAt: now });
  assert.ok(created);
  return created;
}
