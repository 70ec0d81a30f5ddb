import { clientIpOf } from '../core/app-log.ts';
import { type HeaderList, isFieldValue } from '../core/header-list.ts';
import type { CompiledRoute } from '../core/routes.ts';
import type { ServiceToken, Session } from '../core/services.ts';
import type { TokenCookies } from '../core/token-cookies.ts';
import type { VerifyServices } from '../core/verify.ts';
import type { Asked, Verdict } from './authorize.ts';
import type { OwnHeaders } from './request-headers.ts';

/** What we tell a service about a request. @throws TypeError for identities and tokens that no header can hold */
export type OwnHeadersMaker = (asked: Asked, verdict: Extract<Verdict, { kind: 'pass' }>) => OwnHeaders;

/** What is remembered of sessions and tokens for as long as they are. */
type Memory = {
  /** Identity headers that hold the access token, in lower case. */
  readonly tokenHeaders: ReadonlySet<string>;
  /** Other headers than Authorization hold it as well. */
  readonly copiesToken: boolean;
  /** Tokens that a header can hold. */
  readonly writable: WeakSet<ServiceToken>;
  /** Identity headers for services, by those of the session. */
  readonly identity: Readonly<Record<'withToken' | 'withoutToken', WeakMap<HeaderList, readonly string[]>>>;
};

const NO_HEADERS: readonly string[] = [];

/** Compile who asks, from where, with which token. */
export function compileOwnHeaders(
  services: Pick<VerifyServices, 'config' | 'trusted'> & { readonly tokenCookies: TokenCookies | undefined },
): OwnHeadersMaker {
  const tokenHeaders = services.config.identityHeaders
    .filter(({ source }) => source.kind === 'token')
    .map(({ name }) => name.toLowerCase());
  const memory: Memory = {
    tokenHeaders: new Set(['authorization', ...tokenHeaders]),
    copiesToken: tokenHeaders.some((name) => name !== 'authorization'),
    writable: new WeakSet(),
    identity: { withToken: new WeakMap(), withoutToken: new WeakMap() },
  };
  const tokenCookie = services.tokenCookies?.name ?? '';
  return ({ context, site, host, route }, { session, token }) => ({
    clientIp: clientIpOf(services, context),
    host,
    scheme: site.scheme,
    requestId: context.requestId,
    identity: identityOf(memory, route, session, token),
    authorization: token === undefined ? '' : authorizationOf(memory, token),
    tokenCookie: token?.proofs === undefined ? tokenCookie : '',
  });
}

/** A token is looked at once for as long as it is remembered. */
function authorizationOf({ writable }: Memory, token: ServiceToken): string {
  const { authorization } = token;
  if (writable.has(token)) return authorization;
  if (!isFieldValue(authorization)) throw new TypeError('a token cannot be written');
  writable.add(token);
  return authorization;
}

/** The list of a session is made once for as long as it is remembered. */
function identityOf(
  memory: Memory,
  route: CompiledRoute,
  session: Session | undefined,
  token: ServiceToken | undefined,
): readonly string[] {
  if (session === undefined || !route.route.identityHeaders) return NO_HEADERS;
  const usesToken = token !== undefined && token.authorization !== '';
  const headers = usesToken && memory.copiesToken ? token.headersWith(session.headers) : session.headers;
  const known = memory.identity[usesToken ? 'withToken' : 'withoutToken'];
  let list = known.get(headers);
  if (list === undefined) {
    list = selectIdentity(memory, headers, usesToken);
    known.set(headers, list);
  }
  return list;
}

/** Authorization is written once, last; other copies of the token go only where the token itself goes. */
function selectIdentity(memory: Memory, { pairs, unwritable }: HeaderList, usesToken: boolean): readonly string[] {
  if (unwritable !== -1) throw new TypeError(`identity header ${pairs[unwritable]} cannot be written`);
  const list: string[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    const name = (pairs[i] as string).toLowerCase();
    const isToken = memory.tokenHeaders.has(name);
    if (name === 'authorization' || (isToken && !usesToken)) continue;
    list.push(name, pairs[i + 1] as string);
  }
  return list;
}
