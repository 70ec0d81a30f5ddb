import type { Audit } from '../core/audit.ts';
import type { Clock } from '../core/clock.ts';
import type { Config } from '../core/config/types.ts';
import type { KeyRing } from '../core/crypto.ts';
import type { Refresh } from '../core/freshness.ts';
import type { IdentityHeaders } from '../core/identity.ts';
import { systemTimers } from '../core/lease.ts';
import type { Logger } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Sessions } from '../core/services.ts';
import type { SessionStore } from '../core/store.ts';
import type { IdpRuntime } from './idp.ts';
import { createRefresh } from './refresh.ts';
import { createFlightEvents } from './refresh-events.ts';
import { createGrant } from './refresh-grant.ts';
import { callMsOf } from './token-endpoint.ts';
import { revokeInBackground } from './tokens.ts';

/** The parts of a server that a refresh works with. */
export type RefreshParts = {
  readonly config: Config;
  readonly store: SessionStore;
  readonly sessions: Sessions;
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly identity: IdentityHeaders;
  readonly idps: readonly IdpRuntime[];
  readonly metrics: Metrics;
  readonly audit: Audit;
  readonly log: Logger;
};

/** The refresh of tokens over the parts of a server. */
export function connectRefresh(parts: RefreshParts): Refresh {
  const { config, metrics, log } = parts;
  const providers = new Map(
    parts.idps.map((runtime) => [
      runtime.idp.name,
      { runtime, grant: createGrant(runtime), callMs: callMsOf(runtime) },
    ]),
  );
  return createRefresh({
    ...parts,
    timers: systemTimers,
    settings: config.refresh,
    allow: config.login.allow,
    events: createFlightEvents(parts),
    random: Math.random,
    grantOf: (idp) => providers.get(idp),
    revoke(idp, tokens) {
      const provider = providers.get(idp);
      if (provider !== undefined) revokeInBackground({ log }, provider.runtime, tokens);
    },
    onFlights: (change) => metrics.refreshesInFlight.inc(change),
  });
}
