import type { Family } from './cases.ts';
import { runCallback } from './family-callback.ts';
import { runCookies } from './family-cookies.ts';
import { runCsrfCors } from './family-csrf-cors.ts';
import { runForwardedHeaders } from './family-forwarded-headers.ts';
import { runHttpFraming } from './family-http-framing.ts';
import { runOpenRedirect } from './family-open-redirect.ts';
import { runPathConfusion } from './family-path-confusion.ts';
import { runJwt } from './jwt.ts';
import type { FamilyRunner } from './lab.ts';

/** Family -> its runner. */
export const FAMILY_RUNNERS: Readonly<Record<Family, FamilyRunner>> = {
  open_redirect: runOpenRedirect,
  cookies: runCookies,
  forwarded_headers: runForwardedHeaders,
  callback: runCallback,
  http_framing: runHttpFraming,
  jwt: runJwt,
  csrf_cors: runCsrfCors,
  path_confusion: runPathConfusion,
};
