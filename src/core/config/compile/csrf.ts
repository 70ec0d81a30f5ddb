import { foldCookieName, isHelperCookie } from '../../folded-names.ts';
import type { Config, Site } from '../types.ts';
import type { CompileContext } from './context.ts';
import { overlap } from './site-cookies.ts';

/** `csrf` compiled; the cookie of mode `token` is like that of the session, but scripts read it. */
export function compileCsrf({ settings }: CompileContext, sites: readonly Site[]): Config['csrf'] | undefined {
  const { csrf } = settings.sections;
  if (csrf === undefined) return undefined;
  const { mode, header, value, cookie } = csrf;
  if (mode === 'token') checkCookie(settings, cookie, sites);
  return { mode, header, value, cookie };
}

function checkCookie(settings: CompileContext['settings'], cookie: string, sites: readonly Site[]): void {
  const path = ['csrf', 'cookie'];
  for (const [index, site] of sites.entries()) {
    const other = sites.slice(0, index).find((earlier) => overlap(earlier, site));
    if (other === undefined) continue;
    const advice = 'let scripts take csrf_token of the session check instead';
    settings.warn(path, `that of site ${other.name} reaches hosts of site ${site.name}, or the reverse: ${advice}`);
  }
  const folded = foldCookieName(cookie);
  if (isHelperCookie(folded) || sites.some((site) => foldCookieName(site.cookie.name) === folded)) {
    settings.fail(path, '{value} is another cookie of Sallyport', 'a name of its own', 'choose another name');
  }
  if (/^__/.test(cookie) && sites.some((site) => !site.cookie.secure)) {
    settings.fail(path, '{value} needs Secure cookies', 'insecure_http: false', 'choose a name without prefix');
  }
  if (/^__host-/i.test(cookie) && sites.some((site) => site.cookie.domain !== undefined)) {
    settings.fail(path, '{value} allows no domain', 'a name without __Host-', 'choose another name');
  }
}
