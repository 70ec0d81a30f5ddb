import { type AccessRule, NO_RULE } from './access.ts';
import type { VerifyProfile } from './config/types.ts';
import { isSallyportError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { parseForm } from './query.ts';
import { isAcrValue } from './step-up.ts';

/** What the verify URL asks for (D-02). */
export type VerifyOptions = {
  /** The URL's own rule, then the profile's. */
  readonly rules: readonly AccessRule[];
  readonly onFail: 'auto' | '401' | '302' | undefined;
  /** Whose token the answer carries; undefined = that of the route. */
  readonly service: string | undefined;
};

/** Parses the raw query of the exact verify path; the problem is for the log and the answer's detail. */
export type VerifyOptionsParser = (query: string) => VerifyOptions | { readonly problem: string };

const NO_OPTIONS: VerifyOptions = { rules: [], onFail: undefined, service: undefined };
const KNOWN: ReadonlySet<string> = new Set(['roles', 'groups', 'scopes', 'acr', 'on_fail', 'profile', 'service']);

/**
 * Compile the parser of verify options. Results are remembered by the raw query, because a gateway sends the same few
 * for ever; a full memory is emptied, so that a caller with ever new queries costs no more than a parse each.
 */
export function compileVerifyOptions(config: {
  readonly verify: { readonly profiles: readonly VerifyProfile[] };
  readonly services: readonly { readonly name: string }[];
}): VerifyOptionsParser {
  const byName = new Map(config.verify.profiles.map((profile) => [profile.name, profile]));
  const services = config.services.map(({ name }) => name);
  const memo = new Map<string, ReturnType<VerifyOptionsParser>>();
  return (query) => {
    if (query === '') return NO_OPTIONS;
    const known = memo.get(query);
    if (known !== undefined) return known;
    if (memo.size >= LIMITS.verifyOptionsMax) memo.clear();
    const parsed = parseOptions(query, byName, services);
    memo.set(query, parsed);
    return parsed;
  };
}

function parseOptions(
  query: string,
  profiles: ReadonlyMap<string, VerifyProfile>,
  services: readonly string[],
): ReturnType<VerifyOptionsParser> {
  let values: ReadonlyMap<string, string>;
  try {
    values = parseForm(query);
  } catch (error) {
    if (isSallyportError(error)) return { problem: error.detail ?? 'malformed query' };
    throw error;
  }
  for (const name of values.keys()) if (!KNOWN.has(name)) return { problem: 'unknown verify option' };
  const onFail = values.get('on_fail');
  if (onFail !== undefined && onFail !== '401' && onFail !== '302' && onFail !== 'auto')
    return { problem: 'bad on_fail' };
  const rules: AccessRule[] = [];
  const own = ownRule(values);
  if (own === undefined) return { problem: 'empty list in a verify option' };
  if (!own.acr.every(isAcrValue)) return { problem: 'malformed acr' };
  if (own !== NO_RULE) rules.push(own);
  const name = values.get('profile');
  const profile = name === undefined ? undefined : profiles.get(name);
  if (name !== undefined && profile === undefined) return { problem: 'unknown profile' };
  if (profile !== undefined) rules.push(profile);
  const service = values.get('service') ?? profile?.service;
  if (service !== undefined && !services.includes(service)) return { problem: 'unknown service' };
  return { rules, onFail: onFail ?? profile?.onFail, service };
}

/** The rule of `roles`, `groups`, `scopes`, `acr`; undefined if one of them is given but empty. */
function ownRule(values: ReadonlyMap<string, string>): AccessRule | undefined {
  const lists = ['roles', 'groups', 'scopes', 'acr'].map((name) => listOf(values.get(name)));
  if (lists.some((items) => items === undefined)) return undefined;
  const [roles = [], groups = [], scopes = [], acr = []] = lists as string[][];
  if (roles.length + groups.length + scopes.length + acr.length === 0) return NO_RULE;
  return { roles, groups, scopes, acr, maxAgeMs: undefined };
}

function listOf(text: string | undefined): string[] | undefined {
  if (text === undefined) return [];
  const items = text.split(/[ ,]/).filter((item) => item !== '');
  return items.length === 0 ? undefined : items;
}
