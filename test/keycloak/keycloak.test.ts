// One real Keycloak for all suites: it takes longer to start than they take to run.
import { after, before, describe } from 'node:test';
import { startKeycloak, type TestKeycloak } from '../support/keycloak.ts';
import { skipWithout } from '../support/parts.ts';
import { registerClientAuthSuite } from './suites/client-auth.ts';
import { registerDirectGrantSuite } from './suites/direct-grant.ts';
import { registerParDpopSuite } from './suites/par-dpop.ts';
import { registerProviderLogoutSuite } from './suites/provider-logout.ts';
import { registerSignInSuite } from './suites/sign-in.ts';
import { registerStepUpSuite } from './suites/step-up.ts';
import { registerTokenExchangeSuite } from './suites/token-exchange.ts';

describe('with a real Keycloak', { skip: skipWithout('java', 'keycloak') }, () => {
  let keycloak: TestKeycloak | undefined;
  before(async () => {
    keycloak = await startKeycloak();
  });
  after(() => keycloak?.stop());
  const getKeycloak = (): TestKeycloak => {
    if (keycloak === undefined) throw new Error('Keycloak is not there yet: ask for it inside a test or hook');
    return keycloak;
  };

  registerSignInSuite(getKeycloak);
  registerClientAuthSuite(getKeycloak);
  registerParDpopSuite(getKeycloak);
  registerProviderLogoutSuite(getKeycloak);
  registerDirectGrantSuite(getKeycloak);
  registerStepUpSuite(getKeycloak);
  registerTokenExchangeSuite(getKeycloak);
});
