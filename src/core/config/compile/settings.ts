import { foldName } from '../../folded-names.ts';
import type { Settings } from '../schema/settings.ts';
import { durationMs, sizeBytes } from '../schema/units.ts';
import type { Config, LoginSettings, SessionSettings, Site, VerifySettings } from '../types.ts';
import type { RefreshSettings } from '../types-refresh.ts';
import { compileBinding } from './binding.ts';
import { checkProfileTokens } from './bound-tokens.ts';
import type { CompileContext } from './context.ts';
import { compileKeyedRateLimit } from './rate-limits.ts';
import { canonicalOrigin } from './sites.ts';
import { checkForwarded } from './step-up.ts';

/** `session` compiled. */
export function compileSession(context: CompileContext): SessionSettings | undefined {
  const { settings } = context;
  const { session } = settings.sections;
  if (session === undefined) return undefined;
  const [idleMs, absoluteMs] = [durationMs(session.idle), durationMs(session.absolute)];
  if (idleMs > absoluteMs)
    settings.fail(['session', 'idle'], '{value} is longer than session.absolute', 'a shorter one', 'shorten it');
  return {
    idleMs,
    absoluteMs,
    maxPerUser: session.max_per_user,
    checkSlides: session.session_check_slides,
    exposedClaims: session.exposed_claims,
    binding: compileBinding(context, session.binding),
  };
}

/** `refresh` compiled. */
export function compileRefresh({ settings }: CompileContext): RefreshSettings | undefined {
  const { refresh } = settings.sections;
  if (refresh === undefined) return undefined;
  const [firstMs, maxMs] = [durationMs(refresh.backoff.first), durationMs(refresh.backoff.max)];
  if (firstMs > maxMs) {
    const path = ['refresh', 'backoff', 'first'];
    settings.fail(path, '{value} is longer than refresh.backoff.max', 'a shorter one', 'shorten it');
  }
  return {
    leadMs: durationMs(refresh.lead),
    jitterMs: durationMs(refresh.jitter),
    waitMaxMs: durationMs(refresh.wait_max),
    backoff: { firstMs, maxMs },
  };
}

/** `login` compiled. */
export function compileLogin({ settings }: CompileContext): LoginSettings | undefined {
  const { login } = settings.sections;
  if (login === undefined) return undefined;
  const { transaction_ttl, max_concurrent, return_to, loop, allow, rate_limit } = login;
  return {
    transactionTtlMs: durationMs(transaction_ttl),
    maxConcurrent: max_concurrent,
    returnTo: { origins: return_to.origins.map(canonicalOrigin) },
    loop: { maxLogins: loop.max_logins, windowMs: durationMs(loop.window) },
    // Nobody is known yet who signs in.
    rateLimit: compileKeyedRateLimit(settings, ['login', 'rate_limit'], rate_limit, ['client_ip']),
    allow: {
      emailDomains: allow.email_domains.map((domain) => domain.toLowerCase()),
      groups: allow.groups,
      roles: allow.roles,
    },
  };
}

/** `logout` compiled. */
export function compileLogout(logout: Settings['logout']): Config['logout'] {
  const uri = logout.post_logout_redirect_uri;
  return {
    postLogoutRedirectUri: uri === 'default' ? undefined : uri,
    revokeTokens: logout.revoke_tokens,
    backchannel: logout.backchannel,
    frontchannel: logout.frontchannel,
  };
}

/** `verify` compiled. */
export function compileVerify(context: CompileContext): VerifySettings | undefined {
  const { settings, routes } = context;
  const { verify } = settings.sections;
  if (verify === undefined) return undefined;
  const secret = verify.shared_secret;
  const path = ['verify', 'shared_secret'];
  if (settings.scalarAt(path)?.hasDefault)
    settings.fail(path, 'a secret has a default', 'no ":-…" in the expression', 'remove the default');
  const services = routes.namesAt(['services']);
  for (const [name, { service }] of Object.entries(verify.profiles)) {
    if (service === undefined || services.includes(service)) continue;
    const at = ['verify', 'profiles', name, 'service'];
    const expected = services.length === 0 ? 'a service of routes.yaml' : services.join(', ');
    settings.fail(at, '{value} is no service of routes.yaml', expected, 'choose one of them or add it');
  }
  checkProfileTokens(context, verify.profiles);
  for (const [name, profile] of Object.entries(verify.profiles))
    checkForwarded(context, settings, ['verify', 'profiles', name], profile);
  return {
    gateway: 'traefik',
    sharedSecret: secret ?? undefined,
    unmatched: verify.unmatched,
    onFail: verify.on_fail,
    csrf: verify.csrf,
    expiredToken: verify.expired_token,
    profiles: Object.entries(verify.profiles).map(([name, profile]) => ({
      name,
      roles: profile.roles ?? [],
      groups: profile.groups ?? [],
      scopes: profile.scopes ?? [],
      acr: profile.acr ?? [],
      maxAgeMs: profile.max_age === undefined ? undefined : durationMs(profile.max_age),
      onFail: profile.on_fail,
      service: profile.service,
    })),
  };
}

/** `cors` compiled; identity headers are never allowed from browsers (SPEC §10). */
export function compileCors({ settings }: CompileContext, sites: readonly Site[]): Config['cors'] | undefined {
  const { cors, csrf, identity_headers } = settings.sections;
  if (cors === undefined) return undefined;
  const identity = new Set(Object.keys(identity_headers ?? {}).map(foldName));
  for (const [index, name] of cors.allow_headers.entries()) {
    const path = ['cors', 'allow_headers', index];
    if (identity.has(foldName(name)))
      settings.fail(path, '{value} is an identity header', 'headers that scripts may send', 'remove it');
    else if (name === '*' || name.toLowerCase() === 'cookie')
      settings.fail(path, '{value} cannot be allowed', 'names of headers', 'remove it');
  }
  const proof = csrf?.header.toLowerCase() ?? '';
  const foreign = sites.some((site) => site.origins.length > 0);
  if (foreign && csrf !== undefined && !cors.allow_headers.some((name) => name.toLowerCase() === proof)) {
    settings.warn(
      ['cors', 'allow_headers'],
      `${csrf.header} is missing: scripts of other origins cannot send unsafe requests`,
    );
  }
  return {
    allowHeaders: cors.allow_headers,
    allowMethods: cors.allow_methods,
    exposeHeaders: cors.expose_headers,
    maxAgeMs: durationMs(cors.max_age),
  };
}

/** `security_headers` compiled. */
export function compileSecurityHeaders({ csp, hsts }: Settings['security_headers']): Config['securityHeaders'] {
  const strict = hsts === 'none' ? undefined : hsts;
  const compiled = strict && { maxAgeMs: durationMs(strict.max_age), includeSubdomains: strict.include_subdomains };
  return { hsts: compiled, csp };
}

/** `limits` compiled. */
export function compileLimits({ settings }: CompileContext): Config['limits'] | undefined {
  const { limits } = settings.sections;
  if (limits === undefined) return undefined;
  const [headerBytes, targetBytes] = [sizeBytes(limits.header_bytes), sizeBytes(limits.target_bytes)];
  if (targetBytes > headerBytes) {
    settings.fail(
      ['limits', 'target_bytes'],
      '{value} is larger than limits.header_bytes',
      'a smaller size',
      'reduce it',
    );
  }
  return {
    headerBytes,
    targetBytes,
    bodyBytes: sizeBytes(limits.body_bytes),
    connections: limits.connections,
    requestsInFlight: limits.requests_in_flight,
    pendingStoreReads: limits.pending_store_reads,
    webSocketsPerSession: limits.websockets_per_session,
  };
}

/** `shutdown` compiled. */
export function compileShutdown(shutdown: Settings['shutdown']): Config['shutdown'] {
  return { unreadyMs: durationMs(shutdown.unready), drainMs: durationMs(shutdown.drain) };
}

/** `log` compiled. */
export function compileLog(log: Settings['log']): Config['log'] {
  return { level: log.level, access: log.access === 'all' ? 'all' : 'none', deniedPerSecond: log.denied_per_second };
}
