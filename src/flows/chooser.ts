import type { Idp } from '../core/config/types.ts';
import { SallyportError } from '../core/errors.ts';
import type { PageRow } from '../core/pages.ts';
import type { Reply } from '../core/problem.ts';
import type { FlowRequest, FlowServices } from './flow.ts';

/**
 * Where several providers could sign somebody in and nothing says which (D-25): a page with a link for each, by name,
 * that keeps `return_to` and the parameters that this provider is given. `prompt=none` forbids any page: such a caller
 * learns at its own address that a user must act.
 * @param returnTo checked already.
 * @throws unknown_idp with the names, for whoever is no person in a browser.
 */
export function offerProviders(
  request: FlowRequest,
  returnTo: string,
  params: ReadonlyMap<string, string>,
  prompt: 'create' | undefined,
  services: FlowServices,
): Reply {
  const { context, site, navigation } = request;
  const { idps, paths } = services.config;
  if (!navigation) {
    throw new SallyportError('unknown_idp', {
      detail: 'no provider was named, and there is no default',
      publicDetail: `There are several identity providers. Name one of them in the idp parameter: ${idps.map(({ name }) => name).join(', ')}.`,
    });
  }
  if (prompt === undefined && params.get('prompt') === 'none') {
    const target = new URL(returnTo, site.site.publicUrl);
    target.searchParams.set('error', 'login_required');
    return services.replies.redirect(context, target.href);
  }
  const address = `${paths.auth}/${prompt === undefined ? 'login' : 'register'}`;
  const rows = idps.map((idp): PageRow => {
    const query = new URLSearchParams({ idp: idp.name, return_to: returnTo, ...passedOn(idp, params) });
    return {
      title: idp.name,
      details: [new URL(idp.issuer).host],
      action: { kind: 'link', href: `${address}?${query}`, label: `Continue with ${idp.name}` },
    };
  });
  return services.replies.page(site, 200, {
    title: 'Choose how to sign in',
    paragraphs: [`${new URL(site.site.publicUrl).host} knows several identity providers. Which one has your account?`],
    rows,
    note: `Request ${context.requestId}`,
  });
}

function passedOn({ forwardedParams }: Idp, params: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
  const given = forwardedParams.map((name) => [name, params.get(name)] as const);
  return Object.fromEntries(given.filter((pair): pair is [(typeof pair)[0], string] => pair[1] !== undefined));
}
