import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { Redis } from 'iovalkey';
import { systemClock } from '../../src/core/clock.ts';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, whenReachable } from '../support/redis.ts';
import { startCluster } from '../support/redis-cluster.ts';
import { createCertificates, type TestCertificates } from '../support/redis-tls.ts';
import { until } from '../support/until.ts';
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

/** What it needs besides to know the masters of a Cluster; `role` behind Sentinels too, `wait` with `wait_replicas`. */
const CLUSTER_COMMANDS = '+cluster|slots +cluster|info +role +asking +wait';

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
  contractOverRedis(async () => {
    const redis = await startRedis();
    return { settings: redis.settings, admins: [redis.connect()], cleanUp: redis.remove };
  });
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
    const redis = await startRedis({ tls, acl });
    const admin = redis.connect({ username: 'admin', password: 'admin-secret' });
    await admin.select(3);
    return {
      settings: (different) => redis.settings({ username: 'sallyport', password: 'store-secret', db: 3, ...different }),
      admins: [admin],
      async cleanUp() {
        await redis.remove();
        await tls.remove();
      },
    };
  });
});

describe('Redis Cluster with an ACL user', { skip: skipWithout('redis-server') }, () => {
  contractOverRedis(async () => {
    const cluster = await startCluster();
    const rule = `on >store-secret ~sp-test:* &__redis__:invalidate ${STORE_COMMANDS} ${CLUSTER_COMMANDS}`;
    const admins = cluster.masters.map(cluster.client);
    for (const admin of admins) await admin.call('ACL', 'SETUSER', 'sallyport', ...rule.split(' '));
    const credentials = { username: 'sallyport', password: 'store-secret' };
    return {
      settings: (different) => cluster.settings({ ...credentials, ...different }),
      admins,
      cleanUp: cluster.remove,
    };
  });
});

type Server = {
  settings(different: Partial<RedisSettings>): RedisSettings;
  /** A client of each server, for looking at it from outside. */
  readonly admins: readonly Redis[];
  cleanUp(): Promise<void>;
};

function contractOverRedis(start: () => Promise<Server>): void {
  let server: Server;

  before(async () => {
    server = await start();
  });

  after(async () => {
    const left = await Promise.all(server.admins.map((admin) => admin.dbsize()));
    for (const admin of server.admins) admin.disconnect();
    await server.cleanUp();
    assert.deepEqual(new Set(left), new Set([0]), 'keys outside the prefixes of the tests');
  });

  for (const behaviour of [...BEHAVIOURS, ...COUNTER_BEHAVIOURS]) {
    test(behaviour.name, async () => {
      const keyPrefix = `sp-test:${randomUUID()}:`;
      const redis = server.settings({ keyPrefix });
      const tracking = { heartbeatMs: 1_000, clock: systemClock, onRefused: (code: string) => assert.fail(code) };
      const stores = [createValkeyStore({ redis, tracking }), createValkeyStore({ redis, tracking })] as const;
      await Promise.all(stores.map((store) => whenReachable(store)));
      await until(
        async () => stores.every(({ changes }) => (changes?.currentUntil() ?? 0) > Date.now()),
        'the channels are up',
      );
      try {
        await behaviour.run({ store: stores[0], other: stores[1], now: NOW });
      } finally {
        await Promise.all(stores.map((store) => store.close()));
        for (const admin of server.admins) await removeMortalKeys(admin, keyPrefix);
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
