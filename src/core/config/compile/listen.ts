import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isAtOrBelow } from '../../path.ts';
import type { Path } from '../problem.ts';
import { blocksOf } from '../schema/leaves.ts';

import type { Config, Paths } from '../types.ts';
import type { Http2Listen } from '../types-listen.ts';
import { type CompileContext, compileTls, type Reporter } from './context.ts';

/** Compile the listeners; two of them cannot share an address and port. */
export function compileListen(context: CompileContext): Config['listen'] | undefined {
  const { settings } = context;
  const { listen } = settings.sections;
  if (listen === undefined) return undefined;
  const named = [
    ['public', listen.public],
    ['verify', listen.verify],
    ['verify_h2', listen.verify_h2],
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
  const { verify, verify_h2 } = listen;
  for (const [name, own] of [
    ['verify', verify],
    ['verify_h2', verify_h2],
  ] as const) {
    if (own?.trusted_peers !== 'all') continue;
    settings.warn(
      ['listen', name, 'trusted_peers'],
      'whoever reaches this port is believed; let only the gateway reach it',
    );
  }
  return {
    public: { address: listen.public.address, port: listen.public.port },
    verify: verify && { address: verify.address, port: verify.port, trustedPeers: verify.trusted_peers },
    verifyH2: verify_h2 && compileHttp2(context, verify_h2),
    admin: listen.admin && { address: listen.admin.address, port: listen.admin.port },
  };
}

type Http2Section = NonNullable<NonNullable<CompileContext['settings']['sections']['listen']>['verify_h2']>;

function compileHttp2(context: CompileContext, section: Http2Section): Http2Listen {
  const { address, port, trusted_peers: trustedPeers } = section;
  const path = ['listen', 'verify_h2', 'tls'];
  const { cert = '', key = '' } = compileTls(context, context.settings, path, section.tls);
  const isRead = cert !== '' && key !== '';
  if (isRead && !isPair(cert, key))
    context.settings.fail(
      [...path, 'key_file'],
      '{value} is not the key of the certificate',
      'a certificate chain and its private key, both PEM and not encrypted',
      'name the files that belong together',
    );
  return { address, port, trustedPeers, tls: { cert, key } };
}

function isPair(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    // Neither parses as what it should be.
    return false;
  }
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
