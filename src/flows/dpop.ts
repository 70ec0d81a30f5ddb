import type { Clock } from '../core/clock.ts';
import type { DpopKey } from '../core/dpop-key.ts';
import type { DpopNonces } from '../core/dpop-nonces.ts';
import type { OutboundFetch } from '../core/outbound.ts';

/** What a fetch with proofs is made of. */
export type ProofOptions = {
  readonly fetch: OutboundFetch;
  readonly clock: Clock;
  readonly nonces: DpopNonces;
  readonly key: DpopKey;
  /** Goes along as `Authorization: DPoP`, and into the proof. */
  readonly accessToken?: string;
};

/** A fetch whose requests carry a fresh proof each, with the server's last nonce. */
export function createProvingFetch({ fetch, clock, nonces, key, accessToken }: ProofOptions): OutboundFetch {
  return async (url, init = {}) => {
    const subject = { method: init.method ?? 'GET', url, accessToken, nonce: nonces.find(url), now: clock.now() };
    const headers: Record<string, string> = { ...init.headers, dpop: key.proof(subject) };
    if (accessToken !== undefined) headers['authorization'] = `DPoP ${accessToken}`;
    const response = await fetch(url, { ...init, headers });
    nonces.remember(url, response.headers.get('dpop-nonce'));
    return response;
  };
}

/**
 * Send, and once more if the server wants its nonce in the proof (RFC 9449 §8, §9). A server that asks again is
 * answered by nobody: the second answer stands.
 * @param send makes the whole request anew, so that nothing in it that may be used once is used twice.
 */
export async function withNonce(send: () => Promise<Response>): Promise<Response> {
  const response = await send();
  return (await asksForNonce(response)) ? send() : response;
}

async function asksForNonce(response: Response): Promise<boolean> {
  if ((response.status !== 400 && response.status !== 401) || response.headers.get('dpop-nonce') === null) return false;
  if (/error="?use_dpop_nonce\b/i.test(response.headers.get('www-authenticate') ?? '')) return true;
  try {
    const { error } = (await response.clone().json()) as { error?: unknown };
    return error === 'use_dpop_nonce';
  } catch {
    // No JSON: whoever reads the answer says so.
    return false;
  }
}
