import type { RefreshSettings } from '../core/config/types-refresh.ts';
import { LIMITS } from '../core/limits.ts';

/**
 * From when on a token is renewed, ms since the epoch: the lead before its end, longer by the session's share of the
 * jitter, at most half of the token's life; never right after it came.
 * @param locator of the session; the same share in every process.
 */
export function renewalTime(
  { leadMs, jitterMs }: RefreshSettings,
  locator: string,
  issuedAt: number,
  expiresAt: number,
): number {
  const ownLeadMs = Math.min(leadMs + jitterMs * shareOf(locator), (expiresAt - issuedAt) / 2);
  return Math.max(expiresAt - ownLeadMs, issuedAt + LIMITS.refreshIntervalMinMs);
}

/** From 0 to 1: locators are hashes. */
function shareOf(locator: string): number {
  return ((locator.charCodeAt(0) * 64 + locator.charCodeAt(1)) % 97) / 96;
}
