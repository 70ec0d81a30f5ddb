import type { Idp, LoginSettings } from '../core/config/types.ts';
import { valueAtPointer } from '../core/identity.ts';
import type { Principal } from '../core/session.ts';

/** Claims as a provider sent them, already validated. */
export type Claims = Readonly<Record<string, unknown>>;

/** Claims that belong to the protocol run, not to the user. */
const PROTOCOL_CLAIMS: ReadonlySet<string> = new Set([
  'iss',
  'aud',
  'exp',
  'iat',
  'nbf',
  'nonce',
  'at_hash',
  'c_hash',
  's_hash',
  'azp',
  'jti',
  'sid',
  'auth_time',
  'acr',
  'amr',
]);

/**
 * Map a provider's claims to a principal (D-28): for each field the first JSON Pointer that exists, looked up in the
 * sources in their configured order.
 * @param idToken claims of the validated ID token; always identifies the user by `iss` and `sub`.
 * @param userinfo claims of the UserInfo answer, whose `sub` has been compared.
 * @param accessToken claims of an access token that is a JWT for us.
 */
export function buildPrincipal(
  idp: Idp,
  idToken: Claims,
  userinfo: Claims | undefined,
  accessToken?: Claims,
): Principal {
  const bySource = { id_token: idToken, userinfo, access_token: accessToken };
  const sources = idp.claimsFrom.map((name) => bySource[name]).filter((source) => source !== undefined);
  const find = (field: keyof Idp['claims']): unknown => findClaim(sources, idp.claims[field]);
  const subject = String(idToken['sub']);
  return {
    issuer: idp.issuer,
    subject,
    userId: textOf(find('user_id')) || subject,
    username: textOf(find('username')),
    email: textOf(find('email')),
    emailVerified: find('email_verified') === true,
    name: textOf(find('name')),
    roles: listOf(find('roles')),
    groups: listOf(find('groups')),
    claims: userClaims(sources),
  };
}

/** Why this person may not have a session here, or undefined (D-28, D-45): each list that is not empty must be met. */
export function findLoginDenial(principal: Principal, allow: LoginSettings['allow']): string | undefined {
  const { emailDomains, groups, roles } = allow;
  if (emailDomains.length > 0 && !hasAllowedEmail(principal, emailDomains)) return 'email_domain';
  if (groups.length > 0 && !principal.groups.some((group) => groups.includes(group))) return 'group';
  if (roles.length > 0 && !principal.roles.some((role) => roles.includes(role))) return 'role';
  return undefined;
}

/** Verified, with exactly one `@`: `a@evil.test@example.com` is nobody of example.com. */
function hasAllowedEmail({ email, emailVerified }: Principal, domains: readonly string[]): boolean {
  const at = email.indexOf('@');
  if (!emailVerified || at <= 0 || at !== email.lastIndexOf('@')) return false;
  return domains.some((domain) => domain.toLowerCase() === email.slice(at + 1).toLowerCase());
}

function findClaim(sources: readonly Claims[], pointers: readonly string[]): unknown {
  for (const source of sources) {
    for (const pointer of pointers) {
      const value = valueAtPointer(source, pointer);
      if (value !== undefined && value !== null) return value;
    }
  }
  return undefined;
}

/** Built from entries: assigning to a claim named `__proto__` would change the object instead of filling it. */
function userClaims(sources: readonly Claims[]): Claims {
  const claims = new Map<string, unknown>();
  for (const source of sources) {
    for (const [name, value] of Object.entries(source)) {
      if (!PROTOCOL_CLAIMS.has(name) && !claims.has(name)) claims.set(name, value);
    }
  }
  return Object.fromEntries(claims);
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function listOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.filter((item) => typeof item === 'string');
  return typeof value === 'string' && value !== '' ? value.split(/[ ,]/).filter((item) => item !== '') : [];
}
