import { writeFileSync } from 'node:fs';
import { type AttackFile, KNOWN_FAMILIES, MalformedAttacks, readAttackFolder } from './attacks/cases.ts';
import { isGreen, renderReport } from './attacks/report.ts';
import { type AttackRun, runAttacks, WorldUnavailable } from './attacks/run.ts';

const USAGE = `usage: npm run attacks -- DIR [family…] [--json FILE]
Runs the attack files of a folder against a real server on loopback.
families: ${KNOWN_FAMILIES.join(', ')}
exit: 0 every must case that ran passed, 1 one did not, 2 the files or arguments cannot be understood`;

const EXIT_NOT_GREEN = 1;
const EXIT_MALFORMED = 2;

type Arguments = {
  readonly folder: string;
  readonly families: readonly string[];
  readonly jsonFile: string | undefined;
};

process.exitCode = await main(process.argv.slice(2));
// The native core keeps no handle open after close(); a leftover of a failed case must not keep the process.
setTimeout(() => process.exit(), 2_000).unref();

async function main(argv: readonly string[]): Promise<number> {
  try {
    const given = parseArguments(argv);
    if (given === undefined) {
      process.stdout.write(`${USAGE}\n`);
      return 0;
    }
    const run = await runAttacks(selectFamilies(readAttackFolder(given.folder), given));
    process.stdout.write(`${renderReport(run.results)}\n`);
    if (given.jsonFile !== undefined) writeFileSync(given.jsonFile, renderJson(run));
    return isGreen(run.results) ? 0 : EXIT_NOT_GREEN;
  } catch (error) {
    if (!(error instanceof MalformedAttacks) && !(error instanceof WorldUnavailable)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error instanceof MalformedAttacks ? EXIT_MALFORMED : EXIT_NOT_GREEN;
  }
}

function parseArguments(argv: readonly string[]): Arguments | undefined {
  const words: string[] = [];
  let jsonFile: string | undefined;
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--help' || word === '-h') return undefined;
    if (word === '--json') {
      at += 1;
      jsonFile = argv[at];
      if (jsonFile === undefined) throw new MalformedAttacks(`--json: a file name is missing\n${USAGE}`);
    } else if (word.startsWith('-')) throw new MalformedAttacks(`${word}: unknown option\n${USAGE}`);
    else words.push(word);
  }
  const [folder, ...families] = words;
  if (folder === undefined) throw new MalformedAttacks(USAGE);
  const unknown = families.filter((family) => !KNOWN_FAMILIES.some((known) => known === family));
  if (unknown.length > 0) throw new MalformedAttacks(`unknown family: ${unknown.join(', ')}\n${USAGE}`);
  return { folder, families, jsonFile };
}

function selectFamilies(files: readonly AttackFile[], { folder, families }: Arguments): readonly AttackFile[] {
  const selected = files.filter(({ family }) => families.length === 0 || families.includes(family));
  if (selected.length === 0) throw new MalformedAttacks(`${folder}: no file of ${families.join(', ')}`);
  return selected;
}

function renderJson({ results, peers }: AttackRun): string {
  return `${JSON.stringify({ green: isGreen(results), peers, results }, undefined, 2)}\n`;
}
