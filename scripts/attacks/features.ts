import { NOT_AVAILABLE } from '../../src/core/config/availability.ts';

/** True if this version does what a configuration key asks for; `path` as the list of the version's gaps spells it. */
export function hasFeature(file: 'settings.yaml' | 'routes.yaml' | 'idps.yaml', path: string): boolean {
  return !(NOT_AVAILABLE[file] ?? []).some((rule) => rule.path === path);
}
