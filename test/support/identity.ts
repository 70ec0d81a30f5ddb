import { compileIdentityHeaders, type IdentityHeaders } from '../../src/core/identity.ts';

/** No identity headers at all: for tests of everything else that sessions are. */
export const NO_IDENTITY: IdentityHeaders = compileIdentityHeaders([], { onOversize() {}, onControl() {} });
