import { canonicalPath } from '../../path.ts';

/** Paths that one entry may expand to. */
const EXPANSIONS_MAX = 256;

/** The expanded paths of one entry, or what is wrong with it. */
export type PathResult = { readonly paths: readonly string[] } | { readonly problem: string };

/**
 * Expand `{a,b}` alternatives and check the grammar of D-39: literal segments, `:name` for one segment, a final `/*`
 * for the path itself and everything below.
 */
export function expandRoutePath(text: string): PathResult {
  const paths = expandAlternatives(text);
  if (paths === undefined) return { problem: '{value} has unusable braces' };
  if (paths.length > EXPANSIONS_MAX) return { problem: `{value} stands for more than ${EXPANSIONS_MAX} paths` };
  for (const path of paths) {
    const problem = patternProblem(path);
    if (problem !== undefined) return { problem };
  }
  return { paths };
}

/** The pattern with its parameters unnamed: two routes of one shape match the same paths. */
export function pathShape(pattern: string): string {
  return pattern.replace(/\/:[^/]+/g, '/:');
}

/** The path that a pattern begins with: the whole of it without the final `/*`. */
export function pathBase(pattern: string): string {
  return pattern === '/*' ? '/' : pattern.replace(/\/\*$/, '');
}

/** True if a canonical path without parameters is matched by a pattern. */
export function patternMatches(pattern: string, path: string): boolean {
  const wanted = pathBase(pattern).split('/');
  const given = path.split('/');
  const open = pattern.endsWith('/*');
  if (open && pathBase(pattern) === '/') return true;
  if (open ? given.length < wanted.length : given.length !== wanted.length) return false;
  return wanted.every((segment, index) => (segment.startsWith(':') ? given[index] !== '' : segment === given[index]));
}

/** Undefined for nested, empty or unclosed braces; stops early where there are too many. */
function expandAlternatives(text: string): readonly string[] | undefined {
  let paths = [''];
  for (const part of text.split(/(\{[^{}]*\})/)) {
    if (!part.startsWith('{')) {
      if (/[{}]/.test(part)) return undefined;
      paths = paths.map((path) => path + part);
      continue;
    }
    const alternatives = part
      .slice(1, -1)
      .split(',')
      .map((alternative) => alternative.trim());
    if (alternatives.some((alternative) => alternative === '')) return undefined;
    paths = paths.flatMap((path) => alternatives.map((alternative) => path + alternative));
    if (paths.length > EXPANSIONS_MAX) return paths;
  }
  return paths;
}

function patternProblem(pattern: string): string | undefined {
  if (!pattern.startsWith('/')) return '{value} does not begin with a slash';
  if (pattern === '/' || pattern === '/*') return undefined;
  const base = pathBase(pattern);
  if (base.endsWith('/')) return '{value} ends with a slash';
  const names = new Set<string>();
  for (const segment of base.slice(1).split('/')) {
    if (segment.startsWith(':')) {
      if (!/^:[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(segment)) return '{value} has an unusable parameter name';
      if (names.has(segment)) return `{value} has the parameter ${segment} twice`;
      names.add(segment);
    } else if (segment.includes('*')) {
      return '{value} has a * elsewhere than in a final /*';
    }
  }
  const literal = base.replace(/\/:[^/]+/g, '/p');
  return canonicalPath(literal) === literal ? undefined : '{value} is not a canonical path';
}
