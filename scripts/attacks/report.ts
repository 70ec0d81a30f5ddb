import type { AttackCase, Tier } from './cases.ts';

/**
 * What became of a case. `unchecked` = nothing failed, but the case holds an expectation that the runner does not
 * know, so it is no pass. `skipped` = a part that the case needs is missing here.
 */
export type Outcome = 'passed' | 'failed' | 'unchecked' | 'skipped';

/** The result of one case with what is needed to understand it. */
export type CaseResult = {
  readonly id: string;
  readonly family: string;
  readonly tier: Tier;
  readonly outcome: Outcome;
  /** Why it failed, was skipped or stays unchecked; one sentence each. */
  readonly reasons: readonly string[];
  /** Observations that decide nothing, e.g. a member that cannot be seen from outside. */
  readonly notes: readonly string[];
  /** What was sent and what came back, printable and bounded. */
  readonly exchanges: readonly string[];
  readonly why: string;
};

const EXCERPT_MAX_CHARS = 700;

/** Bytes or text as one printable, bounded piece: controls and non-ASCII are escaped, the middle is cut. */
function excerpt(data: Buffer | string, maxChars = EXCERPT_MAX_CHARS): string {
  const text = typeof data === 'string' ? data : data.toString('latin1');
  const shown =
    text.length <= maxChars ? text : `${text.slice(0, maxChars - 80)}…(${text.length} chars)…${text.slice(-60)}`;
  return shown.replace(/[^\x20-\x7e…]/g, escapeChar);
}

function escapeChar(char: string): string {
  if (char === '\r') return '\\r';
  if (char === '\n') return '\\n';
  const code = char.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** Collects the findings on one case while it runs. */
export class CaseLog {
  readonly failures: string[] = [];
  readonly unchecked: string[] = [];
  readonly notes: string[] = [];
  readonly exchanges: string[] = [];

  /** Record a failed expectation unless `condition` holds. */
  check(condition: boolean, failure: string): void {
    if (!condition) this.failures.push(failure);
  }

  /** Record the members of a case, or of a part of it with `prefix`, that the runner does not know. */
  noteUnknown(part: object, known: ReadonlySet<string>, prefix = ''): void {
    for (const member of Object.keys(part)) if (!known.has(member)) this.unchecked.push(`member ${prefix}${member}`);
  }

  /** Record what went over the wire, bounded. */
  sent(label: string, request: Buffer | string, answer: Buffer | string): void {
    this.exchanges.push(`${label} sent: ${excerpt(request)}`, `${label} came back: ${excerpt(answer)}`);
  }

  /** The finished result of the case. */
  finish(family: string, attack: AttackCase): CaseResult {
    const outcome = this.failures.length > 0 ? 'failed' : this.unchecked.length > 0 ? 'unchecked' : 'passed';
    const reasons = [...this.failures, ...this.unchecked.map((text) => `unchecked: ${text}`)];
    return { ...identity(family, attack), outcome, reasons, notes: this.notes, exchanges: this.exchanges };
  }
}

/** A result that was decided without sending anything. */
export function undecided(family: string, attack: AttackCase, reason: string): CaseResult {
  return { ...identity(family, attack), outcome: 'skipped', reasons: [reason], notes: [], exchanges: [] };
}

function identity(family: string, attack: AttackCase): Pick<CaseResult, 'id' | 'family' | 'tier' | 'why'> {
  return { id: attack.id, family, tier: attack.tier, why: attack.why };
}

/** True if nothing binding is open: every `must` case that ran passed. Skipped cases do not count. */
export function isGreen(results: readonly CaseResult[]): boolean {
  return !results.some(({ tier, outcome }) => tier === 'must' && (outcome === 'failed' || outcome === 'unchecked'));
}

/** The whole report as text: a table of counts, then each case that is not simply a pass. */
export function renderReport(results: readonly CaseResult[]): string {
  const lines = [renderTable(results)];
  for (const outcome of ['failed', 'unchecked', 'skipped'] as const) {
    lines.push(...renderGroup(results.filter((result) => result.outcome === outcome)));
  }
  const noted = countNotes(results);
  if (noted.length > 0) lines.push('', 'notes:', ...noted);
  const failed = results.filter(({ tier, outcome }) => tier === 'must' && outcome === 'failed').length;
  const unchecked = results.filter(({ tier, outcome }) => tier === 'must' && outcome === 'unchecked').length;
  lines.push(
    '',
    isGreen(results) ? 'every must case that ran passed' : `must cases: ${failed} failed, ${unchecked} unchecked`,
  );
  return lines.join('\n');
}

function renderTable(results: readonly CaseResult[]): string {
  const row = (cells: readonly (string | number)[]): string =>
    cells.map((cell, index) => (index < 2 ? String(cell).padEnd(18) : String(cell).padStart(9))).join(' ');
  const lines = [row(['family', 'tier', 'passed', 'failed', 'unchecked', 'skipped'])];
  for (const family of [...new Set(results.map((result) => result.family))]) {
    for (const tier of ['must', 'policy'] as const) {
      const own = results.filter((result) => result.family === family && result.tier === tier);
      if (own.length === 0) continue;
      const count = (outcome: Outcome): number => own.filter((result) => result.outcome === outcome).length;
      lines.push(row([family, tier, count('passed'), count('failed'), count('unchecked'), count('skipped')]));
    }
  }
  return lines.join('\n');
}

function renderGroup(results: readonly CaseResult[]): string[] {
  const lines: string[] = [];
  const counts = new Map<string, number>();
  for (const result of results) {
    if (result.outcome === 'skipped') {
      const key = `${result.family}: skipped (${result.reasons[0]})`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      continue;
    }
    lines.push('', `${result.outcome.toUpperCase()} ${result.id} [${result.tier}] ${excerpt(result.why)}`);
    lines.push(...[...result.reasons, ...result.notes, ...result.exchanges].map((text) => `  ${text}`));
  }
  for (const [key, count] of counts) lines.push('', `${count} x ${key}`);
  return lines;
}

function countNotes(results: readonly CaseResult[]): string[] {
  const counts = new Map<string, string[]>();
  for (const { id, outcome, notes } of results) {
    if (outcome !== 'passed') continue;
    for (const note of notes) counts.set(note, [...(counts.get(note) ?? []), id]);
  }
  return [...counts].map(
    ([note, ids]) => `  ${note}: ${ids.length} (${ids.slice(0, 12).join(' ')}${ids.length > 12 ? ' …' : ''})`,
  );
}
