import type { RequestContext } from '../src/core/context.ts';
import { verify } from '../src/core/verify.ts';
import type { Decision } from '../src/core/verify-decision.ts';
import { contextOf, direct, HANDLE, NAVIGATION, servicesOf, sessionOf } from '../test/core/world.ts';
import type { MicroBench, MicroGroup } from './lib/micro.ts';

const ENTRY = { allPeersTrusted: false, shared: false, tail: false };
const CALLS = 64;

/** The decision alone: no parsing before it, no answer after it. */
export const verifyBench: MicroBench = {
  name: 'verify',
  createGroups: () => [
    groupOf('allow', contextOf({ cookie: `theme=dark; bff_session=${HANDLE}; locale=en`, ...NAVIGATION })),
    groupOf('no cookie', contextOf({ cookie: 'theme=dark; locale=en' })),
    groupOf('malformed cookie', contextOf({ cookie: 'theme=dark; bff_session=!; locale=en' })),
  ],
};

function groupOf(name: string, context: RequestContext): MicroGroup {
  const services = servicesOf({});
  const session = sessionOf();
  // The notes of the test world would grow for ever.
  services.sessions.look = (handle) => (handle === HANDLE ? session : undefined);
  const decide = (): Decision => direct(verify(context, ENTRY, services));
  const decideLater = async (): Promise<Decision> => decide();
  return {
    name,
    calls: CALLS,
    ways: {
      'direct (shipped)': () => Array.from({ length: CALLS }, decide),
      'as a promise': () => Promise.all(Array.from({ length: CALLS }, decideLater)),
    },
  };
}
