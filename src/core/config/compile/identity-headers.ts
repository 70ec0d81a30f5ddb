import { foldName } from '../../folded-names.ts';
import type { IdentityHeader } from '../types.ts';
import type { CompileContext } from './context.ts';

type Input = NonNullable<CompileContext['settings']['sections']['identity_headers']>[string];

/** Names that steer the connection, the message or the browser; an identity has no place there. */
const RESERVED = new Set(
  `connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade
  content-length content-type content-encoding content-range content-location host expect date cookie set-cookie
  location www-authenticate vary cache-control etag last-modified expires age via forwarded x-forwarded-for
  x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-method x-forwarded-uri x-forwarded-server x-real-ip
  x-original-url x-original-method x-request-id x-sallyport-secret origin referer range if-match if-none-match
  if-modified-since if-range if-unmodified-since retry-after strict-transport-security content-security-policy`.split(
    /\s+/,
  ),
);
const HEADERS_MAX = 64;

/** Compile the headers of the allow answer, in the order of the file. */
export function compileIdentityHeaders({ settings }: CompileContext): readonly IdentityHeader[] {
  const folded = new Map<string, string>();
  const inputs = Object.entries(settings.sections.identity_headers ?? {});
  if (inputs.length > HEADERS_MAX)
    settings.fail(['identity_headers'], 'too many headers', `at most ${HEADERS_MAX}`, 'remove some');
  return inputs.map(([name, input]) => {
    const path = ['identity_headers', name];
    const key = foldName(name);
    const other = folded.get(key);
    folded.set(key, name);
    if (RESERVED.has(key) || key.startsWith('access-control-') || key.startsWith('sec-')) {
      settings.fail(path, 'the header has a meaning of its own', 'a name such as X-User-Id', 'choose another name');
    } else if (other !== undefined) {
      settings.fail(
        path,
        `clashes with ${other}: many servers read both as one`,
        'names that differ in letters or digits',
        'rename one',
      );
    }
    return { name, source: compileSource(settings, path, key, input) };
  });
}

function compileSource(
  settings: CompileContext['settings'],
  path: string[],
  key: string,
  input: Input,
): IdentityHeader['source'] {
  const given = (['token', 'principal', 'session', 'claim'] as const).filter((kind) => input[kind] !== undefined);
  if (given.length !== 1) {
    const problem = given.length === 0 ? 'says no source' : `says ${given.join(' and ')}`;
    settings.fail(
      path,
      problem,
      'exactly one of token, principal, session, claim',
      given.length === 0 ? 'add one' : 'remove the others',
    );
  }
  const isList = input.claim !== undefined || input.principal === 'roles' || input.principal === 'groups';
  if (input.pick !== undefined && input.join !== undefined) {
    settings.fail([...path, 'join'], 'join and pick', 'one of the two', 'remove one');
  } else if ((input.pick !== undefined || input.join !== undefined) && !isList) {
    settings.fail(path, 'pick or join without a list', 'them beside claim, roles or groups', 'remove them');
  }
  if (input.raw !== undefined && input.token === undefined)
    settings.fail([...path, 'raw'], 'raw without token', 'it beside token', 'remove it');
  if (key === 'authorization' && (input.token === undefined || input.raw === true)) {
    settings.fail(
      path,
      'Authorization holds something else than a bearer token',
      '{token: matched}',
      'use another header',
    );
  }
  const list = isList && input.pick === undefined ? { join: input.join ?? ',' } : 'first';
  if (input.principal !== undefined) return { kind: 'principal', field: input.principal, list };
  if (input.claim !== undefined) return { kind: 'claim', pointer: input.claim, list };
  if (input.session !== undefined) return { kind: 'session', field: input.session };
  return { kind: 'token', raw: input.raw === true };
}
