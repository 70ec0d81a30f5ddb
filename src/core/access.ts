import type { Session } from './services.ts';

/** Who may pass once signed in. Empty lists ask for nothing. */
export type AccessRule = {
  /** One of these roles. */
  readonly roles: readonly string[];
  /** One of these groups. */
  readonly groups: readonly string[];
  /** All of these scopes. */
  readonly scopes: readonly string[];
  /** One of these authentication context classes; otherwise a step-up (RFC 9470). */
  readonly acr: readonly string[];
  /** Longest time since the user authenticated; otherwise a step-up. */
  readonly maxAgeMs: number | undefined;
};

/** Why a signed-in user may not pass. */
export type AccessProblem = {
  readonly code: 'access_denied' | 'insufficient_user_authentication';
  /** For the log. */
  readonly reason: 'role' | 'group' | 'scope' | 'acr' | 'max_age';
};

/** The rule that asks for nothing but a session. */
export const NO_RULE: AccessRule = { roles: [], groups: [], scopes: [], acr: [], maxAgeMs: undefined };

const DENIED_ROLE: AccessProblem = { code: 'access_denied', reason: 'role' };
const DENIED_GROUP: AccessProblem = { code: 'access_denied', reason: 'group' };
const DENIED_SCOPE: AccessProblem = { code: 'access_denied', reason: 'scope' };
const STEP_UP_ACR: AccessProblem = { code: 'insufficient_user_authentication', reason: 'acr' };
const STEP_UP_AGE: AccessProblem = { code: 'insufficient_user_authentication', reason: 'max_age' };

/** Check a live session against a rule; undefined = it passes. */
export function findAccessProblem(session: Session, rule: AccessRule, now: number): AccessProblem | undefined {
  const { principal, scopes, acr, authTime } = session.hot;
  if (rule.roles.length > 0 && !overlaps(rule.roles, principal.roles)) return DENIED_ROLE;
  if (rule.groups.length > 0 && !overlaps(rule.groups, principal.groups)) return DENIED_GROUP;
  for (const scope of rule.scopes) if (!scopes.includes(scope)) return DENIED_SCOPE;
  if (rule.acr.length > 0 && (acr === undefined || !rule.acr.includes(acr))) return STEP_UP_ACR;
  if (rule.maxAgeMs !== undefined && now - (authTime ?? 0) > rule.maxAgeMs) return STEP_UP_AGE;
  return undefined;
}

function overlaps(wanted: readonly string[], held: readonly string[]): boolean {
  for (const item of wanted) if (held.includes(item)) return true;
  return false;
}
