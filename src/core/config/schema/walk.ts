import type * as z from 'zod';
import type { Path } from '../problem.ts';
import { type KeyInfo, keyInfo } from './scalars.ts';

/** The part of a zod definition that the walkers of this folder look at. */
type Definition = {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly valueType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly defaultValue?: unknown;
  readonly values?: readonly unknown[];
};

/** The definition of a schema. */
export function definitionOf(schema: z.ZodType): Definition {
  return schema.def as unknown as Definition;
}

/** The schema without optional, nullable, default and prefault around it. */
export function unwrap(schema: z.ZodType): z.ZodType {
  const { innerType } = definitionOf(schema);
  return innerType === undefined ? schema : unwrap(innerType);
}

/** True if null is a value of its own. */
export function isNullable(schema: z.ZodType): boolean {
  const { type, innerType } = definitionOf(schema);
  return type === 'nullable' || (innerType !== undefined && isNullable(innerType));
}

/** What is known of a schema, on its outermost layer that says something. */
export function infoOf(schema: z.ZodType): KeyInfo | undefined {
  const own = keyInfo.get(schema);
  const { innerType } = definitionOf(schema);
  return own ?? (innerType === undefined ? undefined : infoOf(innerType));
}

/** The alternatives of a schema: the options of a union, else the schema itself; unwrapped. */
export function optionsOf(schema: z.ZodType): readonly z.ZodType[] {
  const base = unwrap(schema);
  return definitionOf(base).options?.flatMap(optionsOf) ?? [base];
}

/** The schema of one key of a map, or of the items of a list; undefined where there is none. */
export function childSchema(schema: z.ZodType, step: string | number): z.ZodType | undefined {
  for (const option of optionsOf(schema)) {
    const { shape, valueType, element } = definitionOf(option);
    if (typeof step === 'number' && element !== undefined) return element;
    if (typeof step === 'string' && shape !== undefined && Object.hasOwn(shape, step)) return shape[step];
    if (typeof step === 'string' && valueType !== undefined) return valueType;
  }
  return undefined;
}

/** The schema at a path; undefined where the path leaves the schema. */
export function schemaAt(schema: z.ZodType, path: Path): z.ZodType | undefined {
  return path.reduce<z.ZodType | undefined>((at, step) => at && childSchema(at, step), schema);
}
