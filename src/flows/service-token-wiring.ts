import { systemTimers } from '../core/lease.ts';
import type { ServiceTokens } from '../core/services.ts';
import type { SiteTable } from '../core/sites.ts';
import { createFlightEvents } from './refresh-events.ts';
import type { RefreshParts } from './refresh-wiring.ts';
import { createServiceTokens } from './service-tokens.ts';
import { revokeInBackground } from './tokens.ts';

/** The tokens of services over the parts of a server. */
export function connectTokens(parts: RefreshParts & { readonly sites: SiteTable }): ServiceTokens {
  const { config, sites, idps, log, metrics } = parts;
  const providers = new Map(idps.map((runtime) => [runtime.idp.name, runtime]));
  const logins = new Map(sites.all.map(({ site, loginUrl }) => [site.name, loginUrl]));
  return createServiceTokens({
    ...parts,
    services: config.services,
    timers: systemTimers,
    settings: config.refresh,
    events: createFlightEvents(parts),
    random: Math.random,
    idpOf: (name) => providers.get(name),
    loginUrlOf: (site) => logins.get(site),
    onOutcome(service, outcome) {
      metrics.serviceTokens.inc({ service, outcome });
      const found = outcome === 'ok';
      const text = found ? 'token_found=true' : 'token_found=false';
      log[found ? 'info' : 'debug'](
        { token_found: found, target_service: service, outcome },
        `${text} service=${service}`,
      );
    },
    revoke(idp, tokens) {
      const runtime = providers.get(idp);
      if (runtime !== undefined) revokeInBackground({ log }, runtime, tokens);
    },
  });
}
