import { runCallback } from './family-callback.ts';
import { runCookies } from './family-cookies.ts';
import { runForwardedHeaders } from './family-forwarded-headers.ts';
import { runHttpFraming } from './family-http-framing.ts';
import { runOpenRedirect } from './family-open-redirect.ts';
import { runJwt } from './jwt.ts';
import type { FamilyRunner } from './lab.ts';

/** Family -> its runner. A family without an entry is reported as not run and fails nothing. */
export const FAMILY_RUNNERS: Readonly<Record<string, FamilyRunner>> = {
  open_redirect: runOpenRedirect,
  cookies: runCookies,
  forwarded_headers: runForwardedHeaders,
  callback: runCallback,
  http_framing: runHttpFraming,
  jwt: runJwt,
};
