import type { Config } from '../types.ts';
import { compileBearer } from './bearer.ts';
import { compileCompat } from './compat.ts';
import type { CompileContext } from './context.ts';
import { compileCsrf } from './csrf.ts';
import { compileIdentityHeaders } from './identity-headers.ts';
import { compileDefaultIdp, compileIdps } from './idps.ts';
import { compileSealKeys, compileSigningKeys } from './keys.ts';
import { compileAddresses, compileListen, compilePaths } from './listen.ts';
import { compileRoutes, compileServices } from './routes.ts';
import {
  compileCors,
  compileLimits,
  compileLog,
  compileLogin,
  compileLogout,
  compileRefresh,
  compileSecurityHeaders,
  compileSession,
  compileShutdown,
  compileVerify,
} from './settings.ts';
import { compileSites } from './sites.ts';
import { compileStore } from './store.ts';
import { compileTelemetry } from './telemetry.ts';

/**
 * Compile the checked files, with every check that concerns more than one key. Undefined if a section is missing
 * because it was refused; then, and whenever a problem was reported, the result must not be used.
 */
export function compileConfig(context: CompileContext): Omit<Config, 'files' | 'warnings'> | undefined {
  const { sections } = context.settings;
  const defaultIdp = compileDefaultIdp(context);
  const sites = compileSites(context, defaultIdp);
  const signingKeys = compileSigningKeys(context);
  const { logout, security_headers: security, shutdown, log, metrics } = sections;
  const telemetry = compileTelemetry(context);
  const compiled = complete({
    sites,
    paths: compilePaths(context),
    listen: compileListen(context),
    workers: sections.workers,
    scheduling: sections.scheduling,
    trustedProxies: compileAddresses(context.settings, ['trusted_proxies'], definedItems(sections.trusted_proxies)),
    insecureHttp: sections.insecure_http ?? false,
    sealKeys: compileSealKeys(context),
    signingKeys,
    session: compileSession(context),
    store: compileStore(context),
    refresh: compileRefresh(context),
    login: compileLogin(context),
    compat: compileCompat(context, sites),
    logout: logout && compileLogout(logout),
    verify: compileVerify(context),
    identityHeaders: compileIdentityHeaders(context),
    csrf: compileCsrf(context, sites),
    cors: compileCors(context, sites),
    securityHeaders: security && compileSecurityHeaders(security),
    limits: compileLimits(context),
    shutdown: shutdown && compileShutdown(shutdown),
    log: log && compileLog(log),
    metrics,
    idps: compileIdps(context, defaultIdp, signingKeys),
    defaultIdp,
    bearer: compileBearer(context),
    services: compileServices(context, defaultIdp),
    routes: compileRoutes(context, sites),
  });
  return compiled && { ...compiled, telemetry };
}

function definedItems<Item>(items: readonly (Item | undefined)[] | undefined): readonly Item[] {
  return (items ?? []).filter((item) => item !== undefined);
}

/** The same parts if none of them is missing. */
function complete<Parts extends object>(
  parts: Parts,
): { [Key in keyof Parts]: Exclude<Parts[Key], undefined> } | undefined {
  const missing = Object.values(parts).some((part) => part === undefined);
  return missing ? undefined : (parts as { [Key in keyof Parts]: Exclude<Parts[Key], undefined> });
}
