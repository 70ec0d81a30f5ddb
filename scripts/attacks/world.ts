import { type EchoService, startEcho } from './echo.ts';
import { type Instance, type InstanceSpec, ISSUER, SECOND_ISSUER, startInstance } from './instance.ts';
import { createPeerTable, type PeerTable, playedTrust, WORLD_TRUSTED } from './peers.ts';
import { type ScriptedProvider, startProvider, type User } from './provider.ts';

/** Users of the test world; which one a session belongs to tells which handle was accepted. */
export const USERS = {
  first: { sub: 'u1', username: 'ann', email: 'ann@example.test', roles: ['user', 'editor'] },
  second: { sub: 'u2', username: 'ben', email: 'ben@example.test', roles: ['user'] },
  third: { sub: 'u3', username: 'cal', email: 'cal@example.test', roles: ['user'] },
  admin: { sub: 'u4', username: 'dee', email: 'dee@example.test', roles: ['user', 'admin'] },
} as const satisfies Record<string, User>;

/** The fixed test world of SECURITY section 0: provider, service, peers, and server instances by configuration. */
export type World = {
  readonly provider: ScriptedProvider;
  readonly secondProvider: ScriptedProvider;
  readonly echo: EchoService;
  readonly peers: PeerTable;
  /** The instance with this configuration; started at its first use, kept until `close`. */
  instance(spec?: Partial<InstanceSpec>): Promise<Instance>;
  /** An instance of the caller's own, which the caller closes. */
  ownInstance(spec?: Partial<InstanceSpec>): Promise<Instance>;
  /** A loopback address that nothing trusts, another one each time (rate limits count per address). */
  strangerAddress(instance: Instance): string;
  close(): Promise<void>;
};

/** Configuration of the plain test world: both sites, IPv4, the trusted list of section 0, the default cookie. */
export const DEFAULT_SPEC: InstanceSpec = {
  trustedProxies: playedTrust(WORLD_TRUSTED, 'v4', false),
  listener: 'v4',
  cookieName: 'bff_session',
  tenants: true,
  redisUrl: undefined,
};

/** Loopback address that plays the gateway 10.0.0.5. */
export const GATEWAY_ADDRESS = '127.0.0.5';

/** Start the parts of the test world. Instances start on demand. */
export async function createWorld(): Promise<World> {
  const [provider, secondProvider, echo] = await Promise.all([
    startProvider(ISSUER),
    startProvider(SECOND_ISSUER),
    startEcho(),
  ]);
  const parts = { idpUrl: provider.backchannelUrl, secondIdpUrl: secondProvider.backchannelUrl, echoUrl: echo.url };
  const instances = new Map<string, Promise<Instance>>();
  let strangers = 0;
  return {
    provider,
    secondProvider,
    echo,
    peers: createPeerTable(),
    instance(spec = {}) {
      const full = { ...DEFAULT_SPEC, ...spec };
      const key = JSON.stringify(full);
      const known = instances.get(key);
      if (known !== undefined) return known;
      const started = startInstance(full, parts);
      instances.set(key, started);
      return started;
    },
    ownInstance: (spec = {}) => startInstance({ ...DEFAULT_SPEC, ...spec }, parts),
    strangerAddress(instance) {
      strangers += 1;
      return instance.spec.listener === 'v6' ? '::1' : `127.3.${(strangers >> 8) & 255}.${strangers & 255 || 1}`;
    },
    async close() {
      const started = await Promise.allSettled(instances.values());
      await Promise.all(started.map((result) => (result.status === 'fulfilled' ? result.value.close() : undefined)));
      await Promise.all([provider.close(), secondProvider.close(), echo.close()]);
    },
  };
}
