import { fileName, name, plain } from './leaves.ts';
import { choice, duration, flag, integer, named, secret, section, text } from './scalars.ts';
import { version } from './version.ts';

const point = section('One decision point', {
  url: plain('Base URL; /access/v1/evaluation and /access/v1/evaluations lie below it', 'a URL'),
  timeout: duration('Deadline', '1ms', '1m').default('250ms'),
  bearer_token: secret('Sent to the decision point').optional(),
  on_error: choice('No answer: refuse, or let pass', ['deny', 'fail_open']).default('deny'),
  breaker: section('Circuit breaker', {
    failures: integer('Failures in a row', 1, 1000).default(5),
    open: duration('Pause after them', '100ms', '1h').default('5s'),
  }).prefault({}),
  tls: section('TLS of https', {
    ca_file: fileName('Certificates of the CA, PEM').optional(),
    cert_file: fileName('Client certificate, PEM').optional(),
    key_file: fileName('Its private key, PEM').optional(),
    server_name: plain('Name the certificate must have').optional(),
  }).prefault({}),
});

const fields = named('Name → field of the request', text('Field such as principal.roles'), /^[A-Za-z_][\w.-]{0,63}$/);

const policy = section('One policy', {
  point: name('Decision point'),
  subject: section('Subject', { type: plain('Its type'), id: plain('Field of its id'), properties: fields.optional() }),
  action: section('Action', { name: plain('Fixed name').optional(), by_method: fields.optional() }),
  resource: section('Resource', {
    type: plain('Its type'),
    id: plain('Field of its id'),
    properties: fields.optional(),
  }),
  context: fields.optional(),
  cache: section('Cache of decisions', {
    ttl: duration('Life of a decision', '0s', '5m').default('0s'),
    entries: integer('Decisions kept', 0, 10_000_000).default(0),
  }).prefault({}),
  show_reason: flag('The reason of a refusal may be shown').default(false),
});

/** pdp.yaml: external decisions, OpenID AuthZEN. */
export const pdpSchema = section('External decisions', {
  version,
  points: named('Decision points', point).default({}),
  policies: named('Policies that routes name', policy).default({}),
});
