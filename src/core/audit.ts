import type { Logger } from './log.ts';

/** Changes of state that somebody may have to account for later (SPEC §16); never sampled (D-10). */
export type AuditEvent =
  | 'login'
  | 'login_failed'
  | 'logout'
  | 'logout_everywhere'
  | 'logout_backchannel'
  | 'logout_frontchannel'
  | 'session_revoked'
  | 'session_ended_by_tombstone'
  | 'session_binding_mismatch'
  | 'refresh_failed'
  | 'refresh_denied'
  | 'refresh_superseded'
  | 'csrf_refused'
  | 'identity_value_dropped'
  | 'write_not_replicated';

/** What an audit line may say: public names only, no token, handle, code or secret. */
export type AuditFields = {
  readonly request_id?: string;
  readonly site?: string;
  readonly idp?: string;
  readonly issuer?: string;
  readonly subject?: string;
  /** Public session id. */
  readonly session?: string;
  readonly client_ip?: string;
  readonly reason?: string;
  readonly count?: number;
};

/** Writes one line per event. */
export type Audit = (event: AuditEvent, fields: AuditFields) => void;

/** Audit events go to the log, marked `audit: true`, at level info. */
export function createAudit(log: Logger): Audit {
  return (event, fields) => {
    log.info({ audit: true, event, ...fields }, event);
  };
}
