import { isAtOrBelowPath, type Path } from './problem.ts';
import { parseDurationMs } from './schema/units.ts';

/** A key whose feature this version does not have. */
type Rule = {
  /** Path with `*` for any name or index. */
  readonly path: string;
  /** What the feature is, for the manual. */
  readonly feature: string;
  /** The values that change nothing and are therefore accepted; without it any value is refused. */
  readonly accepts?: readonly unknown[] | ((value: unknown) => boolean);
  /** Those values in words. */
  readonly expected?: string;
};

const isZero = (value: unknown): boolean => value === 0 || (typeof value === 'string' && parseDurationMs(value) === 0);
const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

/**
 * The one list of what the schema knows and this version does not do. A key given with an active value stops the
 * start; whoever builds the feature removes its line here.
 */
export const NOT_AVAILABLE: Readonly<Record<string, readonly Rule[]>> = {
  'settings.yaml': [
    { path: 'listen.public.tls', feature: 'TLS at the listener' },
    { path: 'listen.verify.tls', feature: 'TLS at the listener' },
    { path: 'listen.admin.tls', feature: 'TLS at the listener' },
    { path: 'store.serve_stale', feature: 'serving stale sessions', accepts: isZero, expected: '0s' },
    { path: 'verify.gateway', feature: 'other gateways', accepts: ['traefik'], expected: 'traefik' },
    {
      path: 'identity_assertion.enabled',
      feature: 'the signed identity assertion',
      accepts: [false],
      expected: 'false',
    },
    { path: 'log.access', feature: 'sampled access lines', accepts: ['none', 'all'], expected: 'none or all' },
    { path: 'tracing.enabled', feature: 'OpenTelemetry export', accepts: [false], expected: 'false' },
    { path: 'pages.directory', feature: 'own page templates', accepts: [null], expected: 'null' },
  ],
  'routes.yaml': [{ path: 'routes.*.pdp', feature: 'external decisions' }],
  'pdp.yaml': [
    { path: 'points', feature: 'external decisions', accepts: isEmpty, expected: 'nothing' },
    { path: 'policies', feature: 'external decisions', accepts: isEmpty, expected: 'nothing' },
  ],
};

/** Every place of a file's data that asks for something this version does not have, with the message to print. */
export function findRefusals(
  file: string,
  data: unknown,
): readonly { readonly path: Path; readonly message: string }[] {
  const found = (NOT_AVAILABLE[file] ?? []).flatMap((rule) => {
    return matches(data, rule.path.split('.'), [])
      .filter(({ value }) => !accepted(rule, value))
      .map(({ path }) => ({ path, message: refusal(rule) }));
  });
  // What lies inside a refused map goes with it.
  return found.filter(({ path }) => !found.some((other) => other.path !== path && isAtOrBelowPath(path, other.path)));
}

function refusal(rule: Rule): string {
  return `not available in this version, expected ${rule.expected ?? 'no such key'}, remove the line`;
}

function accepted(rule: Rule, value: unknown): boolean {
  return typeof rule.accepts === 'function' ? rule.accepts(value) : (rule.accepts?.includes(value) ?? false);
}

function matches(value: unknown, steps: readonly string[], path: Path): { path: Path; value: unknown }[] {
  const [step, ...rest] = steps;
  if (step === undefined) return [{ path, value }];
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value))
    return step === '*' ? value.flatMap((item, index) => matches(item, rest, [...path, index])) : [];
  const keys = step === '*' ? Object.keys(value) : Object.hasOwn(value, step) ? [step] : [];
  return keys.flatMap((key) => matches((value as Record<string, unknown>)[key], rest, [...path, key]));
}
