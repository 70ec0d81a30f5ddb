import type { AttackCase } from './cases.ts';
import type { Instance } from './instance.ts';
import type { CaseResult } from './report.ts';
import { createSessionPool, type SessionPool } from './sign-in.ts';
import { createWorld, type World } from './world.ts';

/** What a family's runner works with. */
export type Lab = {
  readonly world: World;
  /** Live sessions of an instance, shared by the cases that do not end them. */
  sessionsOf(instance: Instance): SessionPool;
  close(): Promise<void>;
};

/** Runs one case of a family and says what became of it. */
export type FamilyRunner = (lab: Lab, attack: AttackCase) => Promise<CaseResult>;

/** Start the test world. */
export async function createLab(): Promise<Lab> {
  const world = await createWorld();
  const pools = new Map<Instance, SessionPool>();
  return {
    world,
    sessionsOf(instance) {
      const pool = pools.get(instance) ?? createSessionPool(world, instance);
      pools.set(instance, pool);
      return pool;
    },
    close: () => world.close(),
  };
}
