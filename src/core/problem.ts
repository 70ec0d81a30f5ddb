import type { Problem, Reply } from './answer.ts';
import type { Config } from './config/types.ts';
import type { RequestContext } from './context.ts';
import { ERRORS, type ErrorCode, type SallyportError } from './errors.ts';
import { type HeaderPairs, isPreflight, type OriginRules } from './origin.ts';
import { type Page, type PageAction, renderPage } from './pages.ts';
import { createProblemVariants, type ProblemComposer } from './problem-variants.ts';
import { compileTemplate } from './reply-template.ts';
import type { SiteRuntime } from './sites.ts';

export type { Problem, Reply } from './answer.ts';

/** Makes the answers that are not a flow's own. */
export type Replies = {
  /** RFC 9457 problem+json, or a readable page for a navigation (SPEC §1). */
  problem(context: RequestContext, problem: Problem): Reply;
  /** A page of ours with status, policy and the common headers. */
  page(site: SiteRuntime | undefined, status: number, page: PageContent, headers?: HeaderPairs): Reply;
  /** JSON that depends on a session: `no-store`, CORS for an allowed origin. */
  json(
    context: RequestContext,
    site: SiteRuntime | undefined,
    status: number,
    body: object,
    headers?: HeaderPairs,
  ): Reply;
  /** 204, CORS for an allowed origin. */
  empty(context: RequestContext, site: SiteRuntime | undefined): Reply;
  /** 302, or 303 after a POST, unless `status` says which. */
  redirect(context: RequestContext, location: string, headers?: HeaderPairs, status?: 302 | 303): Reply;
  /** nosniff, referrer policy, CSP, no-store and HSTS of our own answers. */
  commonHeaders(site: SiteRuntime | undefined): HeaderPairs;
};

const JSON_TYPES = ['application/json', 'application/problem+json'];
const CHALLENGE = pair('www-authenticate', 'Bearer realm="sallyport"');

/** A header that is the same in many answers: frozen, so that it is checked once. */
function pair(name: string, value: string): HeaderPairs[number] {
  return Object.freeze([name, value] as const);
}

/** What a page of ours shows. */
export type PageContent = Omit<Parameters<typeof renderPage>[0], 'csp'>;

/** Compile the makers of our own answers. */
export function compileReplies(config: Config, origin: OriginRules): Replies {
  const { csp } = config.securityHeaders;
  const common = compileCommonHeaders(config);
  const policies = [pair('content-security-policy', csp), pair('cross-origin-resource-policy', 'same-origin')];
  const types = new Map(JSON_TYPES.map((type) => [type, pair('content-type', type)]));
  const html: HtmlMaker = (site, status, page, headers) => ({
    status,
    headers: [
      ...common(site),
      ['content-type', 'text/html; charset=utf-8'],
      ['content-security-policy', page.csp],
      ...headers,
    ],
    body: page.html,
  });
  const json: JsonMaker = (readableBy, site, status, type, body, headers) => ({
    status,
    headers: [
      ...common(site),
      types.get(type) ?? ['content-type', type],
      ...policies,
      ...origin.corsHeaders(site, readableBy),
      ...headers,
    ],
    body: JSON.stringify(body),
  });
  const variants = createProblemVariants(compileProblem(csp, compileStartLinks(config), html, json));
  return {
    commonHeaders: common,
    problem: (context, problem) => variants(problem, readerOf(context, problem.site)).fill(context.requestId),
    page: (site, status, content, headers = []) => html(site, status, renderPage({ csp, ...content }), headers),
    json: (context, site, status, body, headers = []) =>
      json(readerOf(context, site), site, status, 'application/json', body, headers),
    empty: (context, site) => ({
      status: 204,
      headers: [
        ...common(site),
        ['cross-origin-resource-policy', 'same-origin'],
        ...origin.corsHeaders(site, context.origin),
      ],
      body: '',
    }),
    redirect: compileRedirect(common(undefined), csp),
  };
}

/** The origin whose scripts may read an answer; empty = none. A refused preflight allows nothing, and has no reader. */
function readerOf(context: RequestContext, site: SiteRuntime | undefined): string {
  const { origin } = context;
  if (origin === '' || site === undefined || isPreflight(context.method, context)) return '';
  return site.allowsOrigin(origin) ? origin : '';
}

function compileRedirect(common: HeaderPairs, csp: string): Replies['redirect'] {
  const policy = pair('content-security-policy', csp);
  const compose = (status: number, location: string, headers: HeaderPairs): Reply => ({
    status,
    headers: [...common, policy, ['location', location], ...headers],
    body: '',
  });
  const found = compileTemplate((location) => compose(302, location, []));
  const seeOther = compileTemplate((location) => compose(303, location, []));
  return (context, location, headers = [], status = isReading(context.method) ? 302 : 303) => {
    if (headers.length > 0) return compose(status, location, headers);
    return (status === 302 ? found : seeOther).fill(location);
  };
}

function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

type HtmlMaker = (site: SiteRuntime | undefined, status: number, page: Page, headers: HeaderPairs) => Reply;
type JsonMaker = (
  readableBy: string,
  site: SiteRuntime | undefined,
  status: number,
  type: string,
  body: object,
  headers: HeaderPairs,
) => Reply;

function compileCommonHeaders(config: Config): Replies['commonHeaders'] {
  const { hsts } = config.securityHeaders;
  const http: HeaderPairs = [
    pair('cache-control', 'no-store'),
    pair('x-content-type-options', 'nosniff'),
    pair('referrer-policy', 'no-referrer'),
  ];
  if (hsts === undefined) return () => http;
  const value = `max-age=${Math.floor(hsts.maxAgeMs / 1000)}${hsts.includeSubdomains ? '; includeSubDomains' : ''}`;
  const https: HeaderPairs = [...http, pair('strict-transport-security', value)];
  return (site) => (site?.scheme === 'https' ? https : http);
}

const START_LINKS_MAX = 4;

/** Where somebody can go whose host is none of ours: the first sites by their public addresses. */
function compileStartLinks({ sites }: Config): readonly PageAction[] {
  return sites.slice(0, START_LINKS_MAX).map(({ publicUrl }) => {
    return { kind: 'link', href: `${publicUrl}/`, label: `Go to ${new URL(publicUrl).host}` };
  });
}

function compileProblem(
  csp: string,
  startLinks: readonly PageAction[],
  html: HtmlMaker,
  json: JsonMaker,
): ProblemComposer {
  return (problem, readableBy, requestId) => {
    const headers = problemHeaders(problem, requestId);
    const { status, title } = ERRORS[problem.code];
    if (problem.navigation) {
      const page = errorPage(csp, startLinks, problem, requestId);
      return html(problem.site, status, page, [...headers, ['vary', 'Origin']]);
    }
    const body = problemBody(problem, status, title, requestId);
    return json(readableBy, problem.site, status, 'application/problem+json', body, headers);
  };
}

/** The public face of an operating error, for `Replies.problem`. */
export function problemOf(error: SallyportError, navigation: boolean, site: SiteRuntime | undefined): Problem {
  const { code, publicDetail, loginUrl, retryAfterS, headers, service } = error;
  return { code, detail: publicDetail, loginUrl, retryAfterS, headers, service, navigation, site };
}

function problemBody(problem: Problem, status: number, title: string, requestId: string): object {
  const { code, detail = ERRORS[code].detail, loginUrl, retryAfterS } = problem;
  return {
    type: `urn:sallyport:error:${code}`,
    title,
    status,
    code,
    detail,
    request_id: requestId,
    ...(loginUrl === undefined ? {} : { login_url: loginUrl }),
    ...(retryAfterS === undefined ? {} : { retry_after: retryAfterS }),
  };
}

function problemHeaders(problem: Problem, requestId: string): HeaderPairs {
  const headers: HeaderPairs[number][] = [['x-request-id', requestId]];
  const { status } = ERRORS[problem.code];
  if (problem.retryAfterS !== undefined) headers.push(['retry-after', String(problem.retryAfterS)]);
  const given = problem.headers ?? [];
  if (status === 401 && !given.some(([name]) => name === 'www-authenticate')) {
    headers.push(CHALLENGE);
  }
  headers.push(...given);
  return headers;
}

/** Same code as the JSON, and a way forward (SPEC §1). */
function errorPage(csp: string, startLinks: readonly PageAction[], problem: Problem, requestId: string): Page {
  const { code, site } = problem;
  const loginUrl = problem.loginUrl ?? site?.loginUrl;
  const actions: PageAction[] = [];
  if (loginUrl !== undefined && offersLogin(code)) {
    actions.push({ kind: 'link', href: loginUrl, label: 'Sign in again', primary: true });
  }
  if (site !== undefined)
    actions.push({ kind: 'link', href: `${site.site.publicUrl}/`, label: 'Go to the start page' });
  if (code === 'unknown_host') actions.push(...startLinks);
  return renderPage({
    csp,
    title: ERRORS[code].title,
    paragraphs: [problem.detail ?? ERRORS[code].detail],
    actions,
    note: `Code ${code} · request ${requestId}`,
  });
}

function offersLogin(code: ErrorCode): boolean {
  const { status } = ERRORS[code];
  return (
    status === 401 ||
    code.startsWith('transaction_') ||
    code === 'callback_invalid' ||
    code === 'login_denied' ||
    code === 'login_loop' ||
    code.startsWith('idp_') ||
    code === 'service_timeout'
  );
}
