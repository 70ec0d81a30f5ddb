import { createHash, X509Certificate } from 'node:crypto';
import { type AddressMatcher, clientAddress, parseAddress } from './address.ts';
import type { Audit } from './audit.ts';
import type { BindingSettings } from './config/types.ts';
import type { RequestContext } from './context.ts';
import { equalSecret } from './crypto.ts';
import { LIMITS } from './limits.ts';
import type { Session, Sessions } from './services.ts';
import type { Binding } from './session.ts';

/** Why a request cannot be of the browser that signed in; for the log. */
export type BindingMismatch = 'binding_absent' | 'binding_certificate' | 'binding_agent' | 'binding_address';

/** Ties sessions to what their sign-in looked like (SPEC §3, R-032). */
export type SessionBinding = {
  /** What a request looks like, for the record of a new session. */
  describe(context: RequestContext): Binding;
  /** The first thing in which a request differs. A session without a record of it, from before the setting, differs. */
  findMismatch(binding: Binding | undefined, context: RequestContext): BindingMismatch | undefined;
  /** End the session that came with such a request. @throws store_unavailable */
  end(session: Session, context: RequestContext, reason: BindingMismatch): Promise<void>;
};

/** What ending a session needs. */
export type BindingServices = {
  readonly settings: BindingSettings;
  readonly trusted: AddressMatcher;
  readonly sessions: Pick<Sessions, 'replace'>;
  readonly audit: Audit;
};

/** Equals no thumbprint, nor itself: a certificate that cannot be read is nobody's. */
const UNREADABLE = '!';

/** Compile the binding of sessions; undefined where sessions are tied to nothing: requests pay nothing then. */
export function compileSessionBinding(services: BindingServices): SessionBinding | undefined {
  const { settings, trusted, sessions, audit } = services;
  const { certificate, agent, address } = settings;
  if (!certificate && !agent && address === undefined) return undefined;
  const thumbprint = remember(thumbprintOf);
  const family = remember(agentFamily);
  const certificateOf = (context: RequestContext): string => readCertificate(context, thumbprint);
  const addressOf = (context: RequestContext): string => clientAddress(context.peer, context.forwardedFor, trusted);
  return {
    describe: (context) => ({
      ...(certificate && { certificate: certificateOf(context) }),
      ...(agent && { agent: family(context.userAgent) }),
      ...(address !== undefined && { address: addressOf(context) }),
    }),
    findMismatch(binding = {}, context) {
      if (certificate) {
        if (binding.certificate === undefined) return 'binding_absent';
        const current = certificateOf(context);
        if (current === UNREADABLE || !equalSecret(current, binding.certificate)) return 'binding_certificate';
      }
      if (agent) {
        if (binding.agent === undefined) return 'binding_absent';
        if (binding.agent !== family(context.userAgent)) return 'binding_agent';
      }
      if (address === undefined) return undefined;
      if (binding.address === undefined) return 'binding_absent';
      return isSamePrefix(binding.address, addressOf(context), address) ? undefined : 'binding_address';
    },
    async end(session, context, reason) {
      await sessions.replace(session);
      const { site, idp, principal } = session.hot;
      audit('session_binding_mismatch', {
        request_id: context.requestId,
        site,
        idp,
        issuer: principal.issuer,
        subject: principal.subject,
        session: session.publicId,
        client_ip: addressOf(context),
        reason,
      });
    },
  };
}

/** The same few browsers send the same texts again and again. */
function remember(compute: (text: string) => string): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    if (known.size >= LIMITS.bindingTextsRemembered) known.clear();
    const value = compute(text);
    known.set(text, value);
    return value;
  };
}

/** Of a trusted peer alone (D-37, R-164); the two headers must not speak of two certificates. Empty = none. */
function readCertificate(context: RequestContext, thumbprint: (text: string) => string): string {
  if (!context.trusted) return '';
  const { forwardedCertificate, clientCertificate } = context;
  const forwarded = forwardedCertificate === '' ? '' : thumbprint(forwardedCertificate);
  const standard = clientCertificate === '' ? '' : thumbprint(clientCertificate);
  if (forwarded === '' || standard === '' || forwarded === standard) return forwarded || standard;
  return UNREADABLE;
}

const PEM = /^-+BEGIN CERTIFICATE-+([\sA-Za-z0-9+/=]+)-+END CERTIFICATE-+/;

/**
 * SHA-256 of the client's own certificate. Traefik sends base64 without the PEM lines, percent-encoded, the chain behind a
 * comma; nginx a percent-encoded PEM; RFC 9440 §2.1 base64 between colons.
 */
function thumbprintOf(header: string): string {
  if (header === '-') return '';
  try {
    const text = header.startsWith(':') ? header.slice(1, -1) : decodeURIComponent(header);
    const own = PEM.exec(text.trim())?.[1] ?? text.split(',')[0] ?? '';
    const der = Buffer.from(own.replace(/\s/g, ''), 'base64');
    // A text that is no certificate at all has a digest, too.
    const { raw } = new X509Certificate(der);
    return createHash('sha256').update(raw).digest('base64url');
  } catch {
    return UNREADABLE;
  }
}

/** In this order: browsers name their ancestors too. */
const FAMILIES: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(?:e|A|iOS)?\//, 'edge'],
  [/\b(?:OPR|Opera|OPiOS)\b/, 'opera'],
  [/\bSamsungBrowser\//, 'samsung'],
  [/\b(?:Firefox|FxiOS)\//, 'firefox'],
  [/\b(?:Chrome|CriOS|Chromium|HeadlessChrome)\//, 'chrome'],
  [/\bVersion\/\S+ .*\bSafari\//, 'safari'],
];
const FAMILY_MAX_CHARS = 32;

/** Versions change while a session lives; the family does not. */
function agentFamily(userAgent: string): string {
  const known = FAMILIES.find(([pattern]) => pattern.test(userAgent));
  return known?.[1] ?? (userAgent.split(/[/ ]/)[0] ?? '').toLowerCase().slice(0, FAMILY_MAX_CHARS);
}

function isSamePrefix(a: string, b: string, { v4Bits, v6Bits }: NonNullable<BindingSettings['address']>): boolean {
  if (a === b) return true;
  const [left, right] = [parseAddress(a), parseAddress(b)];
  if (left === undefined || right === undefined) return false;
  const isV4 = a.includes('.');
  if (isV4 !== b.includes('.')) return false;
  const bits = isV4 ? 96 + v4Bits : v6Bits;
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (left[i] !== right[i]) return false;
  const rest = 8 - (bits & 7);
  return rest === 8 || (left[whole] as number) >> rest === (right[whole] as number) >> rest;
}
