import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IDPS, load, type Refusal, ROUTES, settings, testRefusals } from './support.ts';

const route = (rest: string): string => `${ROUTES}  - {id: a, paths: [/a], target_service: api, ${rest}}\n`;

const CASES: readonly Refusal[] = [
  {
    name: 'a step-up that asks for nothing',
    sources: { routes: route('step_up: {}') },
    lines: [
      'routes.yaml:5:47 routes[0].step_up: a step-up that asks for nothing, expected acr or max_age, add one of them',
    ],
  },
  {
    name: 'a step-up of people who are not signed in',
    sources: { routes: route('auth: optional, step_up: {max_age: 1m}') },
    lines: [
      'routes.yaml:5:63 routes[0].step_up: a step-up with auth: optional, expected auth: session, change auth or remove the rule',
    ],
  },
  {
    name: 'a step-up that the provider would never hear of',
    sources: { routes: route('step_up: {acr: [gold]}'), idps: `${IDPS}    forwarded_params: [max_age]\n` },
    lines: [
      'routes.yaml:5:47 routes[0].step_up: the provider main would not be told acr_values, expected acr_values in its forwarded_params, add it in idps.yaml',
    ],
  },
  {
    name: 'classes that cannot be said in a header, in routes and profiles',
    sources: {
      routes: route(`step_up: {acr: ['a"b']}`),
      settings: settings(`verify: {profiles: {ops: {acr: ['a b']}}}\n`),
    },
    lines: [
      'settings.yaml:8:33 verify.profiles.ops.acr[0]: "a b" is no authentication class, expected visible ASCII without blanks, quotes and backslashes, write the class as the provider spells it',
      'routes.yaml:5:63 routes[0].step_up.acr[0]: "a\\"b" is no authentication class, expected visible ASCII without blanks, quotes and backslashes, write the class as the provider spells it',
    ],
  },
];

describe('step-ups that nobody could meet are refused:', () => testRefusals(CASES));

test('a step-up is compiled, and others have none', () => {
  const { routes } = load({
    routes: `${route('step_up: {acr: "gold, urn:example:mfa", max_age: 15m}')}  - {id: b, paths: [/b], target_service: api}\n`,
  });
  assert.deepEqual(
    routes.map(({ stepUp }) => stepUp),
    [{ acr: ['gold', 'urn:example:mfa'], maxAgeMs: 900_000 }, undefined],
  );
});
