import type { IncomingMessage } from 'node:http';
import { decodeJwt, type JWTPayload } from 'jose';
import { escapeHtml, sendHtml } from './html.ts';
import { type RunningServer, startHttpServer } from './http-server.ts';
import { describeHeaders, readBearer } from './received.ts';

/** The headers that carry the identity, as verify sends them and the gateway hands them on (lower case). */
export const IDENTITY_HEADERS: readonly string[] = [
  'authorization',
  'x-user-id',
  'x-user-username',
  'x-user-email',
  'x-user-role',
  'x-user-roles',
  'x-auth-session',
];

/**
 * Starts a dashboard that knows nothing of OAuth: a page made on the server from the headers that the gateway passed
 * on after asking verify. Only a gateway may reach it, because it believes those headers. Its stylesheet is the
 * application's, on the same origin.
 * Errors: PortTakenError.
 */
export async function startDashboard(options: { port?: number }): Promise<RunningServer> {
  return startHttpServer({
    port: options.port ?? 0,
    handler: (request, response) => sendHtml(response, 200, renderDashboard(request)),
  });
}

function renderDashboard(request: IncomingMessage): string {
  const headers = describeHeaders(request);
  const identity = headers.filter(([name]) => IDENTITY_HEADERS.includes(name));
  const others = headers.filter(([name]) => !IDENTITY_HEADERS.includes(name));
  const username = identity.find(([name]) => name === 'x-user-username')?.[1] ?? '';
  const claims = readClaims(request);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dashboard · Sallyport demo</title>
<link rel="icon" href="/favicon.svg">
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header class="top"><a class="brand" href="/"><img src="/favicon.svg" alt="" width="28" height="28">Sallyport demo</a><nav><a href="/">Application</a><a href="/dashboard" aria-current="page">Dashboard</a></nav></header>
<main>
<section class="hero"><h1>Hello, <span id="dashboard-user">${escapeHtml(username)}</span></h1>
<p>This page has no sign-in code. It believes the headers below, which the gateway took from Sallyport’s answer.</p></section>
<section class="panel"><h2>Identity headers</h2>${table(identity, true)}</section>
<section class="panel"><h2>Claims of the token it could call APIs with</h2>${
    claims === undefined
      ? '<p class="hint">No token was passed on.</p>'
      : `<pre tabindex="0">${escapeHtml(JSON.stringify(claims, null, 2))}</pre>`
  }</section>
<section class="panel"><details><summary>All other headers</summary>${table(others, false)}</details></section>
</main>
</body>
</html>
`;
}

function table(rows: readonly [string, string][], identity: boolean): string {
  if (rows.length === 0) {
    return '<p class="hint">None.</p>';
  }
  const className = identity ? ' class="identity"' : '';
  const body = rows
    .map(
      ([name, value]) => `<tr${className}><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`,
    )
    .join('');
  return `<div class="scroll"><table>${body}</table></div>`;
}

function readClaims(request: IncomingMessage): JWTPayload | undefined {
  const token = readBearer(request);
  try {
    return token === undefined ? undefined : decodeJwt(token);
  } catch {
    // An opaque token has no claims to show.
    return undefined;
  }
}
