import { parseCookie } from 'cookie';
import { CONFLICTING_HANDLE, compileHandleFinder, NO_HANDLE } from '../src/core/cookie.ts';
import type { MicroBench } from './lib/micro.ts';

const NAME = 'bff_session';
const findHandle = compileHandleFinder(NAME);
const HANDLE_FORM = /^[A-Za-z0-9_-]{43}$/;
const OWN_COOKIE = /(?:^|;)[ \t]*bff_session=([^;]*)/g;

/** A header of 1 KiB with our cookie in the middle, between those of other programs. Another handle for each number. */
export function kilobyteHeader(number: number): string {
  const handle = `h${number}`.padEnd(43, 'kq3Z1v0mQf7yYb2cT9xL4nRwE8sHdJ6uA5gPoKiV');
  const half = Array.from({ length: 7 }, (_, at) => `program_${at}=${'0123456789abcdef'.repeat(3)}${number}`).join(
    '; ',
  );
  // In one piece, as the native core hands headers over.
  return Buffer.from(`${half}; ${NAME}=${handle}; ${half}`.slice(0, 1_024)).toString('latin1');
}

const HEADERS = Array.from({ length: 64 }, (_, number) => kilobyteHeader(number));

/** Finding the session handle in a Cookie header. */
export const cookieBench: MicroBench = {
  name: 'cookie',
  createGroups: () => [
    {
      name: 'cookie in the middle of 1 KiB',
      calls: HEADERS.length,
      ways: {
        'findHandle (shipped)': () => HEADERS.map((header) => findHandle(header)),
        'package cookie': () => HEADERS.map(byPackage),
        'split into pairs': () => HEADERS.map(bySplit),
        'regular expression': () => HEADERS.map(byExpression),
        'indexOf of the name, checked around': () => HEADERS.map(byIndex),
      },
    },
  ],
};

/** Knows nothing of duplicates: the first one wins. */
function byPackage(header: string): string {
  const value = parseCookie(header)[NAME] ?? '';
  return HANDLE_FORM.test(value) ? value : NO_HANDLE;
}

function bySplit(header: string): string {
  let found = NO_HANDLE;
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals === -1 || pair.slice(0, equals).trim() !== NAME) continue;
    const value = pair.slice(equals + 1).trim();
    if (found !== NO_HANDLE && found !== value) return CONFLICTING_HANDLE;
    found = value;
  }
  return HANDLE_FORM.test(found) ? found : NO_HANDLE;
}

function byExpression(header: string): string {
  let found = NO_HANDLE;
  for (const [, text = ''] of header.matchAll(OWN_COOKIE)) {
    const value = text.trim();
    if (found !== NO_HANDLE && found !== value) return CONFLICTING_HANDLE;
    found = value;
  }
  return HANDLE_FORM.test(found) ? found : NO_HANDLE;
}

/** Fast, but a value that holds the name sends it through the header again; kept to see what that would save. */
function byIndex(header: string): string {
  const wanted = `${NAME}=`;
  let found = NO_HANDLE;
  for (let at = header.indexOf(wanted); at !== -1; at = header.indexOf(wanted, at + 1)) {
    const start = header.lastIndexOf(';', at) + 1;
    if (header.slice(start, at).trim() !== '') continue;
    const end = header.indexOf(';', at);
    const value = header.slice(at + wanted.length, end === -1 ? header.length : end).trim();
    if (found !== NO_HANDLE && found !== value) return CONFLICTING_HANDLE;
    found = value;
  }
  return HANDLE_FORM.test(found) ? found : NO_HANDLE;
}
