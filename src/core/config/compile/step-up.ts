import type { Path } from '../problem.ts';
import { durationMs } from '../schema/units.ts';
import type { Route } from '../types.ts';
import type { ForwardedParam } from '../types-idp.ts';
import type { CompileContext, Reporter } from './context.ts';

type Input = { readonly acr?: readonly string[] | undefined; readonly max_age?: string | undefined };

/** `step_up` of a route compiled; one that asks for nothing, or that nobody could meet, stops the start. */
export function compileStepUp(
  context: CompileContext,
  input: Input | undefined,
  auth: Route['auth'],
  index: number,
): Route['stepUp'] {
  if (input === undefined) return undefined;
  const { routes } = context;
  const path = ['routes', index, 'step_up'];
  if (input.acr === undefined && input.max_age === undefined) {
    routes.fail(path, 'a step-up that asks for nothing', 'acr or max_age', 'add one of them');
  }
  if (auth === 'none' || auth === 'optional') {
    routes.fail(path, `a step-up with auth: ${auth}`, 'auth: session', 'change auth or remove the rule');
  }
  checkForwarded(context, routes, path, input);
  return { acr: input.acr ?? [], maxAgeMs: input.max_age === undefined ? undefined : durationMs(input.max_age) };
}

/** A provider that is not told what is asked for answers the same for ever. */
export function checkForwarded({ idps }: CompileContext, reporter: Reporter, path: Path, input: Input): void {
  for (const [name, provider] of Object.entries(idps.sections.providers ?? {})) {
    const missing = (param: ForwardedParam, isAsked: boolean): boolean =>
      isAsked && !provider.forwarded_params.includes(param);
    const param = missing('acr_values', input.acr !== undefined)
      ? 'acr_values'
      : missing('max_age', input.max_age !== undefined)
        ? 'max_age'
        : undefined;
    if (param === undefined) continue;
    const problem = `the provider ${name} would not be told ${param}`;
    reporter.fail(path, problem, `${param} in its forwarded_params`, 'add it in idps.yaml');
  }
}
