import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { Redis } from 'iovalkey';
import { systemClock } from '../../src/core/clock.ts';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis, until, whenReachable } from '../support/redis.ts';
import { createCertificates, type TestCertificates } from '../support/redis-tls.ts';
import { RECORD_BEHAVIOURS, type StoreBehaviour } from './session-store-behaviours.ts';
import { CHANGE_BEHAVIOURS } from './session-store-change-behaviours.ts';
import { INDEX_BEHAVIOURS } from './session-store-index-behaviours.ts';
import { LEASE_BEHAVIOURS } from './session-store-lease-behaviours.ts';
import { COUNTER_BEHAVIOURS } from './store-counter-behaviours.ts';

const BEHAVIOURS: readonly StoreBehaviour[] = [
  ...RECORD_BEHAVIOURS,
  ...INDEX_BEHAVIOURS,
  ...CHANGE_BEHAVIOURS,
  ...LEASE_BEHAVIOURS,
];
const NOW = Date.now();

/** The commands that the store needs, and no more: what the ACL of its user must allow. */
const STORE_COMMANDS =
  '+hmget +hgetall +hget +hset +hkeys +hstrlen +hincrby +del +pexpire +pttl +zadd +zrem +zrange +zremrangebyscore ' +
  '+set +get +eval +evalsha +ping +select +client|id +client|tracking +subscribe';

describe('memory store', () => {
  for (const behaviour of BEHAVIOURS) {
    test(behaviour.name, async () => {
      const store = createMemoryStore();
      await behaviour.run({ store, other: store, now: NOW });
      await store.close();
    });
  }
});

describe('Redis store over TCP', { skip: skipWithout('redis-server') }, () => {
  contractOverRedis(async () => ({
    redis: await startRedis(),
    credentials: {},
    admin: {},
    db: 0,
    cleanUp: async () => {},
  }));
});

describe('Redis store over TLS with its own authority, a client certificate, an ACL user and database 3', {
  skip: skipWithout('redis-server', 'openssl'),
}, () => {
  contractOverRedis(async () => {
    const tls: TestCertificates = await createCertificates();
    const acl = [
      'admin on >admin-secret ~* &* +@all',
      `sallyport on >store-secret ~sp-test:* &__redis__:invalidate ${STORE_COMMANDS}`,
    ];
    return {
      redis: await startRedis({ tls, acl }),
      credentials: { username: 'sallyport', password: 'store-secret' },
      admin: { username: 'admin', password: 'admin-secret' },
      db: 3,
      cleanUp: tls.remove,
    };
  });
});

type Server = {
  readonly redis: TestRedis;
  readonly credentials: Partial<RedisSettings>;
  readonly admin: Partial<RedisSettings>;
  readonly db: number;
  cleanUp(): Promise<void>;
};

function contractOverRedis(start: () => Promise<Server>): void {
  let server: Server;
  let admin: Redis;

  before(async () => {
    server = await start();
    const { username, password } = server.admin;
    admin = server.redis.connect({ username, password });
    await admin.select(server.db);
  });

  after(async () => {
    const left = await admin.dbsize();
    admin.disconnect();
    await server.redis.remove();
    await server.cleanUp();
    assert.equal(left, 0, 'keys outside the prefixes of the tests');
  });

  for (const behaviour of [...BEHAVIOURS, ...COUNTER_BEHAVIOURS]) {
    test(behaviour.name, async () => {
      const keyPrefix = `sp-test:${randomUUID()}:`;
      const redis = server.redis.settings({ ...server.credentials, db: server.db, keyPrefix });
      const tracking = { heartbeatMs: 1_000, clock: systemClock, onRefused: (code: string) => assert.fail(code) };
      const stores = [createValkeyStore({ redis, tracking }), createValkeyStore({ redis, tracking })] as const;
      await Promise.all(stores.map((store) => whenReachable(store)));
      await until(async () => stores.every(({ changes }) => (changes?.currentUntil() ?? 0) > Date.now()));
      try {
        await behaviour.run({ store: stores[0], other: stores[1], now: NOW });
      } finally {
        await Promise.all(stores.map((store) => store.close()));
        await removeMortalKeys(admin, keyPrefix);
      }
    });
  }
}

/** Remove what a test left; a key without an expiry would stay in a real server for ever, so it is a failure. */
async function removeMortalKeys(admin: Redis, keyPrefix: string): Promise<void> {
  let cursor = '0';
  do {
    const [next, keys] = await admin.scan(cursor, 'MATCH', `${keyPrefix}*`, 'COUNT', 1_000);
    for (const key of keys) {
      assert.notEqual(await admin.pttl(key), -1, `${key} never expires`);
      await admin.del(key);
    }
    cursor = next;
  } while (cursor !== '0');
}
