import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { escapeHtml, type Page, renderPage } from '../../src/core/pages.ts';

const CSP = "default-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";
const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' autofocus onfocus='alert(1)",
  '</script><script>alert(1)</script>',
  '</style><script>alert(1)</script>',
  '<!--<script>',
  ']]>',
  '&quot;&#34;',
  '`${alert(1)}`',
  '\u2028\u2029',
  '%s%n${jndi:x}',
];

const inner = (html: string, tag: string): string[] =>
  [...html.matchAll(new RegExp(`<${tag}[^>]*>([\\s\\S]*?)</${tag}>`, 'g'))].map((match) => match[1] ?? '');
const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** The value of one directive; the first of a name counts (CSP3 §2.2). */
function directive(page: Page, name: string): string | undefined {
  const all = page.csp.split(';').map((part) => part.trim().split(/\s+/));
  const matching = all.filter(([first]) => first === name);
  assert.ok(matching.length <= 1, `${name} comes once`);
  return matching[0]?.slice(1).join(' ');
}

/** One text in every slot of a page. */
function pageWith(text: string): Page {
  return renderPage({
    csp: CSP,
    title: text,
    paragraphs: [text, text],
    actions: [
      { kind: 'link', href: text, label: text, primary: true },
      { kind: 'post', action: text, label: text, fields: { [text]: text } },
    ],
    note: text,
    location: text,
  });
}

/** The tags of a page without their values and without the text of its script. */
function shapeOf({ html }: Page): string[] {
  const bare = html.replace(/<script>[\s\S]*?<\/script>/, '<script></script>');
  return (bare.match(/<[^>]*>/g) ?? []).map((tag) => tag.replace(/"[^"]*"/g, '""'));
}

describe('a page of ours', () => {
  const skeleton = shapeOf(pageWith('x'));

  for (const text of HOSTILE) {
    test(`shows ${JSON.stringify(text)} as text in every slot`, () => {
      const page = pageWith(text);
      assert.deepEqual(shapeOf(page), skeleton);
      const [script = ''] = inner(page.html, 'script');
      assert.doesNotMatch(script, /[<>\u2028\u2029]/);
      let went: unknown;
      const location = { replace: (target: string) => (went = target) };
      new Function('location', script)(location);
      assert.equal(went, text, 'the script goes exactly where it was told');
    });
  }

  test('the policy lets exactly its own style and script run', () => {
    for (const location of [undefined, 'https://idp.example.test/logout?x=1&y=2']) {
      const page = renderPage({ csp: CSP, title: 't', paragraphs: [], ...(location && { location }) });
      const [style = '', ...styles] = inner(page.html, 'style');
      const scripts = inner(page.html, 'script');
      assert.deepEqual(styles, []);
      assert.equal(directive(page, 'style-src'), hashOf(style));
      assert.equal(directive(page, 'script-src'), location === undefined ? "'none'" : hashOf(scripts[0] ?? ''));
      assert.equal(scripts.length, location === undefined ? 0 : 1);
      assert.doesNotMatch(page.html, /style="|javascript:| on[a-z]+="/);
    }
  });

  test('the configured policy stays, but for style and script', () => {
    const configured = "default-src 'self'; style-src *; SCRIPT-SRC 'unsafe-inline'; frame-ancestors 'none'";
    const page = renderPage({ csp: configured, title: 't', paragraphs: [] });
    assert.equal(directive(page, 'default-src'), "'self'");
    assert.equal(directive(page, 'frame-ancestors'), "'none'");
    assert.doesNotMatch(page.csp, /unsafe-inline|style-src \*/i);
    assert.equal(directive(page, 'script-src'), "'none'");
  });

  test('directives for elements alone cannot shut out our own text', () => {
    const configured = "default-src 'self'; script-src-elem 'self'; style-src-elem 'self'; style-src-attr 'none'";
    const page = renderPage({ csp: configured, title: 't', paragraphs: [], location: '/x' });
    assert.equal(directive(page, 'script-src-elem'), undefined);
    assert.equal(directive(page, 'style-src-elem'), undefined);
  });

  test('a page without small print, actions and target has no traces of them', () => {
    const { html } = renderPage({ csp: CSP, title: 't', paragraphs: ['p'] });
    assert.doesNotMatch(html, /<small|<script|http-equiv|<a |<form/);
  });
});

describe('escaping', () => {
  test('leaves nothing that opens a tag or ends an attribute, and loses nothing', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const escaped = escapeHtml(text);
        assert.doesNotMatch(escaped, /[<>"'`]/);
        const read = escaped.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)));
        assert.equal(read, text);
      }),
    );
  });
});
