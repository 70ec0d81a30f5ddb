import { AMBIGUOUS, canonicalPath } from '../src/core/path.ts';
import type { MicroBench } from './lib/micro.ts';

const CLEAN = [
  '/',
  '/dashboard',
  '/dashboard/overview',
  '/api/v1/orders/8823',
  '/assets/app-3f9ac1.js',
  '/a/b/c/d/e/f/',
];
const ESCAPED = ['/files/Annual%20report%202026', '/u/%7Ealice', '/search/%C3%A9t%C3%A9', '/x/%2e%2e/y', '/a%2Fb'];
const PLAIN = /^(?:\/[A-Za-z0-9\-_~!$&'()*+,=:@][A-Za-z0-9\-._~!$&'()*+,=:@]*)*\/?$/;

/** The canonical path of what a gateway asks about. */
export const pathBench: MicroBench = {
  name: 'path',
  createGroups: () => [
    {
      name: 'clean paths',
      calls: CLEAN.length,
      ways: {
        'canonicalPath (shipped)': () => CLEAN.map(canonicalPath),
        'expression first': () => CLEAN.map(byExpression),
        'by segment': () => CLEAN.map(bySegment),
        'new URL, then by segment': () => CLEAN.map(byUrl),
      },
    },
    {
      name: 'escaped and hostile paths',
      calls: ESCAPED.length,
      ways: {
        'canonicalPath (shipped)': () => ESCAPED.map(canonicalPath),
        'by segment': () => ESCAPED.map(bySegment),
      },
    },
  ],
};

function byExpression(path: string): string {
  return PLAIN.test(path) ? path : canonicalPath(path);
}

/** Decodes and encodes each segment with the language's own functions; enough for these inputs, not for hostile ones. */
function bySegment(path: string): string {
  if (!path.startsWith('/')) return AMBIGUOUS;
  const segments = path.slice(1).split('/');
  const out: string[] = [];
  for (const [at, segment] of segments.entries()) {
    let decoded: string;
    try {
      decoded = decodeURIComponent(segment);
    } catch {
      return AMBIGUOUS;
    }
    if (decoded === '.' || decoded === '..' || /[/\\;?#%]/.test(decoded)) return AMBIGUOUS;
    if (decoded === '' && at < segments.length - 1) return AMBIGUOUS;
    out.push(encodeURIComponent(decoded));
  }
  return `/${out.join('/')}`;
}

/** What frameworks do; by itself it would resolve `..` instead of refusing it. */
function byUrl(path: string): string {
  return bySegment(new URL(path, 'http://localhost').pathname);
}
