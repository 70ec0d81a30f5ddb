import type { Audit } from '../core/audit.ts';
import { isSallyportError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Session } from '../core/services.ts';
import type { FlightEvents } from './refresh-flight.ts';

/**
 * Tell about refreshes: each in a metric, ended sessions in the audit, and a provider that stops or begins to answer in
 * one line, however many sessions find out.
 */
export function createFlightEvents(services: {
  readonly metrics: Metrics;
  readonly audit: Audit;
  readonly log: Logger;
}): FlightEvents {
  const { metrics, audit, log } = services;
  const failing = new Set<string>();
  const count = ({ hot: { idp } }: Session, outcome: string): void => metrics.refreshes.inc({ idp, outcome });
  const answered = ({ hot: { idp } }: Session): void => {
    if (failing.delete(idp)) log.info({ idp }, 'token refresh works again');
  };
  return {
    renewed(session) {
      count(session, 'renewed');
      answered(session);
    },
    kept(session, error) {
      const { idp } = session.hot;
      count(session, isSallyportError(error) ? `kept_${error.code}` : 'kept_error');
      log.debug({ err: error, idp, session: session.publicId }, 'a token could not be refreshed');
      if (failing.has(idp)) return;
      failing.add(idp);
      log.warn({ err: error, idp }, 'token refresh fails; sessions stay, old tokens are used until they expire');
    },
    ended(session, cause, reason) {
      count(session, 'ended');
      audit(cause === 'denied' ? 'refresh_denied' : 'refresh_failed', { ...namesOf(session), reason });
      answered(session);
    },
    superseded(session) {
      count(session, 'superseded');
      audit('refresh_superseded', namesOf(session));
    },
  };
}

function namesOf({ publicId, hot }: Session) {
  const { issuer, subject } = hot.principal;
  return { site: hot.site, idp: hot.idp, issuer, subject, session: publicId };
}
