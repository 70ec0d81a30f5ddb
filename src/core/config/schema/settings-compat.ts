import { cookieDomain, cookieName, endpoint, ownPath } from './leaves.ts';
import { flag, list, section } from './scalars.ts';
import { rateLimit } from './settings-http.ts';

const domain = cookieDomain('Its domain; without it the cookie is host-only').optional();

/** `token_cookies` of settings.yaml. */
export const tokenCookies = section('Tokens in cookies, for back ends that read them there', {
  enabled: flag('Send them').default(false),
  access_token: section('Cookie of the access token', {
    name: cookieName('Name of the cookie').default('access_token'),
    domain,
    path: ownPath('Its path', true).default('/'),
  }).prefault({}),
  refresh_token: section('Cookie of the refresh token, sealed', {
    name: cookieName('Name of the cookie').default('refresh_token'),
    domain,
    path: ownPath('Its path. Default: paths.auth', true).optional(),
    enabled: flag('Send this one too').default(false),
  }).prefault({}),
}).optional();

/** `direct_access_grant` of settings.yaml. */
export const directAccessGrant = section('POST /auth/login with user name and password', {
  enabled: flag('Answer it').default(false),
  return_token: flag('Answer with the access token, for machines').default(false),
  rate_limit: rateLimit.prefault({ average: 5, period: '1m', burst: 5 }),
}).optional();

/** `spa_callback` of settings.yaml. */
export const spaCallback = section('POST /auth/callback: the script received the code', {
  enabled: flag('Answer it').default(false),
  allowed_redirect_uris: list('Redirect URIs, compared exactly', endpoint('One URI'), { separator: 'comma' }).default(
    [],
  ),
}).optional();
