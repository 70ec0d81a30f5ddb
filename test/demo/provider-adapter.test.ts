import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createProviderStorage } from '../../src/cli/demo/provider-adapter.ts';

describe('storage of a demo provider', () => {
  test('an entry is found until its seconds are over', async () => {
    let nowMs = 1_000_000;
    const codes = createProviderStorage({ now: () => nowMs })('AuthorizationCode');
    await codes.upsert('a', { grantId: 'g' }, 60);
    nowMs += 59_999;
    assert.equal((await codes.find('a'))?.grantId, 'g');
    nowMs += 1;
    assert.equal(await codes.find('a'), undefined);
  });

  test('models do not see one another and instances share nothing', async () => {
    const storage = createProviderStorage();
    await storage('Session').upsert('a', { uid: 'u' });
    assert.equal(await storage('Interaction').find('a'), undefined);
    assert.equal((await storage('Session').findByUid('u'))?.uid, 'u');
    assert.equal(await storage('Interaction').findByUid('u'), undefined);
    assert.equal(await createProviderStorage()('Session').find('a'), undefined);
  });

  test('revoking a grant removes its artifacts of every model and no others', async () => {
    const storage = createProviderStorage();
    await storage('AccessToken').upsert('a', { grantId: 'g1' });
    await storage('RefreshToken').upsert('r', { grantId: 'g1' });
    await storage('RefreshToken').upsert('s', { grantId: 'g2' });
    await storage('AccessToken').revokeByGrantId('g1');
    assert.equal(await storage('AccessToken').find('a'), undefined);
    assert.equal(await storage('RefreshToken').find('r'), undefined);
    assert.equal((await storage('RefreshToken').find('s'))?.grantId, 'g2');
  });

  test('consuming marks the entry with the second it happened in', async () => {
    const codes = createProviderStorage({ now: () => 5_000_999 })('AuthorizationCode');
    await codes.upsert('a', {}, 60);
    await codes.consume('a');
    assert.equal((await codes.find('a'))?.consumed, 5000);
  });

  test('the bound holds, and the entry written longest ago goes first', async () => {
    const tokens = createProviderStorage({ entriesMax: 3 })('AccessToken');
    for (const id of ['a', 'b', 'c']) {
      await tokens.upsert(id, { id });
    }
    await tokens.upsert('a', { id: 'a again' });
    await tokens.upsert('d', { id: 'd' });
    assert.equal(await tokens.find('b'), undefined);
    assert.deepEqual(await Promise.all(['a', 'c', 'd'].map(async (id) => (await tokens.find(id))?.['id'])), [
      'a again',
      'c',
      'd',
    ]);
  });
});
