import type { OidcContext } from 'oidc-provider';
import { escapeHtml } from './html.ts';

/** Address of the stylesheet that the provider's pages share. */
export const PROVIDER_STYLE_PATH = '/provider.css';

/**
 * Headers of the provider's own pages. There is no `form-action`: the forms end in a redirect to the client's origin,
 * which that directive would stop in some browsers.
 */
export const PROVIDER_PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

/** Puts a page into a Koa context. */
export function sendProviderPage(context: OidcContext, html: string): void {
  for (const [name, value] of Object.entries(PROVIDER_PAGE_HEADERS)) {
    context.set(name, value);
  }
  context.type = 'html';
  context.body = html;
}

/** What the sign-in page shows besides its two fields. */
export type SignInView = {
  readonly uid: string;
  readonly clientName: string;
  /** Pre-filled user name: `login_hint`, or what was typed before. */
  readonly username: string;
  /** True after a wrong user name or password; the page does not say which. */
  readonly failed: boolean;
  /** Hints about the demo's users. */
  readonly hints: readonly string[];
};

/** The page that asks for user name and password. */
export function signInPage(view: SignInView): string {
  const action = `/interaction/${encodeURIComponent(view.uid)}`;
  const error = view.failed ? '<p class="error" role="alert">User name and password do not match.</p>' : '';
  const hints = view.hints.map((hint) => `<li>${escapeHtml(hint)}</li>`).join('');
  return page(
    'Sign in',
    `<p class="lead">to continue to <strong>${escapeHtml(view.clientName)}</strong></p>
${error}
<form method="post" action="${action}/login">
  <label for="username">User name</label>
  <input id="username" name="username" value="${escapeHtml(view.username)}" autocomplete="username" autocapitalize="none" spellcheck="false" required${view.username === '' ? ' autofocus' : ''}>
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required${view.username === '' ? '' : ' autofocus'}>
  <button type="submit" class="primary" id="sign-in">Sign in</button>
</form>
<form method="post" action="${action}/abort"><button type="submit" class="link" id="cancel">Cancel</button></form>
${hints === '' ? '' : `<aside><h2>Demo users</h2><ul>${hints}</ul></aside>`}`,
  );
}

/** What the consent page shows. */
export type ConsentView = {
  readonly uid: string;
  readonly clientName: string;
  readonly userName: string;
  /** The scopes asked for, as sent. */
  readonly scopes: readonly string[];
};

const SCOPE_TEXTS: Readonly<Record<string, string>> = {
  openid: 'Know that it is you',
  profile: 'Read your name, roles and groups',
  email: 'Read your e-mail address',
  'api.read': 'Use the demo API as you',
  offline_access: 'Stay signed in while you are away',
};

/** The page that asks whether the client may have what it asked for. */
export function consentPage(view: ConsentView): string {
  const action = `/interaction/${encodeURIComponent(view.uid)}`;
  const items = view.scopes.map((scope) => `<li>${escapeHtml(SCOPE_TEXTS[scope] ?? scope)}</li>`).join('');
  return page(
    'Allow access?',
    `<p class="lead"><strong>${escapeHtml(view.clientName)}</strong> asks, ${escapeHtml(view.userName)}, to</p>
<ul class="scopes">${items}</ul>
<form method="post" action="${action}/confirm"><button type="submit" class="primary" id="allow" autofocus>Allow</button></form>
<form method="post" action="${action}/abort"><button type="submit" class="link" id="cancel">Cancel</button></form>`,
  );
}

/**
 * The page that asks whether to sign out at the provider. `form` is oidc-provider's own form `op.logoutForm`, which
 * carries its anti-forgery value.
 */
export function logoutPage(form: string): string {
  return page(
    'Sign out?',
    `<p class="lead">This ends your session at the identity provider.</p>
${form}
<button type="submit" form="op.logoutForm" name="logout" value="yes" class="primary" id="sign-out" autofocus>Sign out</button>
<button type="submit" form="op.logoutForm" class="link" id="stay">Stay signed in here</button>`,
  );
}

/** Where a sign-out ends that named no address to return to. */
export function signedOutPage(): string {
  return page(
    'Signed out',
    '<p class="lead">You are signed out at the identity provider. You can close this page.</p>',
  );
}

/** A readable page for an OAuth error that cannot be sent to the client. */
export function errorPage(code: string, description: string | undefined): string {
  return page(
    'That did not work',
    `<p class="lead">${escapeHtml(description ?? 'The request cannot be answered.')}</p>
<p>Go back to the application and start again.</p>
<p class="code">${escapeHtml(code)}</p>`,
  );
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Demo Identity Provider</title>
<link rel="stylesheet" href="${PROVIDER_STYLE_PATH}">
</head>
<body>
<main>
<p class="brand">Demo Identity Provider</p>
<h1>${escapeHtml(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

/** The stylesheet of these pages: another look than the demo application, so that one sees where one is. */
export const PROVIDER_STYLE = `:root { color-scheme: light dark; --page: #f3f1ec; --card: #fff; --text: #23211d; --muted: #6b665c; --line: #d8d3c8; --accent: #1f6f54; --on-accent: #fff; --error: #a32020; }
@media (prefers-color-scheme: dark) { :root { --page: #191815; --card: #23211d; --text: #f1eee7; --muted: #aaa497; --line: #45413a; --accent: #6fcfab; --on-accent: #10261d; --error: #ff9a8f; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { width: min(100%, 25rem); padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
h1 { margin: 0 0 .25rem; font-size: 1.6rem; line-height: 1.2; }
h2 { margin: 0 0 .25rem; font-size: .875rem; }
.brand { margin: 0 0 1.5rem; color: var(--accent); font-size: .875rem; font-weight: 600; }
.lead { margin: 0 0 1.25rem; color: var(--muted); }
.lead strong { color: var(--text); }
label { display: block; margin: 0 0 .25rem; font-size: .875rem; font-weight: 600; }
input { width: 100%; margin: 0 0 1rem; padding: .625rem .75rem; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: .375rem; }
button { width: 100%; padding: .625rem .75rem; font: inherit; font-weight: 600; border: 0; border-radius: .375rem; cursor: pointer; }
.primary { background: var(--accent); color: var(--on-accent); }
.link { margin-top: .5rem; background: none; color: var(--muted); font-weight: 400; text-decoration: underline; }
input:focus-visible, button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.error { margin: 0 0 1rem; padding: .5rem .75rem; border-left: 4px solid var(--error); color: var(--error); }
.scopes { margin: 0 0 1.5rem; padding-left: 1.25rem; }
.code { color: var(--muted); font-family: ui-monospace, monospace; font-size: .875rem; }
aside { margin-top: 1.5rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--muted); font-size: .875rem; }
aside ul { margin: 0; padding-left: 1.25rem; }
`;
