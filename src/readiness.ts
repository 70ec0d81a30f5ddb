import type { SessionStore } from './core/store.ts';
import type { IdpRuntime } from './flows/idp.ts';

/** Answers /readyz (D-43). */
export type Readiness = {
  /** Shutdown has begun: not ready any more. */
  drain(): void;
  read(): { readonly ready: boolean; readonly body: object };
};

/** Ready once store and metadata were reached; later outages show in the body and stay ready (D-43). */
export function createReadiness(store: SessionStore, idps: readonly IdpRuntime[]): Readiness {
  let isDraining = false;
  return {
    drain() {
      isDraining = true;
    },
    read() {
      const { reachable, reachedOnce } = store.status();
      const isReached = reachedOnce && idps.every((idp) => idp.isReady());
      const providers = Object.fromEntries(idps.map((runtime) => [runtime.idp.name, describe(runtime)]));
      const status = isDraining ? 'draining' : isReached ? 'ready' : 'starting';
      return { ready: !isDraining && isReached, body: { status, store: reachable ? 'ok' : 'unreachable', providers } };
    },
  };
}

function describe({ isReady, isReachable }: IdpRuntime): string {
  if (!isReady()) return 'no metadata yet';
  return isReachable() ? 'ok' : 'unreachable';
}
