// hot: bench/bearer.ts
import { tailOf } from './bearer-cache.ts';
import type { BearerResult } from './services.ts';

/** Validations under way. */
export type BearerFlights = {
  readonly count: number;
  /** That of this very token. */
  find(token: string): Promise<BearerResult> | undefined;
  /** One has begun; what is returned is for all who bring the token until it ends. */
  begin(token: string, validation: Promise<BearerResult>): Promise<BearerResult>;
};

type Flight = { readonly token: string; readonly result: Promise<BearerResult> };

/** Create the list of validations under way. Of two tokens with one end the later can be found; both count. */
export function createFlights(): BearerFlights {
  const flights = new Map<string, Flight>();
  let count = 0;
  return {
    get count() {
      return count;
    },
    find(token) {
      const flight = flights.get(tailOf(token));
      return flight !== undefined && flight.token === token ? flight.result : undefined;
    },
    begin(token, validation) {
      const tail = tailOf(token);
      count += 1;
      const result = validation.finally(() => {
        count -= 1;
        if (flights.get(tail)?.result === result) flights.delete(tail);
      });
      flights.set(tail, { token, result });
      return result;
    },
  };
}
