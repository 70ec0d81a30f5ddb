import type { Path } from '../problem.ts';
import { durationMs } from '../schema/units.ts';
import type { Route } from '../types.ts';
import type { KeyedRateLimit, RateLimit } from '../types-rate.ts';
import type { CompileContext, Reporter } from './context.ts';

type Input = { readonly average: number; readonly period: string; readonly burst: number };
type KeyedInput = Input & { readonly key: KeyedRateLimit['key'] };

const EVERY_KEY = ['client_ip', 'session', 'user'] as const;

/** Longest time that a count is remembered: `burst` at the pace of `average`. */
const WINDOW_MAX_MS = 7 * 86_400_000;

/** `rate_limit` without a key compiled; undefined stays undefined: no limit. */
export function compileRateLimit(reporter: Reporter, path: Path, input: Input | undefined): RateLimit | undefined {
  if (input === undefined) return undefined;
  const { average, burst } = input;
  const periodMs = durationMs(input.period);
  if ((burst * periodMs) / average > WINDOW_MAX_MS) {
    const problem = '{value} at once come back only after more than a week';
    reporter.fail([...path, 'burst'], problem, 'burst × period ÷ average of at most 7d', 'reduce burst');
  }
  return { average, periodMs, burst };
}

/** `rate_limit` with a key compiled. @param keys the keys that can be known where the limit applies. */
export function compileKeyedRateLimit(
  reporter: Reporter,
  path: Path,
  input: KeyedInput | undefined,
  keys: readonly KeyedRateLimit['key'][],
): KeyedRateLimit | undefined {
  const limit = compileRateLimit(reporter, path, input);
  if (limit === undefined || input === undefined) return undefined;
  if (!keys.includes(input.key)) {
    reporter.fail([...path, 'key'], '{value} is not known here', keys.join(' or '), 'change it');
  }
  return { ...limit, key: input.key };
}

/** `rate_limit` of a route: what the proxy does not see it cannot count, and strangers have no session. */
export function compileRouteRateLimit(
  { routes }: CompileContext,
  input: { readonly rate_limit?: KeyedInput | undefined; readonly target_service?: string | undefined },
  auth: Route['auth'],
  index: number,
): KeyedRateLimit | undefined {
  const path = ['routes', index, 'rate_limit'];
  if (input.rate_limit !== undefined && input.target_service === undefined) {
    const fix = 'add target_service, or limit the rate at the gateway';
    routes.fail(
      path,
      'a rate limit without target_service',
      'a service: requests that verify decides are not counted',
      fix,
    );
  }
  return compileKeyedRateLimit(routes, path, input.rate_limit, auth === 'none' ? ['client_ip'] : EVERY_KEY);
}
