import { writeFileSync } from 'node:fs';

/** The site of the bench, and the page that the gateway asks about. */
export const SITE_HOST = 'app.example.com';
/** Where the site's people are sent. */
export const PUBLIC_URL = `https://${SITE_HOST}`;
const PAGE = '/dashboard/overview?range=30d';

/** A header line. */
export type Header = readonly [name: string, value: string];

/** What a request carries to say who asks. */
export type Credential = { readonly cookie?: string; readonly authorization?: string };

/** What a gateway adds for the decision. */
const GATEWAY_HEADERS: readonly Header[] = [
  ['X-Forwarded-Method', 'GET'],
  ['X-Forwarded-Proto', 'https'],
  ['X-Forwarded-Host', SITE_HOST],
  ['X-Forwarded-Uri', PAGE],
];

/** What a browser sends besides. */
const BROWSER_HEADERS: readonly Header[] = [
  [
    'User-Agent',
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  ],
  ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8'],
  ['Accept-Encoding', 'gzip, deflate, br, zstd'],
  ['Accept-Language', 'en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7'],
  ['Cache-Control', 'max-age=0'],
  ['Dnt', '1'],
  ['Priority', 'u=0, i'],
  ['Referer', `${PUBLIC_URL}/dashboard`],
  ['Sec-Ch-Ua', '"Chromium";v="142", "Not=A?Brand";v="24", "Google Chrome";v="142"'],
  ['Sec-Ch-Ua-Mobile', '?0'],
  ['Sec-Ch-Ua-Platform', '"Linux"'],
  ['Sec-Fetch-Dest', 'document'],
  ['Sec-Fetch-Mode', 'navigate'],
  ['Sec-Fetch-Site', 'same-origin'],
  ['Sec-Fetch-User', '?1'],
  ['Upgrade-Insecure-Requests', '1'],
];

/** What Traefik says of its own connection. */
const TRAEFIK_HEADERS: readonly Header[] = [
  ['X-Forwarded-For', '203.0.113.57'],
  ['X-Forwarded-Port', '443'],
  ['X-Forwarded-Server', 'gateway-7d9f8b6c5-x2k4q'],
];

const OTHER_COOKIES = [
  '_ga=GA1.2.1733492211.1712345678',
  'theme=dark',
  'consent=%7B%22analytics%22%3Atrue%2C%22ads%22%3Afalse%7D',
  'locale=en-GB',
];

/** A Cookie header as browsers send it: ours between four of other programs. */
function browserCookies(own: string): string {
  return [...OTHER_COOKIES.slice(0, 2), own, ...OTHER_COOKIES.slice(2)].join('; ');
}

/** The headers of a realistic gateway request: 25 with Host and the cookie. */
export function realisticHeaders({ cookie, authorization }: Credential): readonly Header[] {
  return [
    ...BROWSER_HEADERS,
    ...TRAEFIK_HEADERS,
    ...(cookie === undefined ? [] : [['Cookie', browserCookies(cookie)] as const]),
    ...(authorization === undefined ? [] : [['Authorization', authorization] as const]),
    ...GATEWAY_HEADERS,
  ];
}

/** The headers of a browser that asks the site itself: without those of a gateway. */
export function browserHeaders(cookie: string): readonly Header[] {
  return [...BROWSER_HEADERS, ['Cookie', browserCookies(cookie)]];
}

/** The headers of the smallest legal one: the credential and the gateway's four. */
export function smallestHeaders({ cookie, authorization }: Credential): readonly Header[] {
  return [
    ...(cookie === undefined ? [] : [['Cookie', cookie] as const]),
    ...(authorization === undefined ? [] : [['Authorization', authorization] as const]),
    ...GATEWAY_HEADERS,
  ];
}

/** A whole GET request as bytes of Latin-1 text. */
export function requestText(path: string, headers: readonly Header[], host = 'verify.internal'): string {
  const lines = [['Host', host] as const, ...headers].map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** Write requests the way wrk.lua reads them. */
export function writeRequests(file: string, requests: readonly string[]): void {
  writeFileSync(file, requests.map((request) => `${request}\n%%\n`).join(''), 'latin1');
}
