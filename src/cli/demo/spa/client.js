import { createClient, SallyportProblem } from './sallyport-client.js';

/** What this page asks of its own origin, with the helper that every application can use (client/README.md). */
export const client = createClient({ base: '/api', onSignIn: () => dispatchEvent(new Event('session-missing')) });

/** An answer, or the lack of one, that the page shows as it is. */
export const Problem = SallyportProblem;

/** The sign-in address that brings the user back to this page. */
export function loginUrl(base) {
  const url = new URL(base ?? '/auth/login', location.href);
  if (!url.searchParams.has('return_to')) {
    url.searchParams.set('return_to', location.pathname + location.search);
  }
  return url.href;
}
