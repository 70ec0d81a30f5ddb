import type { PathWorld } from './path-world.ts';
import { type Exchange, valuesOf } from './raw-client.ts';
import { locationOf } from './sign-in.ts';

/** Who sends the request: somebody who may do everything, somebody without the admin's role, or nobody known. */
export type Asker = 'entitled' | 'ordinary' | 'nobody';

/** What became of a request, in the words of the files. */
export function outcomeOf(world: PathWorld, { responses }: Exchange): string {
  const reached = [...world.services].filter(([, { seen }]) => seen.length > 0).map(([name]) => name);
  if (reached.length > 0) return reached.map((name) => `route:${name}`).join(' and ');
  if (responses.length > 1) return `${responses.length} answers`;
  const [response] = responses;
  // Closed, or never a complete request: nothing was handled.
  if (response === undefined) return 'reject';
  const { status, headers, body } = response;
  if (status === 404) return 'notfound';
  if (status >= 400) return 'reject';
  if (body.includes('"authenticated":')) return 'internal:session';
  if (body.includes('<title>Sign out?</title>')) return 'internal:logout';
  if (body.includes('"status":"ok"')) return 'internal:health';
  if (valuesOf(headers, 'x-user-id').length > 0) return 'internal:verify';
  if (locationOf(response)?.includes('/authorize?')) return 'internal:login';
  // A navigation of nobody to a page that needs a session.
  if (locationOf(response)?.includes('/auth/login')) return 'reject';
  return status === 204 ? 'internal:metrics' : `internal (${status})`;
}

/** True for routes that need a session. */
export function isProtected(outcome: string): boolean {
  return outcome === 'route:users' || outcome === 'route:files' || outcome === 'route:admin';
}

/**
 * What verify must say to somebody: `allow` where the only acceptable outcome is a route that is open to them, `refuse`
 * where no acceptable outcome is one, otherwise `either`.
 */
export function expectedOfVerify(acceptable: readonly string[], asker: Asker): 'allow' | 'refuse' | 'either' {
  const isOpen = (outcome: string): boolean => {
    if (outcome === 'route:public') return true;
    return isProtected(outcome) && asker !== 'nobody' && (asker === 'entitled' || outcome !== 'route:admin');
  };
  if (acceptable.every(isOpen)) return 'allow';
  return acceptable.some(isOpen) ? 'either' : 'refuse';
}
