import type { SessionSettings } from '../../src/core/config/types.ts';
import { createKeyRing } from '../../src/core/crypto.ts';
import type { NewSession } from '../../src/core/services.ts';
import { createSessions } from '../../src/core/sessions.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { NO_IDENTITY } from '../../test/support/identity.ts';
import { type TestRedis, whenReachable } from '../../test/support/redis.ts';
import { accessTokenText, claimsOf } from './provider.ts';

const IDLE_MS = 7_200_000;
const ABSOLUTE_MS = 43_200_000;
/** Creations under way at once. */
const BATCH = 250;

const SETTINGS: Omit<SessionSettings, 'binding'> = {
  idleMs: IDLE_MS,
  absoluteMs: ABSOLUTE_MS,
  maxPerUser: 0,
  checkSlides: true,
  exposedClaims: [],
};

/**
 * Put sessions into the store as a server with this seal key would, without any login.
 * @param from number of the first one; each belongs to a user of its own.
 * @returns their handles.
 */
export async function sealSessions(
  redis: TestRedis,
  sealSecret: string,
  from: number,
  to: number,
  issuer: string,
): Promise<readonly string[]> {
  const store = createValkeyStore({ redis: redis.settings() });
  await whenReachable(store);
  const sessions = createSessions({
    store,
    ring: createKeyRing([{ id: 'k1', secret: Buffer.from(sealSecret, 'base64url') }]),
    clock: { now: () => Date.now() },
    settings: SETTINGS,
    identity: NO_IDENTITY,
    tombstoneTtlMs: 60_000,
    onBackgroundError(error) {
      throw error;
    },
  });
  const handles: string[] = [];
  try {
    for (let at = from; at < to; at += BATCH) {
      const numbers = Array.from({ length: Math.min(BATCH, to - at) }, (_, step) => at + step);
      const made = await Promise.all(numbers.map((number) => sessions.create(sessionOf(number, issuer))));
      for (const created of made) if (created !== undefined) handles.push(created.handle);
    }
  } finally {
    await store.close();
  }
  if (handles.length !== to - from) throw new Error('a session was not created');
  return handles;
}

/** The login of one user, as a provider would have told it. */
export function sessionOf(number: number, issuer: string): NewSession {
  const subject = `u${number}`;
  const { roles, ...claims } = claimsOf(subject);
  const now = Date.now();
  return {
    hot: {
      site: 'main',
      idp: 'main',
      principal: {
        issuer,
        subject,
        userId: subject,
        username: `user.${subject}`,
        email: `${subject}@example.com`,
        emailVerified: true,
        name: `User ${subject}`,
        roles: roles as string[],
        groups: [],
        claims,
      },
      accessToken: accessTokenText(subject),
      tokenType: 'Bearer',
      tokenExpiresAt: now + ABSOLUTE_MS,
      tokenIssuedAt: 0,
      renewable: false,
      scopes: ['openid', 'profile', 'email'],
      sid: `sid-${number}`,
      acr: undefined,
      authTime: now,
    },
    cold: { refreshToken: `refresh-${subject}`, idToken: accessTokenText(subject) },
    startedAt: now,
  };
}
