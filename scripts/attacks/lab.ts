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
  /** A part of one family's own: made at its first use, closed with the lab. */
  part<Part extends Closable>(name: string, create: () => Promise<Part>): Promise<Part>;
  close(): Promise<void>;
};

type Closable = { close(): Promise<void> };

/** Runs one case of a family and says what became of it. */
export type FamilyRunner = (lab: Lab, attack: AttackCase) => Promise<CaseResult>;

/** Start the test world. */
export async function createLab(): Promise<Lab> {
  const world = await createWorld();
  const pools = new Map<Instance, SessionPool>();
  const parts = new Map<string, Promise<Closable>>();
  return {
    world,
    sessionsOf(instance) {
      const pool = pools.get(instance) ?? createSessionPool(world, instance);
      pools.set(instance, pool);
      return pool;
    },
    part<Part extends Closable>(name: string, create: () => Promise<Part>): Promise<Part> {
      const known = parts.get(name) ?? create();
      parts.set(name, known);
      // One name, one kind of part.
      return known as Promise<Part>;
    },
    async close() {
      for (const part of await Promise.allSettled(parts.values())) {
        if (part.status === 'fulfilled') await part.value.close();
      }
      await world.close();
    },
  };
}
