import type { HealthSettings } from '../core/config/types-service.ts';

/**
 * Passive health of one address, a circuit breaker of three states (SPEC §8): requests pass; after too many failures in
 * a row none does; when the pause is over a single one tries the address again and decides.
 */
export class TargetHealth {
  readonly #rules: HealthSettings;
  #failures = 0;
  /** End of the pause, ms since the epoch; 0 = requests pass. */
  #ejectedUntil = 0;
  #isProbed = false;

  constructor(rules: HealthSettings) {
    this.#rules = rules;
  }

  /** Whether one more request may be sent. */
  admits(now: number): boolean {
    return this.#ejectedUntil === 0 || (now >= this.#ejectedUntil && !this.#isProbed);
  }

  /** How long no request may be sent, in ms, if nothing is heard of the one that tries; at least 1. */
  pauseMs(now: number): number {
    return Math.max(1, this.#ejectedUntil - now);
  }

  /** A request is sent. @returns true if it is the one that tries: it must end with `probeEnded`. */
  start(now: number): boolean {
    if (this.#ejectedUntil === 0 || now < this.#ejectedUntil || this.#isProbed) return false;
    this.#isProbed = true;
    return true;
  }

  /** The request that tried has ended, whether or not it told anything. */
  probeEnded(): void {
    this.#isProbed = false;
  }

  /** The address answered. */
  succeeded(): void {
    this.#failures = 0;
    this.#ejectedUntil = 0;
    // The one that tried may be a stream without an end.
    this.#isProbed = false;
  }

  /** The address could not be reached, was lost before its answer, or answered what nobody can use. */
  failed(now: number): void {
    this.#failures += 1;
    this.#isProbed = false;
    if (this.#failures >= this.#rules.failures || this.#ejectedUntil !== 0) {
      this.#ejectedUntil = now + this.#rules.ejectMs;
    }
  }
}
