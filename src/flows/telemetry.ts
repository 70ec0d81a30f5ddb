import { addressGroup } from '../core/address.ts';
import type { TelemetrySettings } from '../core/config/types-telemetry.ts';
import { SallyportError } from '../core/errors.ts';
import { originProblem } from '../core/origin.ts';
import type { Reply } from '../core/problem.ts';
import { type RateLimiter, spend } from '../core/rate-limit.ts';
import type { FlowRequest, FlowServices } from './flow.ts';
import { readSamples } from './telemetry-sample.ts';

/** JSON, or what `navigator.sendBeacon` makes of a text. */
const CONTENT_TYPE = /^(?:application\/json|text\/plain)\s*(?:;|$)/i;

/**
 * `POST /api/v1/metrics` (SPEC §13, R-126, R-128): numbers of the front end, with or without a session, which is never
 * looked at. 204 and nothing else; nothing of a request is logged, stored or sent on but the numbers and their labels.
 * @throws origin_not_allowed, rate_limited, bad_request.
 */
export async function takeTelemetry(
  request: FlowRequest,
  services: FlowServices,
  { settings, limiter }: { readonly settings: TelemetrySettings; readonly limiter: RateLimiter },
): Promise<Reply> {
  const { context, site, body, clientIp } = request;
  // Browsers say where a POST comes from; what says nothing is no page of somebody else's.
  const problem = originProblem(context, site, 'allow');
  if (problem !== undefined) throw new SallyportError('origin_not_allowed', { detail: `telemetry ${problem}` });
  await spend(limiter, `address ${addressGroup(clientIp)}`, 'telemetry');
  if (body !== '' && !CONTENT_TYPE.test(context.contentType)) {
    const publicDetail = 'The body must be application/json or text/plain.';
    throw new SallyportError('bad_request', { detail: 'telemetry: content type', publicDetail });
  }
  for (const sample of readSamples(body, settings.names)) {
    services.metrics.telemetry.record(sample, settings.labelValuesMax);
  }
  return services.replies.empty(context, site);
}
