/**
 * One hot read of a session per request, three headers in the answer; nothing of verify's rules. Compares ways to ask
 * the store: `node store-read.ts PORT REDIS_PORT SEAL_SECRET WAY`. Ways: `reader` (shipped: one write per loop turn),
 * `get` (iovalkey, a command per request), `auto` (iovalkey with auto-pipelining), `mget` (iovalkey, the requests of
 * a turn as one MGET). All but `reader` read the same bytes from plain string keys `raw:LOCATOR`.
 */

import uWS, { type HttpResponse } from 'uWebSockets.js';
import { Redis } from 'iovalkey';
import { compileHandleFinder } from '../../src/core/cookie.ts';
import { createKeyRing } from '../../src/core/crypto.ts';
import { compileIdentityHeaders } from '../../src/core/identity.ts';
import { writeAllow } from '../../src/core/reply.ts';
import { locatorOf } from '../../src/core/session.ts';
import { SessionDecoder } from '../../src/core/sessions-decode.ts';
import type { StoredHot } from '../../src/core/store.ts';
import { viewOf } from '../../src/core/store-hot.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';

const findHandle = compileHandleFinder('bff_session');

type Way = (locator: string) => Promise<Buffer | null>;

const [port, redisPort, sealSecret = '', way = ''] = process.argv.slice(2);

const identity = compileIdentityHeaders(
  [
    { name: 'Authorization', source: { kind: 'token', raw: false } },
    { name: 'X-User-Id', source: { kind: 'principal', field: 'user_id', list: { join: ',' } } },
    { name: 'X-User-Email', source: { kind: 'principal', field: 'email', list: { join: ',' } } },
  ],
  { onOversize: () => {}, onControl: () => {} },
);
const ring = createKeyRing([{ id: 'k1', secret: Buffer.from(sealSecret, 'base64url') }]);
const decoder = new SessionDecoder(ring, identity);
const readHot = way === 'reader' ? createReader() : createPlain(createWay());

uWS
  .App()
  .any('/*', (response, request) => {
    let isOpen = true;
    response.onAborted(() => {
      isOpen = false;
    });
    const handle = findHandle(request.getHeader('cookie'));
    const locator = decoder.find(handle)?.session.locator ?? locatorOf(handle);
    readHot(locator)
      .then((stored) => {
        if (isOpen)
          answer(response, stored === undefined ? undefined : decoder.decode(handle, locator, viewOf(stored)));
      })
      .catch(() => {
        if (isOpen) response.cork(() => response.writeStatus('503 Service Unavailable').end());
      });
  })
  .listen('127.0.0.1', Number(port), (socket) => {
    if (socket === false) process.exitCode = 1;
  });

function answer(response: HttpResponse, decoded: ReturnType<SessionDecoder['decode']>): void {
  response.cork(() => {
    if (decoded === undefined) {
      response.writeStatus('401 Unauthorized').end();
      return;
    }
    writeAllow(response, decoded.session.headers, false);
  });
}

function createReader(): (locator: string) => Promise<StoredHot | undefined> {
  const store = createValkeyStore({
    redis: {
      host: '127.0.0.1',
      port: Number(redisPort),
      db: 0,
      username: undefined,
      password: undefined,
      tls: undefined,
      keyPrefix: 'sp:',
      connectTimeoutMs: 2_000,
      topology: undefined,
      waitReplicas: undefined,
      commandTimeoutMs: 2_000,
    },
  });
  return (locator) => store.readHot(locator, Date.now());
}

function createPlain(read: Way): (locator: string) => Promise<StoredHot | undefined> {
  return (locator) =>
    read(locator).then((hot) => (hot === null ? undefined : { revision: 1, lastSeenAt: Date.now(), hot }));
}

function createWay(): Way {
  const redis = new Redis({ host: '127.0.0.1', port: Number(redisPort), enableAutoPipelining: way === 'auto' });
  return way === 'mget' ? createMget(redis) : (locator) => redis.getBuffer(`raw:${locator}`);
}

function createMget(redis: Redis): Way {
  let keys: string[] = [];
  let waiting: { resolve(value: Buffer | null): void; reject(error: unknown): void }[] = [];
  const send = (): void => {
    const asked = waiting;
    const pending = redis.mgetBuffer(keys);
    keys = [];
    waiting = [];
    pending.then(
      (values) => asked.forEach(({ resolve }, at) => void resolve(values[at] ?? null)),
      (error: unknown) => asked.forEach(({ reject }) => void reject(error)),
    );
  };
  return (locator) =>
    new Promise((resolve, reject) => {
      if (keys.length === 0) setImmediate(send);
      keys.push(`raw:${locator}`);
      waiting.push({ resolve, reject });
    });
}
