import type * as z from 'zod';
import { isAcrValue } from '../../step-up.ts';
import { type AddressBlock, parseAddressBlock } from '../address-block.ts';
import { list, NAME, text } from './scalars.ts';
import {
  allowedOriginProblem,
  endpointProblem,
  hostProblem,
  isJsonPointer,
  isToken,
  originProblem,
  pathProblem,
} from './web.ts';

/** A name that refers to something named elsewhere. */
export function name(meaning: string): z.ZodString {
  const options = { expected: 'letters, digits, - and _, at most 64', fix: 'choose such a name' };
  return text(meaning, options, (value) => (NAME.test(value) ? undefined : '{value} is not a name'));
}

/** An origin, `https://host[:port]`; plain http only to loopback unless `anyHttp`. */
export function origin(meaning: string, anyHttp = false): z.ZodString {
  const expected = anyHttp
    ? 'an origin such as http://crud:8000'
    : 'an https origin such as https://app.example.com (http only on loopback)';
  const fix = 'write scheme, host and port only';
  return text(meaning, { expected, fix }, (value) => originProblem(value, !anyHttp));
}

/** An allowed foreign origin, exact or `https://*.sub.domain`. */
export function allowedOrigin(meaning: string): z.ZodString {
  const options = {
    expected: 'an origin such as https://spa.example.com or https://*.apps.example.com',
    fix: 'write scheme, host and port only; "*." stands for one label (http only on loopback)',
  };
  return text(meaning, options, allowedOriginProblem);
}

/** An absolute URL of a provider: https, or http on loopback. */
export function endpoint(meaning: string, query = true): z.ZodString {
  const options = { expected: 'an https URL (http only on loopback)', fix: 'write it as the provider publishes it' };
  return text(meaning, options, (value) => endpointProblem(value, query));
}

/** A host with optional port, or `*.x.y`. */
export function host(meaning: string): z.ZodString {
  const options = {
    expected: 'a host such as app.example.com, or *.example.com for exactly one label',
    fix: 'correct the host',
  };
  return text(meaning, options, hostProblem);
}

/** A path of our own: absolute, canonical, no trailing slash. */
export function ownPath(meaning: string, rootAllowed = false): z.ZodString {
  const options = { expected: 'a path such as /auth', fix: 'begin with one slash, end without' };
  return text(meaning, options, (value) => pathProblem(value, rootAllowed));
}

/** A target on our own host: path with optional query. */
export function localTarget(meaning: string): z.ZodString {
  const options = {
    expected: 'a path such as / or /app?tab=1',
    fix: 'begin with one slash, leave scheme and host out',
  };
  return text(meaning, options, (value) => {
    const [path = '', ...query] = value.split('?');
    const clean = /^[\x21-\x7e]*$/.test(value) && !/[#\\]/.test(value) && query.length < 2;
    const pathClean = pathProblem(path.length > 1 ? path.replace(/\/$/, '') : path, true) === undefined;
    return clean && pathClean ? undefined : '{value} is not a local target';
  });
}

/** An RFC 9110 token: a header name. */
export function headerName(meaning: string): z.ZodString {
  const options = { expected: 'a header name', fix: 'use letters, digits and -' };
  return text(meaning, options, (value) =>
    isToken(value) && value.length <= 64 ? undefined : '{value} is not a header name',
  );
}

/** A cookie name (RFC 6265 token). */
export function cookieName(meaning: string): z.ZodString {
  const options = { expected: 'a cookie name such as bff_session', fix: 'use letters, digits, - and _' };
  return text(meaning, options, (value) =>
    isToken(value) && value.length <= 64 ? undefined : '{value} is not a cookie name',
  );
}

/** A cookie domain; a leading dot is accepted and dropped later (SPEC §2). */
export function cookieDomain(meaning: string): z.ZodString {
  const options = { expected: 'a domain such as example.com', fix: 'write the domain alone' };
  return text(meaning, options, (value) => {
    const domain = value.replace(/^\./, '');
    const plain =
      hostProblem(domain) === undefined && !/[:[*]/.test(domain) && /[a-z]/i.test(domain.split('.').at(-1) ?? '');
    return !plain ? '{value} is not a domain' : domain.includes('.') ? undefined : '{value} is wider than one domain';
  });
}

/** Blank-separated OAuth scopes (RFC 6749 §3.3); `must` has to be among them. */
export function scopes(
  meaning: string,
  options: { readonly min?: number; readonly must?: string } = {},
): z.ZodArray<z.ZodString> {
  const scope = text(
    'One scope',
    { expected: 'a scope', fix: 'use visible ASCII without quotes and backslash' },
    (value) => {
      return /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(value) ? undefined : '{value} is not a scope';
    },
  );
  return list(meaning, scope, { separator: 'blank', ...options });
}

/** A list of plain words, also as one text with commas. */
export function words(meaning: string, options: { readonly min?: number } = {}): z.ZodArray<z.ZodString> {
  const word = text('One word', { fix: 'write one word' }, (value) =>
    value.trim() === '' ? 'the text is empty' : undefined,
  );
  return list(meaning, word, { separator: 'comma', ...options });
}

/** Authentication context classes; they are repeated in headers and parted by blanks there. */
export function acrValues(meaning: string): z.ZodArray<z.ZodString> {
  const options = {
    expected: 'visible ASCII without blanks, quotes and backslashes',
    fix: 'write the class as the provider spells it',
  };
  const value = text('One class', options, (given) =>
    isAcrValue(given) ? undefined : '{value} is no authentication class',
  );
  return list(meaning, value, { separator: 'comma', min: 1 });
}

/** JSON Pointers, the first that exists wins. */
export function pointers(meaning: string): z.ZodArray<z.ZodString> {
  return list(meaning, pointer('One JSON Pointer'), { separator: 'comma', max: 16 });
}

/** One JSON Pointer (RFC 6901). */
export function pointer(meaning: string): z.ZodString {
  const options = {
    expected: 'a JSON Pointer such as /realm_access/roles',
    fix: 'begin with a slash; ~1 stands for a slash, ~0 for a tilde',
  };
  return text(meaning, options, (value) => (isJsonPointer(value) ? undefined : '{value} is not a JSON Pointer'));
}

/** Addresses: CIDR blocks, single addresses, and the words `loopback` and `private`. */
export function addresses(meaning: string, options: { readonly min?: number } = {}): z.ZodArray<z.ZodString> {
  const block = text(
    'One address block',
    {
      expected: 'an address, a CIDR block such as 10.0.0.0/24, loopback or private',
      fix: 'correct the address or the prefix length',
    },
    (value) => (blocksOf(value) === undefined ? '{value} is not an address block' : undefined),
  );
  return list(meaning, block, { separator: 'comma', ...options });
}

const WORDS: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};

/** The blocks that a word, address or CIDR text stands for; undefined if it is none. */
export function blocksOf(value: string): readonly AddressBlock[] | undefined {
  const words = Object.hasOwn(WORDS, value) ? (WORDS[value] ?? []) : [value];
  const blocks = words.map(parseAddressBlock);
  return blocks.every((block) => block !== undefined) ? blocks : undefined;
}

/** Non-empty text without blanks at its ends. */
export function plain(meaning: string, expected = 'text'): z.ZodString {
  return text(meaning, { expected, fix: 'correct the text' }, (value) => {
    return value === '' ? 'the text is empty' : value.trim() === value ? undefined : 'the text has blanks at its ends';
  });
}

/** Name of a file on this machine. */
export function fileName(meaning: string): z.ZodString {
  return text(meaning, { expected: 'the path of a file', fix: 'write the path' }, (value) =>
    value === '' ? 'the text is empty' : undefined,
  );
}

/** Text that can stand in a header: visible ASCII without blanks. */
export function headerValue(meaning: string): z.ZodString {
  return text(meaning, { expected: 'visible ASCII without blanks', fix: 'choose another value' }, (value) => {
    return isVisible(value) ? undefined : '{value} cannot stand in a header';
  });
}

/** Domains of e-mail addresses. */
export function mailDomains(meaning: string): z.ZodArray<z.ZodString> {
  const domain = text('One domain', { expected: 'a domain such as example.com', fix: 'leave the @ out' }, (value) => {
    return /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/i.test(value) ? undefined : '{value} is not a domain';
  });
  return list(meaning, domain, { separator: 'comma' });
}

/** True for visible ASCII without blanks. */
export function isVisible(value: string): boolean {
  return /^[\x21-\x7e]+$/.test(value);
}
