import { isDeepStrictEqual } from 'node:util';
import type { Config } from './core/config/types.ts';
import type { Listen } from './core/config/types-listen.ts';

/**
 * A new version of the configuration for listeners that are bound already: addresses, ports, processes and the size of
 * header blocks stay as they are, everything else is the new version's (D-43).
 */
export function pinListeners(running: Config, next: Config): Config {
  const { verify, verifyH2 } = next.listen;
  const { listen } = running;
  return {
    ...next,
    workers: running.workers,
    scheduling: running.scheduling,
    limits: { ...next.limits, headerBytes: running.limits.headerBytes },
    listen: {
      public: listen.public,
      verify: listen.verify && { ...listen.verify, ...(verify && { trustedPeers: verify.trustedPeers }) },
      verifyH2: listen.verifyH2 && {
        ...listen.verifyH2,
        ...(verifyH2 && { trustedPeers: verifyH2.trustedPeers, tls: verifyH2.tls }),
      },
      admin: listen.admin,
    },
  };
}

/** Keys whose new values wait for a restart. @param before the version that listeners were bound with, as loaded. */
export function findRestartKeys(before: Config, next: Config): string[] {
  const endpoint = (at: Listen | undefined) => at && { address: at.address, port: at.port };
  const pairs: [key: string, before: unknown, next: unknown][] = [
    ['listen.public', endpoint(before.listen.public), endpoint(next.listen.public)],
    ['listen.verify', endpoint(before.listen.verify), endpoint(next.listen.verify)],
    ['listen.verify_h2', endpoint(before.listen.verifyH2), endpoint(next.listen.verifyH2)],
    ['listen.admin', endpoint(before.listen.admin), endpoint(next.listen.admin)],
    ['workers', before.workers, next.workers],
    ['scheduling', before.scheduling, next.scheduling],
    ['limits.header_bytes', before.limits.headerBytes, next.limits.headerBytes],
  ];
  return pairs.filter(([, a, b]) => !isDeepStrictEqual(a, b)).map(([key]) => key);
}
