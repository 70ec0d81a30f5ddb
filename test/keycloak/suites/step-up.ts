import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { signInAtKeycloak, type TestKeycloak } from '../../support/keycloak.ts';
import { createCookieJar, fetchWithJar } from '../../support/provider.ts';
import { type GetKeycloak, type KeycloakWorld, startKeycloakWorld } from '../world.ts';

/** Stronger authentication where a page asks for it. */
export function registerStepUpSuite(getKeycloak: GetKeycloak): void {
  describe('step-up at Keycloak', () => {
    let world: KeycloakWorld;
    before(async () => {
      const keycloak = getKeycloak();
      world = await startKeycloakWorld(keycloak, {
        client: {
          attributes: { 'acr.loa.map': JSON.stringify({ silver: 1, gold: 2 }) },
          authenticationFlowBindingOverrides: { browser: await createFlow(keycloak) },
        },
        settings: { verify: { profiles: { strong: { acr: ['gold'] } } } },
      });
    });
    after(() => world?.close());

    test('Keycloak: step-up: a page that asks for more sends the browser there, and it comes back with the stronger acr', async () => {
      const at = createCookieJar();
      const jar = await world.signIn('alice', at, 'return_to=%2Fpage&acr_values=silver');
      assert.equal((await world.verify(jar)).status, 200);
      const refused = await world.verify(jar, '/page', {}, 'profile=strong');
      assert.equal(refused.status, 401);
      assert.match(
        refused.headers.get('www-authenticate') ?? '',
        /error="insufficient_user_authentication".*acr_values="gold"/,
      );

      const sent = await world.verify(jar, '/page', { accept: 'text/html' }, 'profile=strong&on_fail=302');
      assert.equal(sent.status, 302);
      const begun = await fetchWithJar(jar, new URL(sent.headers.get('location') ?? '', world.base));
      const location = new URL(begun.headers.get('location') ?? '');
      assert.equal(location.searchParams.get('acr_values'), 'gold');
      const { url } = await signInAtKeycloak(at, location, 'alice');
      const back = await fetchWithJar(jar, url);
      assert.deepEqual([back.status, back.headers.get('location')], [302, `${world.base}/page`]);
      assert.equal((await world.verify(jar, '/page', {}, 'profile=strong')).status, 200);
    });
  });
}

/** A browser flow of two levels: the password, and the password once more. @returns its id */
async function createFlow(keycloak: TestKeycloak): Promise<string> {
  const at = '/authentication/flows';
  await keycloak.admin(at, 'POST', { alias: 'steps', providerId: 'basic-flow', topLevel: true, builtIn: false });
  await add('steps', 'execution', { provider: 'auth-cookie' });
  await add('steps', 'flow', { alias: 'steps-forms', type: 'basic-flow' });
  for (const [level, form] of [
    ['1', 'auth-username-password-form'],
    ['2', 'auth-password-form'],
  ] as const) {
    const alias = `steps-${level}`;
    await add('steps-forms', 'flow', { alias, type: 'basic-flow' });
    await add(alias, 'execution', { provider: 'conditional-level-of-authentication' });
    await add(alias, 'execution', { provider: form });
  }
  const requirements: Readonly<Record<string, string>> = {
    'auth-cookie': 'ALTERNATIVE',
    'steps-forms': 'ALTERNATIVE',
    'steps-1': 'CONDITIONAL',
    'steps-2': 'CONDITIONAL',
  };
  let level = 0;
  for (const execution of await list()) {
    const requirement = requirements[execution.providerId ?? execution.displayName] ?? 'REQUIRED';
    await keycloak.admin(`${at}/steps/executions`, 'PUT', { ...execution, requirement });
    if (execution.providerId !== 'conditional-level-of-authentication') continue;
    level += 1;
    const config = { 'loa-condition-level': String(level), 'loa-max-age': level === 1 ? '36000' : '0' };
    await keycloak.admin(`/authentication/executions/${execution.id}/config`, 'POST', {
      alias: `level-${level}`,
      config,
    });
  }
  const flows = (await (await keycloak.admin(at)).json()) as { readonly id: string; readonly alias: string }[];
  return flows.find(({ alias }) => alias === 'steps')?.id ?? '';

  async function add(flow: string, kind: 'execution' | 'flow', what: object): Promise<void> {
    await keycloak.admin(`${at}/${flow}/executions/${kind}`, 'POST', what);
  }
  async function list(): Promise<
    { readonly id: string; readonly providerId?: string; readonly displayName: string }[]
  > {
    return (await (await keycloak.admin(`${at}/steps/executions`)).json()) as never;
  }
}
