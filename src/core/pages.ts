import { createHash } from 'node:crypto';

/** A finished HTML page and the policy that lets exactly its own style and script run. */
export type Page = { readonly html: string; readonly csp: string };

const STYLE = `:root{color-scheme:light dark;--ink:#1b1f2a;--dim:#5b6475;--paper:#f6f7fb;--card:#fff;--line:#e2e5ee;--accent:#3448c5}
@media(prefers-color-scheme:dark){:root{--ink:#eceef5;--dim:#a2abbd;--paper:#11141c;--card:#191d28;--line:#2b3140;--accent:#93a2ff}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:min(34rem,100%);background:var(--card);border:1px solid var(--line);border-radius:14px;padding:2rem 2.25rem;box-shadow:0 12px 40px rgb(0 0 0/.06)}
h1{margin:0 0 .75rem;font-size:1.4rem;line-height:1.25}p{margin:.5rem 0}.actions{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}
a.button,button{font:inherit;border:1px solid var(--accent);border-radius:9px;padding:.55rem 1.1rem;text-decoration:none;cursor:pointer;color:var(--accent);background:transparent}
a.primary,button.primary{background:var(--accent);color:var(--card)}small{display:block;margin-top:1.5rem;color:var(--dim);font-size:.82rem;overflow-wrap:anywhere}code{font-family:ui-monospace,monospace}
ul{list-style:none;margin:1.25rem 0 0;padding:0}li{display:flex;justify-content:space-between;align-items:center;gap:1rem;padding:.9rem 0;border-top:1px solid var(--line)}li p{margin:0;color:var(--dim);font-size:.9rem}h2{margin:0;font-size:1rem}em{font-style:normal;font-weight:400;font-size:.82rem;color:var(--accent)}li a.button,li button,li button.primary{white-space:nowrap;background:transparent;color:var(--accent)}`;

const STYLE_SOURCE = hashSource(STYLE);

/** A link or form button of a page. */
export type PageAction =
  | { readonly kind: 'link'; readonly href: string; readonly label: string; readonly primary?: boolean }
  | {
      readonly kind: 'post';
      readonly action: string;
      readonly label: string;
      readonly fields: Readonly<Record<string, string>>;
    };

/** One entry of a page that lists things. */
export type PageRow = {
  readonly title: string;
  /** Beside the title. */
  readonly mark?: string;
  readonly details: readonly string[];
  readonly action?: PageAction;
};

/**
 * Render one of our pages. Every value is escaped here; there are no inline handlers (R-067, R-111).
 * @param options.csp the configured policy; the hashes of our own style and script are added to it.
 * @param options.framedBy origins whose pages may show this one in a frame, separated by blanks; absent: as `csp` says.
 * @param options.location where the page's script and meta refresh go at once, if anywhere.
 */
export function renderPage(options: {
  readonly csp: string;
  readonly title: string;
  readonly paragraphs: readonly string[];
  readonly rows?: readonly PageRow[];
  readonly actions?: readonly PageAction[];
  /** Small print: code and request id. */
  readonly note?: string;
  readonly location?: string;
  readonly framedBy?: string;
}): Page {
  const { location } = options;
  const script = location === undefined ? '' : `location.replace(${scriptString(location)});`;
  const head = location === undefined ? '' : `<meta http-equiv="refresh" content="2;url=${escapeHtml(location)}">`;
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex">${head}<title>${escapeHtml(options.title)}</title><style>${STYLE}</style></head>
<body><main><h1>${escapeHtml(options.title)}</h1>
${options.paragraphs.map((text) => `<p>${escapeHtml(text)}</p>`).join('\n')}
${renderRows(options.rows ?? [])}
<div class="actions">${(options.actions ?? []).map(renderAction).join('')}</div>
${options.note === undefined ? '' : `<small>${escapeHtml(options.note)}</small>`}
</main>${script === '' ? '' : `<script>${script}</script>`}</body></html>
`;
  let csp = addSource(options.csp, 'style-src', STYLE_SOURCE);
  csp = addSource(csp, 'script-src', script === '' ? "'none'" : hashSource(script));
  if (options.framedBy !== undefined) csp = addSource(csp, 'frame-ancestors', options.framedBy);
  return { html, csp };
}

/** Escape text for HTML content and double-quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"'`]/g, (char) => `&#${char.charCodeAt(0)};`);
}

function renderRows(rows: readonly PageRow[]): string {
  if (rows.length === 0) return '';
  const items = rows.map(({ title, mark, details, action }) => {
    const marked = mark === undefined ? '' : ` <em>${escapeHtml(mark)}</em>`;
    const lines = details.map((text) => `<p>${escapeHtml(text)}</p>`).join('');
    const button = action === undefined ? '' : renderAction(action);
    return `<li><div><h2>${escapeHtml(title)}${marked}</h2>${lines}</div>${button}</li>`;
  });
  return `<ul>${items.join('')}</ul>`;
}

function renderAction(action: PageAction): string {
  if (action.kind === 'link') {
    const className = action.primary === true ? 'button primary' : 'button';
    return `<a class="${className}" href="${escapeHtml(action.href)}">${escapeHtml(action.label)}</a>`;
  }
  const fields = Object.entries(action.fields)
    .map(([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">`)
    .join('');
  return `<form method="post" action="${escapeHtml(action.action)}">${fields}<button class="primary">${escapeHtml(action.label)}</button></form>`;
}

/** A JavaScript string literal that cannot end its script element. */
function scriptString(text: string): string {
  return JSON.stringify(text).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function hashSource(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/**
 * Replace one directive of a policy by the source alone: our pages run nothing but their own text. Its `-elem` and
 * `-attr` forms go too, because a browser would heed them instead (CSP3 §6.8); names are matched in any case.
 */
function addSource(csp: string, directive: string, source: string): string {
  const replaced = new RegExp(`^${directive}(?:-elem|-attr)?(?:\\s|$)`, 'i');
  const others = csp
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '' && !replaced.test(part));
  return [...others, `${directive} ${source}`].join('; ');
}
