import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SessionSharing } from '../../src/core/session-sharing.ts';
import { hotOf } from './world.ts';

/** A record as it is read: JSON, with a copy of everything. */
function opened(roles: readonly string[], claims: Record<string, unknown> = {}) {
  const hot = hotOf();
  const principal = { ...hot.principal, roles, claims };
  return JSON.parse(JSON.stringify({ ...hot, principal })) as typeof hot;
}

test('records say the same after sharing, whatever they hold', () => {
  const sharing = new SessionSharing();
  for (const roles of [['a,b'], ['a', 'b'], ['a\nb'], ['a"', '"b'], [], ['']]) {
    const hot = opened(roles, { roles, email: 'x', nested: { roles }, count: 1, none: null, list: [1, 'a'] });
    const copy = structuredClone(hot);
    sharing.share(hot);
    assert.deepEqual(hot, copy);
  }
});

test('lists are shared between records, and claims with the fields that they became', () => {
  const sharing = new SessionSharing();
  const [one, other] = [opened(['user', 'editor'], { roles: ['user', 'editor'] }), opened(['user', 'editor'])];
  sharing.share(one);
  sharing.share(other);
  assert.equal(one.principal.roles, other.principal.roles);
  assert.equal(one.principal.claims['roles'], one.principal.roles);
  assert.equal(one.scopes, other.scopes);
});

test('what is kept for sharing is bounded', () => {
  const sharing = new SessionSharing();
  for (let at = 0; at < 5_000; at += 1) {
    const hot = opened([`role-${at}`]);
    sharing.share(hot);
    assert.deepEqual(hot.principal.roles, [`role-${at}`]);
  }
});
