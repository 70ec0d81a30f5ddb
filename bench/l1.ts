import { compileHandleFinder } from '../src/core/cookie.ts';
import { L1 } from '../src/core/l1.ts';
import type { Session } from '../src/core/services.ts';
import { locatorOf } from '../src/core/session.ts';
import { NOW, sessionOf } from '../test/core/world.ts';
import { kilobyteHeader } from './cookie.ts';
import type { MicroBench } from './lib/micro.ts';

const ENTRIES = 10_000;
const NAME = 'bff_session';
const findHandle = compileHandleFinder(NAME);

/** Looking up a kept session by the handle of a request, which is a string of its own each time. */
export const l1Bench: MicroBench = {
  name: 'l1',
  createGroups() {
    const handles = Array.from({ length: ENTRIES }, (_, at) => findHandle(kilobyteHeader(at)));
    const cache = new L1<object>({
      changes: { currentUntil: () => Number.POSITIVE_INFINITY, onInvalidate: () => () => {} },
      maxEntries: ENTRIES,
      maxBytes: ENTRIES * 4_096,
    });
    const recent = new Map<string, Session>();
    const byLocator = new Map<string, Session>();
    for (const [at, handle] of handles.entries()) {
      const session = { ...sessionOf(), locator: locatorOf(handle), publicId: `p${at}` };
      const load = Promise.resolve(session);
      cache.begin(session.locator, load);
      cache.fill(load, handle, session, 4_096);
      recent.set(handle, session);
      byLocator.set(session.locator, session);
    }
    const headers = Array.from({ length: 64 }, (_, at) => Buffer.from(kilobyteHeader(at * 150), 'latin1'));
    const each = (find: (handle: string) => Session | undefined) => (): unknown =>
      headers.map((bytes) => find(findHandle(bytes.toString('latin1')))?.publicId);
    return [
      {
        name: 'hit among 10,000, cookie scan included',
        calls: headers.length,
        ways: {
          'L1 by handle, CLOCK (shipped)': each((handle) => cache.find(handle, NOW)),
          'map by handle, moved to its end (LRU)': each((handle) => findRecent(recent, handle)),
          'map by SHA-256 of the handle': each((handle) => byLocator.get(locatorOf(handle))),
        },
      },
    ];
  },
};

function findRecent(map: Map<string, Session>, handle: string): Session | undefined {
  const session = map.get(handle);
  if (session === undefined) return undefined;
  map.delete(handle);
  map.set(handle, session);
  return session;
}
