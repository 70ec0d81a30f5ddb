import { cookiePairs } from '../core/cookie.ts';
import {
  deriveKey,
  equalSecret,
  hmacBase64url,
  openBytes,
  randomToken,
  sealBytes,
  sealedKeyId,
} from '../core/crypto.ts';
import { createDpopKey, type DpopKey, isDpopSecret } from '../core/dpop-key.ts';
import { SallyportError } from '../core/errors.ts';
import { HELPER_COOKIES } from '../core/folded-names.ts';
import { LIMITS } from '../core/limits.ts';
import { MacKey } from '../core/mac.ts';
import { type CookieWriter, compileHelperCookie } from '../core/set-cookie.ts';
import type { FlowServices } from './flow.ts';

/** A login in progress. Lives sealed in a cookie of its own, so that a flood of logins costs the store nothing. */
export type Transaction = {
  readonly id: string;
  readonly site: string;
  readonly idp: string;
  /** Checked target of the final redirect. */
  readonly returnTo: string;
  /** When the login began, ms since the epoch. */
  readonly startedAt: number;
  /** `max_age` asked for, seconds. */
  readonly maxAgeS: number | undefined;
  /** `acr_values` asked for; one of them must come back. */
  readonly acrValues?: string | undefined;
  /** The caller asked for `prompt=none`: errors go back to it (D-25). */
  readonly silent: boolean;
  /** Tokens are to be bound to a key of this login (RFC 9449). */
  readonly dpop: boolean;
  /** Handle of the browser's session, where the answer's POST will not bring its cookie (D-24). */
  readonly previous?: string | undefined;
  /** state, nonce, verifier and key derive from it (D-23). */
  readonly secret: string;
};

/** The values of one login that travel through the browser. */
export type TransactionValues = { readonly state: string; readonly nonce: string; readonly codeVerifier: string };

const ID_LENGTH = 8;
const STATE_PATTERN = /^([A-Za-z0-9_-]{8})\.([A-Za-z0-9_-]{43})$/;

/** Begin a transaction. */
export function beginTransaction(fields: Omit<Transaction, 'id' | 'secret'>): Transaction {
  return { ...fields, id: randomToken(6), secret: randomToken() };
}

/** state, nonce and PKCE verifier of a transaction: each an HMAC of its own label, 256 bit. */
export function transactionValues(transaction: Transaction): TransactionValues {
  const key = new MacKey(Buffer.from(transaction.secret, 'base64url'));
  return {
    state: `${transaction.id}.${hmacBase64url(key, 'state')}`,
    nonce: hmacBase64url(key, 'nonce'),
    codeVerifier: hmacBase64url(key, 'code_verifier'),
  };
}

/**
 * The key that this login's tokens are bound to; undefined where they are not. Derived like the other values, so that
 * it exists before the authorization request names it and no cookie grows by it.
 */
export function transactionDpop(transaction: Transaction): DpopKey | undefined {
  if (!transaction.dpop) return undefined;
  const key = new MacKey(Buffer.from(transaction.secret, 'base64url'));
  const first = hmacBase64url(key, 'dpop');
  return createDpopKey(isDpopSecret(first) ? first : hmacBase64url(key, 'dpop again'));
}

/** The cookie of a transaction; the browser's own name check makes `__Host-` worth having. */
export function transactionCookie(services: FlowServices, id: string): CookieWriter {
  return compileHelperCookie(HELPER_COOKIES.transaction + id, { secure: !services.config.insecureHttp });
}

/**
 * `Set-Cookie` of a new transaction. Where the provider's page will post the answer, a foreign site sends it: only
 * `SameSite=None` comes along then, which browsers take with `Secure` alone (D-24).
 */
export function setTransactionCookie(services: FlowServices, id: string, sealed: string, isPosted: boolean): string {
  const { transactionTtlMs } = services.config.login;
  const line = transactionCookie(services, id).set(sealed, transactionTtlMs);
  if (!isPosted) return line;
  return `${line.replace('; SameSite=Lax', '; SameSite=None')}${services.config.insecureHttp ? '; Secure' : ''}`;
}

/** Seal a transaction for its cookie. */
export function sealTransaction(services: FlowServices, transaction: Transaction): string {
  const { ring } = services;
  const serverKey = ring.find(ring.writerId, 'transaction');
  if (serverKey === undefined) throw new TypeError('the writing key is not in the ring');
  const { id, ...rest } = transaction;
  const plain = Buffer.from(JSON.stringify(rest), 'utf8');
  return sealBytes(deriveKey(serverKey, id), ring.writerId, plain, `transaction:${id}`).toString('base64url');
}

/** Open the sealed value of a transaction's cookie; undefined if it is damaged or foreign. */
export function openTransaction(services: FlowServices, id: string, value: string): Transaction | undefined {
  if (value.length > LIMITS.cookieMaxBytes) return undefined;
  const sealed = Buffer.from(value, 'base64url');
  const keyId = sealedKeyId(sealed);
  const serverKey = keyId === undefined ? undefined : services.ring.find(keyId, 'transaction');
  const plain = serverKey === undefined ? undefined : openBytes(deriveKey(serverKey, id), sealed, `transaction:${id}`);
  return plain === undefined ? undefined : { id, ...JSON.parse(plain.toString('utf8')) };
}

/**
 * The transaction that a callback's `state` names and this browser holds.
 * @throws callback_invalid for a malformed state, transaction_missing without the cookie or for a wrong state,
 * transaction_expired past its life, with the way to the same page by another sign-in at `site`.
 */
export function findTransaction(
  services: FlowServices,
  cookieHeader: string,
  state: string | undefined,
  site: SignInSite,
): Transaction {
  if (state === undefined || state.length > LIMITS.stateMaxChars) {
    throw new SallyportError('callback_invalid', { detail: 'state missing or too long' });
  }
  const id = STATE_PATTERN.exec(state)?.[1];
  if (id === undefined) throw new SallyportError('transaction_missing', { detail: 'state is not one of ours' });
  const { name } = transactionCookie(services, id);
  const values = new Set(
    cookiePairs(cookieHeader)
      .filter((pair) => pair[0] === name)
      .map((pair) => pair[1]),
  );
  const [value] = values;
  if (value === undefined || values.size > 1) {
    throw new SallyportError('transaction_missing', { detail: values.size > 1 ? 'conflicting cookies' : 'no cookie' });
  }
  const transaction = openTransaction(services, id, value);
  if (transaction === undefined || !equalSecret(transactionValues(transaction).state, state)) {
    throw new SallyportError('transaction_missing', { detail: 'cookie and state do not belong together' });
  }
  if (services.clock.now() - transaction.startedAt >= services.config.login.transactionTtlMs) {
    throw new SallyportError('transaction_expired', { loginUrl: loginUrlOf(transaction, site) });
  }
  return transaction;
}

/** The site that an answer came to. */
export type SignInSite = { readonly site: { readonly name: string }; readonly loginUrl: string };

/** Where the same sign-in begins anew; the page that was wanted is kept if it is one of this site. */
export function loginUrlOf({ site: begunAt, returnTo }: Transaction, { site, loginUrl }: SignInSite): string {
  return begunAt === site.name ? `${loginUrl}?return_to=${encodeURIComponent(returnTo)}` : loginUrl;
}

/**
 * `Set-Cookie` values that make room for one more transaction: at most `login.max_concurrent` and 4 KiB together, the
 * oldest ended first; cookies that do not open go too (D-23).
 * @param added length of the new cookie's value.
 */
export function expireOldTransactions(services: FlowServices, cookieHeader: string, added: number): readonly string[] {
  const prefix = transactionCookie(services, '').name;
  const expired: string[] = [];
  const live: { readonly id: string; readonly size: number; readonly startedAt: number }[] = [];
  for (const [name, value] of cookiePairs(cookieHeader)) {
    if (!name.startsWith(prefix) || name.length !== prefix.length + ID_LENGTH) continue;
    const id = name.slice(prefix.length);
    if (!/^[A-Za-z0-9_-]+$/.test(id)) continue;
    const transaction = openTransaction(services, id, value);
    const age = transaction === undefined ? Number.POSITIVE_INFINITY : services.clock.now() - transaction.startedAt;
    if (transaction === undefined || age >= services.config.login.transactionTtlMs) {
      expired.push(...transactionCookie(services, id).expire);
    } else {
      live.push({ id, size: value.length, startedAt: transaction.startedAt });
    }
  }
  live.sort((a, b) => b.startedAt - a.startedAt);
  let size = added;
  for (const [index, { id, size: own }] of live.entries()) {
    size += own;
    const fits = index + 1 < services.config.login.maxConcurrent && size <= LIMITS.transactionCookiesMaxBytes;
    if (!fits) expired.push(...transactionCookie(services, id).expire);
  }
  return expired;
}
