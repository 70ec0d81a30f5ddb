/**
 * 10,000 random lives of a session in a cluster with virtual time (refresh-lives.ts): several processes, one store whose
 * commands get lost, one provider that rotates refresh tokens and revokes the grant when one comes twice.
 * SALLYPORT_REFRESH_LIVES sets how many there are of each of the four families.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { FamilyName, Seen } from './refresh-lives.ts';

const LIVES = Number(process.env['SALLYPORT_REFRESH_LIVES'] ?? 2_500);

async function live(name: FamilyName): Promise<Seen> {
  const worker = new Worker(join(import.meta.dirname, 'refresh-worker.ts'), {
    workerData: { name, from: 1, to: LIVES },
  });
  // Rejects with what the thread threw.
  const [seen] = (await once(worker, 'message')) as [Seen];
  return seen;
}

describe(`the refresh of one session in a cluster, ${4 * LIVES} random lives`, { concurrency: 2 }, () => {
  test('without faults: one call for each token, every request goes on with a good one, nothing is lost', async () => {
    const seen = await live('without faults');
    assert.ok(seen.renewed > LIVES, `lives that show nothing: ${JSON.stringify(seen)}`);
    assert.equal(seen.ended, 0);
  });

  test('with a store and a network that lose things: no token comes twice, no rotation is lost, nobody is signed out', async () => {
    const seen = await live('with losses');
    assert.ok(seen.renewed > LIVES / 2 && seen.stale > 0, `lives that show nothing: ${JSON.stringify(seen)}`);
    assert.equal(seen.ended, 0);
  });

  test('with processes that die and stand still: a late holder overwrites nothing and spends nothing', async () => {
    const seen = await live('with deaths');
    assert.ok(seen.renewed > LIVES / 2, `lives that show nothing: ${JSON.stringify(seen)}`);
  });

  test('with a sign-out in the middle: it is over at once and for ever, and tokens that come later are taken back', async () => {
    const seen = await live('with a sign-out');
    assert.ok(seen.revoked > 0, 'no sign-out met a refresh');
  });
});
