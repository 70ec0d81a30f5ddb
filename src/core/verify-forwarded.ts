// hot: bench/verify.ts
import type { Paths } from './config/types.ts';

/** The scheme of a forwarded protocol; `wss` and `ws` are what Traefik says of upgrades. */
export function schemeOf(proto: string): 'https' | 'http' | undefined {
  if (proto === 'https' || proto === 'wss') return 'https';
  if (proto === 'http' || proto === 'ws') return 'http';
  return undefined;
}

/** RFC 9110 methods are case-sensitive; ours are upper case letters, at most 20 of them, and never CONNECT or TRACE. */
export function isMethodToken(method: string): boolean {
  if (method.length === 0 || method.length > 20 || method === 'CONNECT' || method === 'TRACE') return false;
  for (let i = 0; i < method.length; i++) {
    const code = method.charCodeAt(i);
    if (code < 0x41 || code > 0x5a) return false;
  }
  return true;
}

/** True for a canonical path of our own endpoints: verify on a shared listener must not speak for them (D-01). */
export function isOwnPath(path: string, paths: Paths): boolean {
  return isBelow(path, paths.auth) || isBelow(path, paths.apiAuth);
}

function isBelow(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f);
}
