import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { SallyportError } from '../../src/core/errors.ts';
import type { Session } from '../../src/core/services.ts';
import { compileSites } from '../../src/core/sites.ts';
import { ChangeHub } from '../../src/core/store-changes.ts';
import { LiveSessions, type Seat } from '../../src/proxy/live-sessions.ts';
import { getSite, HANDLE, NOW, sessionOf, worldConfig } from '../core/world.ts';

const HOUR_MS = 3_600_000;
const site = getSite(compileSites(worldConfig()), 'main');

/** A store that knows one session, and who asked it. */
function createWorld(changes: ChangeHub | undefined) {
  const session: Session = {
    ...sessionOf({ absoluteAt: NOW + HOUR_MS, idleMs: HOUR_MS, renewable: true }),
    lastSeenAt: NOW,
  };
  const state = { now: NOW, alive: true, down: false, reads: [] as boolean[], ended: 0 };
  const sessions = new LiveSessions({
    changes,
    clock: { now: () => state.now },
    perSession: 2,
    idleMs: HOUR_MS,
    sessions: {
      find(_handle, slide) {
        state.reads.push(slide);
        if (state.down) return Promise.reject(new SallyportError('store_unavailable'));
        return Promise.resolve(state.alive ? session : undefined);
      },
    },
  });
  const enter = (): Seat => sessions.enter({ handle: HANDLE, session, site }, true);
  const sit = (seat = enter()): Seat => {
    const onSessionEnd = (): void => {
      state.ended += 1;
    };
    seat.sit({ tick: () => {}, onSessionEnd });
    return seat;
  };
  return { session, state, sessions, enter, sit };
}

/** Let a second pass by the timers, and everything that follows from it. */
async function second(): Promise<void> {
  mock.timers.tick(1_000);
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe('sockets of a session', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }));
  afterEach(() => mock.timers.reset());

  test('are read again when they sit down: an end that was told before is not missed', async () => {
    const { state, enter, sit } = createWorld(new ChangeHub(() => Number.POSITIVE_INFINITY));
    const seat = enter();
    state.alive = false;
    sit(seat);
    await second();
    assert.equal(state.ended, 1);
  });

  test('end when a change is told and the session is gone, not when it is there', async () => {
    const hub = new ChangeHub(() => Number.POSITIVE_INFINITY);
    const { state, session, sit } = createWorld(hub);
    sit();
    await second();
    const reads = state.reads.length;
    hub.session(session.locator);
    await second();
    assert.deepEqual([state.ended, state.reads.length - reads], [0, 1]);
    hub.session('another');
    await second();
    assert.equal(state.reads.length - reads, 1);
    state.alive = false;
    hub.all();
    await second();
    assert.equal(state.ended, 1);
  });

  test('are read every ten seconds while changes are not told', async () => {
    const { state, sit } = createWorld(undefined);
    sit();
    await second();
    state.alive = false;
    for (let i = 0; i < 9; i++) {
      state.now += 1_000;
      await second();
    }
    assert.equal(state.ended, 0);
    state.now += 1_000;
    await second();
    assert.equal(state.ended, 1);
  });

  test('stay while the store is down, until the limits that are known', async () => {
    const { state, sit } = createWorld(undefined);
    sit();
    await second();
    state.down = true;
    state.now = NOW + HOUR_MS - 1;
    await second();
    assert.equal(state.ended, 0);
    state.now = NOW + HOUR_MS;
    await second();
    assert.equal(state.ended, 1);
  });

  test('slide the idle limit when they act, at most once in a tenth of it', async () => {
    const { state, sit } = createWorld(new ChangeHub(() => Number.POSITIVE_INFINITY));
    const seat = sit();
    seat.act();
    await second();
    assert.ok(!state.reads.includes(true));
    state.now += HOUR_MS / 10 + 1;
    await second();
    assert.equal(state.reads.filter(Boolean).length, 1);
  });

  test('are bounded; a place that is given back twice counts once', () => {
    const { enter } = createWorld(undefined);
    const [first] = [enter(), enter()];
    assert.throws(enter, { code: 'rate_limited' });
    first.leave();
    first.leave();
    enter();
    assert.throws(enter, { code: 'rate_limited' });
  });

  test('are looked at once a second each, a few at a time, while others come and go', () => {
    const { sessions } = createWorld(undefined);
    const looks: number[] = [];
    const seats: Seat[] = [];
    const add = (): void => {
      const at = seats.length;
      looks.push(0);
      const seat = sessions.enter(undefined, true);
      const tick = (): void => {
        looks[at] = (looks[at] ?? 0) + 1;
        // As a socket that is closed by what it finds.
        if (at % 10 === 3) seat.leave();
      };
      seat.sit({ tick, onSessionEnd: () => {} });
      seats.push(seat);
    };
    const sum = (): number => looks.reduce((all, one) => all + one, 0);
    for (let i = 0; i < 1_000; i++) add();
    for (let part = 0, before = 0; part < 20; part++, before = sum()) {
      mock.timers.tick(50);
      assert.ok(sum() - before <= 51, `${sum() - before} in one turn`);
      if (part === 10) for (let i = 0; i < 20; i++) add();
    }
    assert.deepEqual(new Set(looks.slice(0, 1_000)), new Set([1]));
    mock.timers.tick(1_000);
    assert.deepEqual([looks[0], looks[3]], [2, 1]);
    assert.ok(looks.slice(1_000).every((count) => count > 0));
  });
});
