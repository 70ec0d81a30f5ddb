/**
 * What may be personal in a text, told by form alone (SPEC §13). Only plain ASCII words of few characters are harmless:
 * an e-mail address, an escape, a look-alike letter or a line break is refused by the alphabet before anything is
 * searched for, so there is no spelling to hide in.
 */

/** Letters, digits and what joins words; nothing that an address, an escape, a query or the exposition needs. */
const HARMLESS = /^[A-Za-z0-9 _./:+-]{0,64}$/;
/** Five digits in a row, or seven with only separators between them: numbers of accounts, cards, telephones, days. */
const DIGITS = /\d{5}|(?:\d[ ._/:+-]*){7}/;
/** Dotted quads, with or without a port. */
const IPV4 = /(?:^|[^\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)/;
/** Two colons between hexadecimal groups: IPv6, hardware addresses. */
const IPV6 = /(?:^|[^0-9a-z])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,}/i;
/** `name at example dot com`. */
const SPELLED_ADDRESS = /\bat\b.*(?:\.|\bdot\b)\s*[a-z]{2,}/i;
/** Schemes and names of credentials. */
const CREDENTIAL = /\b(?:bearer|basic|dpop|eyj[a-z0-9]*)\b/i;

const WORD_MAX_CHARS = 20;
const MIXED_WORD_MIN_CHARS = 8;
const LONG_WORD_MIN_CHARS = 12;
const CASE_CHANGES_MAX = 5;

/** Label names whose values say who somebody is, whatever they look like; compared without punctuation and case. */
const PERSONAL_NAMES = new Set(
  (
    'user username userid uid login account accountid customer customerid fullname firstname lastname email mail ' +
    'phone telephone mobile ip ipaddress clientip address street city birthday ssn iban card token accesstoken idtoken ' +
    'refreshtoken jwt session sessionid sid cookie password secret apikey authorization query querystring search referrer ' +
    'referer'
  ).split(' '),
);

/** True if a text may hold an address, a token, a long number or an escape: it must appear nowhere. */
export function isPersonal(text: string): boolean {
  if (!HARMLESS.test(text)) return true;
  if ([DIGITS, IPV4, IPV6, SPELLED_ADDRESS, CREDENTIAL].some((form) => form.test(text))) return true;
  return text.split(/[ ._/:+-]/).some(isTokenLike);
}

/** True if the values of this label are personal by its name. */
export function isPersonalName(name: string): boolean {
  return PERSONAL_NAMES.has(name.replaceAll('_', '').toLowerCase());
}

/** The path of an address without its query and fragment. */
export function withoutQuery(text: string): string {
  const end = text.search(/[?#]/);
  return end === -1 ? text : text.slice(0, end);
}

/** Words have few digits and few changes of case; random text has many. */
function isTokenLike(word: string): boolean {
  if (word.length > WORD_MAX_CHARS) return true;
  const digits = word.replace(/\D/g, '').length;
  if (word.length >= MIXED_WORD_MIN_CHARS && digits >= 2 && digits < word.length) return true;
  if (word.length < LONG_WORD_MIN_CHARS) return false;
  const changes = word.match(/[a-z](?=[A-Z])|[A-Z](?=[A-Z]*[a-z])/g)?.length ?? 0;
  return changes > CASE_CHANGES_MAX;
}
