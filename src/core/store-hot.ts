import type { HotView, SessionStore, StoredHot } from './store.ts';

/** A look-up as a promise, for what is not hot: its bytes are copied. */
export function readHotOf(
  store: Pick<SessionStore, 'lookUp'>,
  locator: string,
  now: number,
): Promise<StoredHot | undefined> {
  return new Promise((resolve, reject) => {
    const done = (view: HotView | undefined): void => resolve(view && copyOf(view));
    store.lookUp(locator, now, { done, failed: reject });
  });
}

/** A record in memory of its own, as look-ups tell it. */
export function viewOf({ revision, lastSeenAt, hot }: StoredHot): HotView {
  return { revision, lastSeenAt, bytes: hot, start: 0, end: hot.length };
}

function copyOf({ revision, lastSeenAt, bytes, start, end }: HotView): StoredHot {
  return { revision, lastSeenAt, hot: Buffer.from(bytes.subarray(start, end)) };
}
