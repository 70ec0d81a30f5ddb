import { type Path, quote } from './problem.ts';

/** A position in a file; both count from 1. */
export type Place = { readonly line: number; readonly column: number };

/** A parsed scalar, its `${…}` already replaced. */
export type Scalar = {
  readonly kind: 'scalar';
  readonly place: Place;
  readonly value: string | number | boolean | null;
  /** The `${…}` expressions it was made of, without their defaults; empty = written literally. */
  readonly expressions: readonly string[];
  /** True if the scalar is exactly one expression. */
  readonly pure: boolean;
  /** True if one of its expressions has a default that is not empty. */
  readonly hasDefault: boolean;
  /** The replacement failed and was reported; the value must not be looked at. */
  readonly broken: boolean;
};

/** A map in the order of the file. */
export type MapTree = {
  readonly kind: 'map';
  readonly place: Place;
  readonly entries: ReadonlyMap<string, { readonly keyPlace: Place; readonly value: Tree }>;
};

/** A list. */
export type ListTree = { readonly kind: 'list'; readonly place: Place; readonly items: readonly Tree[] };

/** A parsed file, or a part of one, that still knows where everything stands. */
export type Tree = Scalar | MapTree | ListTree;

/** Where the value of a path stands; for a path that is not there, the nearest one above it. */
export function placeOf(root: Tree, path: Path): Place {
  let tree = root;
  let place = root.place;
  for (const step of path) {
    const next = child(tree, step);
    if (next === undefined) return place;
    // A block map or list begins on the line below: its key is the better place.
    place = next.value.kind === 'scalar' ? next.value.place : next.keyPlace;
    tree = next.value;
  }
  return place;
}

/** Where the key of a path stands (for list items, the item). */
export function keyPlaceOf(root: Tree, path: Path): Place {
  const last = path.at(-1);
  const parent = findTree(root, path.slice(0, -1));
  const found = last === undefined || parent === undefined ? undefined : child(parent, last);
  return found?.keyPlace ?? placeOf(root, path);
}

/** The part of a file at a path, if it is there. */
export function findTree(root: Tree, path: Path): Tree | undefined {
  let tree: Tree | undefined = root;
  for (const step of path) {
    if (tree === undefined) return undefined;
    tree = child(tree, step)?.value;
  }
  return tree;
}

/**
 * The value at a path as it may be printed. Replaced values are named by their expression, because they may be
 * secret; literal ones are quoted, or `***` where the key holds a secret. An item of a list that was given as one
 * string is printed as that string.
 */
export function showValue(root: Tree, path: Path, secret: boolean): string {
  let tree = root;
  for (const step of path) {
    const next = child(tree, step);
    if (next === undefined) break;
    tree = next.value;
  }
  if (tree.kind !== 'scalar') return tree.kind === 'list' ? 'the list' : 'the map';
  if (tree.expressions.length > 0)
    return tree.pure ? `${tree.expressions[0]}` : `text with ${tree.expressions.join(' ')}`;
  if (secret) return '***';
  return typeof tree.value === 'string' ? quote(tree.value) : String(tree.value);
}

function child(tree: Tree, step: string | number): { keyPlace: Place; value: Tree } | undefined {
  if (tree.kind === 'map') return tree.entries.get(String(step));
  if (tree.kind === 'list' && typeof step === 'number') {
    const item = tree.items[step];
    return item === undefined ? undefined : { keyPlace: item.place, value: item };
  }
  return undefined;
}
