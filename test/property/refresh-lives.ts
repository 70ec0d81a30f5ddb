/**
 * Random lives of a session in a cluster with virtual time: several processes, one store whose commands get lost, one
 * provider that rotates refresh tokens and revokes the grant when one comes twice. Each life is decided by its seed,
 * which every failure names.
 */
import assert from 'node:assert/strict';
import { LIMITS } from '../../src/core/limits.ts';
import { locatorOf } from '../../src/core/session.ts';
import { CALL_MS, NO_FAULTS, RefreshWorld, TOKEN_MS, type TokenCall, WAIT_MAX_MS } from './refresh-world.ts';

const LEASE_MS = CALL_MS + LIMITS.leaseSlackMs;
/** What a store command and the steps of a process may add to a wait. */
const STEPS_MS = 200;

type Life = {
  readonly seed: number;
  readonly processes: number;
  readonly requests: number;
  /** How long it is looked at. */
  readonly horizonMs: number;
  readonly faults: typeof NO_FAULTS;
  /** Processes die, and stand still for longer than a lease. */
  readonly breaks?: boolean;
  /** The provider is away for a while. */
  readonly outage?: boolean;
  /** Somebody writes service tokens into the record meanwhile. */
  readonly writes?: boolean;
  readonly logout?: boolean;
};

type Answer = {
  readonly kind: string;
  readonly tookMs: number;
  readonly generation: number;
  readonly storedThen: number;
};
type Outcome = {
  readonly world: RefreshWorld;
  readonly answers: Answer[];
  readonly rejected: unknown[];
  pending: number;
};

async function live(life: Life): Promise<Outcome> {
  const world = new RefreshWorld(life.seed, life.processes, life.faults);
  const outcome: Outcome = { world, answers: [], rejected: [], pending: 0 };
  await world.signIn();
  const { time } = world;
  const { horizonMs } = life;
  for (let i = 0; i < life.requests; i += 1) {
    // In bursts: half of the requests come with others.
    const at = world.chance(0.5) ? world.pick(horizonMs) : world.pick(8) * (horizonMs / 8);
    time.at(at, () => void request(outcome, world.pick(life.processes)));
  }
  if (life.breaks) planBreaks(world, horizonMs);
  if (life.outage) {
    time.at(world.pick(horizonMs), () => {
      world.isProviderDown = true;
      time.at(world.pick(20_000), () => {
        world.isProviderDown = false;
      });
    });
  }
  if (life.writes)
    for (let i = 0; i < 60; i += 1) time.at(world.pick(horizonMs), () => void writeServiceToken(world, i));
  if (life.logout) planLogout(world);
  await time.runUntil(time.now() + horizonMs);
  for (const { state } of world.processes) state.pausedUntil = 0;
  await time.runUntil(time.now() + 6 * LEASE_MS);
  return outcome;
}

/** While one of the first token calls is under way, or soon after. */
function planLogout(world: RefreshWorld): void {
  const number = 1 + world.pick(2);
  world.onCall = () => {
    if (world.calls.length !== number) return;
    world.time.at(world.pick(CALL_MS), () => {
      world.isEnded = true;
      void world.store.destroy(endOf(world));
    });
  };
}

function planBreaks(world: RefreshWorld, horizonMs: number): void {
  world.onCommand = (index, name) => {
    const hurts = name === 'acquire' || name === 'readAll' || name === 'update';
    if (hurts && world.chance(0.03)) world.pause(index, world.time.now() + world.pick(3 * LEASE_MS));
  };
  for (const { state, index } of world.processes) {
    // Around the calls, where it hurts; the first process lives, so that somebody is there to ask.
    for (let i = 0; i < 4; i += 1) {
      world.time.at(world.pick(horizonMs), () => {
        const isBusy = world.calls.some((call) => call.process === index && call.endedAt > world.time.now());
        if (isBusy || world.chance(0.3)) world.pause(index, world.time.now() + world.pick(3 * LEASE_MS));
      });
    }
    if (index > 0 && world.chance(0.5)) {
      world.time.at(world.pick(horizonMs), () => {
        state.killed = true;
      });
    }
  }
}

async function request(outcome: Outcome, index: number): Promise<void> {
  const { world } = outcome;
  const process = world.processes[index]!;
  if (process.state.killed) return;
  const startedAt = world.time.now();
  outcome.pending += 1;
  try {
    const { kind, session } = await world.ask(process);
    const storedThen = generationOf((await world.stored())?.refreshToken);
    const generation = generationOf(session?.hot.accessToken);
    outcome.answers.push({ kind, tookMs: world.time.now() - startedAt, generation, storedThen });
  } catch (error) {
    outcome.rejected.push(error);
  } finally {
    outcome.pending -= 1;
  }
}

async function writeServiceToken(world: RefreshWorld, number: number): Promise<void> {
  const locator = locatorOf(world.handle);
  const found = await world.store.readHot(locator, world.time.now());
  if (found === undefined) return;
  const tokens = new Map([['service', Buffer.from(String(number))]]);
  await world.store.update(locator, found.revision, { tokens }, world.time.now());
}

const endOf = ({ handle }: RefreshWorld) => ({
  locator: locatorOf(handle),
  subjectKey: undefined,
  providerSessionKey: undefined,
});

function generationOf(token: string | undefined): number {
  return token === undefined || token === '' ? -1 : Number(token.slice(3));
}

/** Whatever goes wrong: never two calls of one session at the same time, in the whole cluster. */
function assertOneAtATime(calls: readonly TokenCall[], seed: number): void {
  const ordered = [...calls].sort((a, b) => a.startedAt - b.startedAt);
  for (const [index, call] of ordered.entries()) {
    const next = ordered[index + 1];
    if (next === undefined) break;
    assert.ok(next.startedAt >= call.endedAt, `seed ${seed}: two calls at once, ${JSON.stringify([call, next])}`);
  }
}

/** Nobody uses an access token before the refresh token that came with it is stored. */
function assertStoredFirst(answers: readonly Answer[], seed: number): void {
  for (const { kind, generation, storedThen } of answers) {
    if (kind !== 'fresh' || storedThen === -1) continue;
    assert.ok(storedThen >= generation, `seed ${seed}: at-${generation} was used while rt-${storedThen} was stored`);
  }
}

type Family = { lifeOf(seed: number): Life; check(outcome: Outcome, seed: number): Promise<void> };

/** What a range of lives has shown. */
export type Seen = {
  calls: number;
  renewed: number;
  ended: number;
  superseded: number;
  stale: number;
  revoked: number;
};

/** The names of the families of lives: what may go wrong in them. */
export type FamilyName = 'without faults' | 'with losses' | 'with deaths' | 'with a sign-out';

/** One life in five is long; the short ones see one or two refreshes. */
function span(seed: number, requests: number): Pick<Life, 'seed' | 'requests' | 'horizonMs'> {
  const isLong = seed % 5 === 0;
  return { seed, requests: isLong ? requests : requests / 2, horizonMs: isLong ? 4 * TOKEN_MS : 1.5 * TOKEN_MS };
}

const FAMILIES: Readonly<Record<FamilyName, Family>> = {
  'without faults': {
    lifeOf: (seed) => ({ ...span(seed, 36), processes: 1 + (seed % 4), faults: NO_FAULTS, writes: seed % 2 === 0 }),
    async check({ world, answers, rejected, pending }, seed) {
      assert.deepEqual([rejected, pending, world.reuses, world.errors], [[], 0, [], []], `seed ${seed}`);
      assert.equal(new Set(world.calls.map(({ token }) => token)).size, world.calls.length, `seed ${seed}`);
      for (const { kind, tookMs } of answers) {
        assert.equal(kind, 'fresh', `seed ${seed}`);
        assert.ok(tookMs <= WAIT_MAX_MS + STEPS_MS, `seed ${seed}: waited ${tookMs} ms`);
      }
      assert.equal((await world.stored())?.refreshToken, world.current, `seed ${seed}`);
    },
  },
  'with losses': {
    lifeOf: (seed) => ({
      ...span(seed, 36),
      processes: 1 + (seed % 4),
      faults: { store: 0.08, call: 0.2, answer: 0, broken: 0.2 },
      outage: seed % 3 === 0,
      writes: seed % 2 === 0,
    }),
    async check({ world, answers, pending }, seed) {
      assert.deepEqual([world.reuses, pending], [[], 0], `seed ${seed}`);
      assert.ok(!answers.some(({ kind }) => kind === 'ended' || kind === 'none'), `seed ${seed}: signed out`);
      assert.equal((await world.stored())?.refreshToken, world.current, `seed ${seed}: the rotation is lost`);
    },
  },
  'with deaths': {
    lifeOf: (seed) => ({
      ...span(seed, 50),
      processes: 3 + (seed % 3),
      faults: { store: 0.02, call: 0.05, answer: 0.02, broken: 0.05 },
      breaks: true,
    }),
    async check({ world }, seed) {
      for (const { token } of world.reuses) {
        const first = world.calls.find((call) => call.token === token && call.isRotated);
        const isUnknown = first !== undefined && !first.isDelivered;
        const isStill = first !== undefined && world.wasHarmed(first);
        assert.ok(isUnknown || isStill, `seed ${seed}: ${token} came again although its answer was there`);
      }
      const stored = await world.stored();
      if (!world.isGrantRevoked) assert.notEqual(stored, undefined, `seed ${seed}: a session that is good has ended`);
      if (stored !== undefined && !world.isGrantRevoked) {
        const lost = world.calls.some((call) => call.isRotated && (!call.isDelivered || world.wasHarmed(call)));
        assert.ok(lost || stored.refreshToken === world.current, `seed ${seed}: an older result is in the record`);
      }
    },
  },
  'with a sign-out': {
    lifeOf: (seed) => ({ ...span(seed, 36), processes: 3, faults: NO_FAULTS, logout: true }),
    async check({ world, pending }, seed) {
      assert.equal(world.isEnded, (await world.stored()) === undefined, `seed ${seed}: the session came back`);
      assert.equal(pending, 0, `seed ${seed}`);
      if (!world.isEnded) return;
      const orphans = world.calls.filter((call) => call.isRotated && call.token === `rt-${world.generation - 1}`);
      const isKept = world.events.filter(([event]) => event === 'renewed').length === world.generation;
      assert.ok(isKept || orphans.length === 0 || world.revoked.includes(world.current), `seed ${seed}: left behind`);
    },
  },
};

/** Live the lives `from` to `to` of a family and check each. @throws AssertionError that names the seed */
export async function runLives(name: FamilyName, from: number, to: number): Promise<Seen> {
  const { lifeOf, check } = FAMILIES[name];
  const seen: Seen = { calls: 0, renewed: 0, ended: 0, superseded: 0, stale: 0, revoked: 0 };
  for (let seed = from; seed <= to; seed += 1) {
    const outcome = await live(lifeOf(seed));
    const { world, answers } = outcome;
    assertOneAtATime(world.calls, seed);
    assertStoredFirst(answers, seed);
    await check(outcome, seed);
    seen.calls += world.calls.length;
    seen.revoked += world.revoked.length;
    seen.stale += answers.filter(({ kind }) => kind === 'stale').length;
    for (const [event] of world.events) {
      if (event === 'renewed') seen.renewed += 1;
      if (event === 'superseded') seen.superseded += 1;
      if (event.startsWith('refresh_')) seen.ended += 1;
    }
  }
  return seen;
}
