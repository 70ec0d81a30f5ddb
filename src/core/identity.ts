import type { IdentityHeader, PrincipalField } from './config/types.ts';
import { HeaderList } from './header-list.ts';
import { LIMITS } from './limits.ts';
import type { Principal, SessionHot } from './session.ts';

/** What the identity headers are built from. */
export type IdentitySource = { readonly hot: SessionHot; readonly publicId: string };

/** Builds the headers of an allow answer. */
export type IdentityHeaders = {
  /** Every configured name with an empty value (D-04): for public routes and preflights. */
  readonly blank: HeaderList;
  /** The names alone, in lower case. */
  readonly names: readonly string[];
  /** The headers of a session; built once for each decoded session, not for each request. */
  build(source: IdentitySource): HeaderList;
  /** The same list with another bearer token wherever it holds the session's; empty = none. */
  withToken(headers: HeaderList, token: string): HeaderList;
};

const NOT_VISIBLE = /[^\x20-\x7e]/;
/** A search of the native engine looks at 800 characters in 1 µs; a loop takes three times as long, and more if they are in pieces. */
const CONTROL = /[\x00-\x1f\x7f]/;

type ValueOf = (source: IdentitySource) => string;

/**
 * Compile the configured identity headers (SPEC §6, D-04, D-05).
 * @param onOversize called at most once, with the size in bytes, when a session's headers exceed 4 KiB.
 * @param onControl called with the header's name when a value held control characters and was made empty.
 */
export function compileIdentityHeaders(
  headers: readonly IdentityHeader[],
  events: { onOversize(bytes: number): void; onControl(name: string): void },
): IdentityHeaders {
  const compiled = headers.map((header) => ({ name: header.name, readValue: compileValue(header.source) }));
  const tokens = headers.flatMap(({ source }, at) =>
    source.kind === 'token' ? [{ at: 2 * at + 1, raw: source.raw }] : [],
  );
  let warned = false;
  const blank = new HeaderList(compiled.flatMap(({ name }) => [name, '']));
  const hasKnownNames = blank.unwritable === -1;
  return {
    blank,
    names: compiled.map(({ name }) => name.toLowerCase()),
    build(source) {
      const list: string[] = [];
      let isKnownWritable = hasKnownNames;
      let bytes = 0;
      for (const { name, readValue } of compiled) {
        let value = readValue(source);
        if (NOT_VISIBLE.test(value)) {
          if (CONTROL.test(value)) {
            events.onControl(name);
            value = '';
          } else {
            isKnownWritable = false;
          }
        }
        list.push(name, value);
        bytes += name.length + value.length + 4;
      }
      if (bytes > LIMITS.identityHeadersWarnBytes && !warned) {
        warned = true;
        events.onOversize(bytes);
      }
      return new HeaderList(list, isKnownWritable);
    },
    withToken(list, token) {
      if (tokens.length === 0) return list;
      const copy = [...list.pairs];
      for (const { at, raw } of tokens) copy[at] = raw || token === '' ? token : `Bearer ${token}`;
      return new HeaderList(copy);
    },
  };
}

/** Percent-encode what is not visible ASCII or an inner space; control characters are kept for the caller to see. */
export function encodeHeaderValue(text: string): string {
  if (isPlain(text)) return text;
  return text.replace(/^ | $|[^\x00-\x7f]+/gu, (part) => encodeURIComponent(part.toWellFormed()));
}

/** As `encodeHeaderValue`, and `%` and `,` too, so that a joined list can be taken apart again (D-05). */
export function encodeListItem(text: string): string {
  if (!text.includes('%') && !text.includes(',')) return encodeHeaderValue(text);
  return encodeHeaderValue(text.replaceAll('%', '%25').replaceAll(',', '%2C'));
}

/** Nothing of it is encoded: most values are such, and looking costs a tenth of a replacement that finds nothing. */
function isPlain(text: string): boolean {
  return !NOT_VISIBLE.test(text) && !text.startsWith(' ') && !text.endsWith(' ');
}

/** The value at a JSON Pointer (RFC 6901), or undefined. Own members only. */
export function valueAtPointer(document: unknown, pointer: string): unknown {
  return valueAtPath(document, pathOfPointer(pointer));
}

function pathOfPointer(pointer: string): readonly string[] {
  if (pointer === '') return [];
  const tokens = pointer.slice(1).split('/');
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function valueAtPath(document: unknown, path: readonly string[]): unknown {
  let value = document;
  for (const name of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, name)) return undefined;
    // RFC 6901 §4 knows indexes of an array and nothing else of it: `length` is no claim.
    if (Array.isArray(value) && name === 'length') return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

function compileValue(source: IdentityHeader['source']): ValueOf {
  switch (source.kind) {
    case 'token':
      return ({ hot }) => tokenValue(hot, source.raw);
    case 'principal':
      return ({ hot }) => textOf(principalField(hot.principal, source.field), source.list);
    case 'claim': {
      const path = pathOfPointer(source.pointer);
      return ({ hot }) => textOf(valueAtPath(hot.principal.claims, path), source.list);
    }
    case 'session':
      return (session) => sessionField(session, source.field);
  }
}

/** A DPoP-bound token is worth nothing as Bearer and is never sent as one (D-36, R-089). */
function tokenValue(hot: SessionHot, raw: boolean): string {
  if (hot.accessToken === '' || hot.tokenType.toLowerCase() !== 'bearer') return '';
  return raw ? hot.accessToken : `Bearer ${hot.accessToken}`;
}

function principalField(principal: Principal, field: PrincipalField): unknown {
  switch (field) {
    case 'user_id':
      return principal.userId;
    case 'username':
      return principal.username;
    case 'email':
      return principal.email;
    case 'email_verified':
      return principal.emailVerified;
    case 'name':
      return principal.name;
    case 'roles':
      return principal.roles;
    case 'groups':
      return principal.groups;
    case 'issuer':
      return principal.issuer;
  }
}

function sessionField(source: IdentitySource, field: 'public_id' | 'idp' | 'acr' | 'auth_time'): string {
  switch (field) {
    case 'public_id':
      return source.publicId;
    case 'idp':
      return encodeHeaderValue(source.hot.idp);
    case 'acr':
      return encodeHeaderValue(source.hot.acr ?? '');
    case 'auth_time':
      return source.hot.authTime === undefined ? '' : String(Math.floor(source.hot.authTime / 1000));
  }
}

function textOf(value: unknown, list: 'first' | { readonly join: string }): string {
  if (Array.isArray(value)) {
    const items = value
      .filter(isScalar)
      .map(String)
      .filter((item) => item !== '');
    return list === 'first' ? encodeListItem(items[0] ?? '') : items.map(encodeListItem).join(list.join);
  }
  return isScalar(value) ? encodeHeaderValue(String(value)) : '';
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
