import { deriveMac, equalSecret, hmacBase64url } from '../core/crypto.ts';
import { parseForm } from '../core/query.ts';
import type { Session } from '../core/services.ts';
import type { FlowRequest, FlowServices } from './flow.ts';

/** The field of our pages' forms. */
export const FORM_TOKEN_FIELD = 'csrf_token';

/** Which page's form it is; a token of one is nothing to the other. */
export type FormPurpose = 'logout' | 'sessions';

/** The token of our own pages' forms, bound to the session and to one use (D-27 label `csrf`). */
export function formToken({ ring }: FlowServices, purpose: FormPurpose, locator: string): string {
  const key = ring.find(ring.writerId, 'csrf');
  if (key === undefined) throw new TypeError('the writing key is not in the ring');
  return hmacBase64url(deriveMac(key, purpose), locator);
}

/** The fields of a form's POST; empty for another content type. @throws bad_request */
export function readForm({ context, body }: FlowRequest): ReadonlyMap<string, string> {
  return context.contentType.startsWith('application/x-www-form-urlencoded') ? parseForm(body) : new Map();
}

/** True if a form holds the token of this session's page. */
export function hasFormToken(
  form: ReadonlyMap<string, string>,
  purpose: FormPurpose,
  session: Session | undefined,
  services: FlowServices,
): boolean {
  const token = form.get(FORM_TOKEN_FIELD);
  return (
    token !== undefined && session !== undefined && equalSecret(token, formToken(services, purpose, session.locator))
  );
}
