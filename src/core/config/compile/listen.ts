import type { Path } from '../problem.ts';
import { blocksOf } from '../schema/leaves.ts';
import { isAtOrBelow } from '../schema/web.ts';
import type { Config, Paths } from '../types.ts';
import type { CompileContext, Reporter } from './context.ts';

/** Compile the listeners; two of them cannot share an address and port. */
export function compileListen({ settings }: CompileContext): Config['listen'] | undefined {
  const { listen } = settings.sections;
  if (listen === undefined) return undefined;
  const named = [
    ['public', listen.public],
    ['verify', listen.verify],
    ['admin', listen.admin],
  ] as const;
  for (const [index, [name, own]] of named.entries()) {
    const other = named.slice(0, index).find(([, earlier]) => own && earlier && collides(own, earlier));
    if (other === undefined) continue;
    settings.fail(
      ['listen', name, 'port'],
      `the port of listen.${other[0]} again`,
      'a port of its own',
      'change one of the two',
    );
  }
  const { verify } = listen;
  if (verify?.trusted_peers === 'all') {
    settings.warn(
      ['listen', 'verify', 'trusted_peers'],
      'whoever reaches this port is believed; let only the gateway reach it',
    );
  }
  return {
    public: { address: listen.public.address, port: listen.public.port },
    verify: verify && { address: verify.address, port: verify.port, trustedPeers: verify.trusted_peers },
    admin: listen.admin && { address: listen.admin.address, port: listen.admin.port },
  };
}

type Endpoint = { readonly address: string; readonly port: number };

function collides(a: Endpoint, b: Endpoint): boolean {
  const wide = (address: string): boolean => address === '0.0.0.0' || address === '::';
  return a.port !== 0 && a.port === b.port && (a.address === b.address || wide(a.address) || wide(b.address));
}

/** Compile our own addresses; none may lie inside another. */
export function compilePaths({ settings }: CompileContext): Paths | undefined {
  const { paths } = settings.sections;
  if (paths === undefined) return undefined;
  const all: { path: Path; value: string }[] = [
    { path: ['paths', 'auth'], value: paths.auth },
    { path: ['paths', 'api_auth'], value: paths.api_auth },
    { path: ['paths', 'telemetry'], value: paths.telemetry },
    ...paths.verify.map((value, index) => ({ path: ['paths', 'verify', index], value })),
    ...paths.health.map((value, index) => ({ path: ['paths', 'health', index], value })),
  ];
  for (const [index, own] of all.entries()) {
    const other = all
      .slice(0, index)
      .find(({ value }) => isAtOrBelow(own.value, value) || isAtOrBelow(value, own.value));
    if (other !== undefined)
      settings.fail(
        own.path,
        `{value} overlaps with ${other.value}`,
        'paths apart from each other',
        'change one of the two',
      );
    if (own.value === '/readyz')
      settings.fail(own.path, '{value} is the readiness address', 'another path', 'change it');
  }
  return {
    auth: paths.auth,
    apiAuth: paths.api_auth,
    telemetry: paths.telemetry,
    verify: paths.verify,
    health: paths.health,
  };
}

/** Expand and canonicalise address blocks; a block of all addresses is a warning. */
export function compileAddresses(reporter: Reporter, path: Path, values: readonly string[]): readonly string[] {
  const blocks = values.flatMap((value) => blocksOf(value) ?? []);
  if (blocks.some((block) => block.bits === 0))
    reporter.warn(path, 'holds every address there is: anybody can forge forwarded headers');
  return [...new Set(blocks.map((block) => block.text))];
}
