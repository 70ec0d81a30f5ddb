// One real Keycloak for all suites: it takes longer to start than they take to run.
import { after, before, describe } from 'node:test';
import { startKeycloak, type TestKeycloak } from '../support/keycloak.ts';
import { skipWithout } from '../support/parts.ts';
import { registerSignInSuite } from './suites/sign-in.ts';

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
});
