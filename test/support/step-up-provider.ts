import type { DemoProviderOptions } from '../../src/cli/demo/provider.ts';

// oidc-provider ships no types; what follows is its documented way to add a question to the login.
type Context = {
  readonly oidc: {
    readonly acr?: string;
    readonly params: Readonly<Record<string, string | undefined>>;
    readonly result?: { readonly login?: object };
  };
};
type Checks = { add(check: object): void };
type Policy = {
  readonly Check: new (reason: string, description: string, isNeeded: (context: Context) => boolean) => object;
  base(): { get(name: string): { readonly checks: Checks } };
};

/** A class that the provider of these tests knows. */
export const MFA = 'urn:example:mfa';

/** A provider that asks again when a request wants a class which the user's session there has not (oidc-provider). */
export async function stepUpProvider(): Promise<Pick<DemoProviderOptions, 'configure' | 'classes'>> {
  const { interactionPolicy } = (await import('oidc-provider')) as unknown as { interactionPolicy: Policy };
  const isAsked = ({ oidc }: Context): boolean => {
    const asked = oidc.params['acr_values']?.split(' ') ?? [];
    return asked.length > 0 && !asked.includes(oidc.acr ?? '') && oidc.result?.login === undefined;
  };
  return {
    classes: [MFA],
    configure(configuration) {
      const policy = interactionPolicy.base();
      policy.get('login').checks.add(new interactionPolicy.Check('class', 'a stronger sign-in is wanted', isAsked));
      const { claims, interactions } = configuration as { claims: object; interactions: object };
      return {
        ...configuration,
        acrValues: [MFA],
        claims: { ...claims, acr: null },
        interactions: { ...interactions, policy },
      };
    },
  };
}
