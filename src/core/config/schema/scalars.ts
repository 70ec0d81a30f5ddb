import * as z from 'zod';
import { say } from '../problem.ts';
import { parseDurationMs, parseSizeBytes } from './units.ts';

/** What the tools know of a key besides its zod type: messages, manual and editor schema are made of it. */
export type KeyInfo = {
  /** One line for the manual. */
  readonly meaning: string;
  /** Ends the sentence "expected …". */
  readonly expected: string;
  /** Word for the type column of the manual. */
  readonly type: string;
  /** The value is never printed. */
  readonly secret?: true;
  /** A list that may also be given as one string with this separator. */
  readonly separator?: 'comma' | 'blank';
  /** Pattern of the names of a record's keys. */
  readonly names?: string;
  /** Those names in words. */
  readonly namesExpected?: string;
  /** Keys of other products, the key that replaces them, and the sentence to print. */
  readonly former?: {
    readonly keys: readonly string[];
    readonly replacement: string;
    readonly sentence: (shown: (key: string) => string | undefined) => string;
  };
};

// Schemas are used at a start and at a reload: code generated for each of them costs more than it saves.
z.config({ jitless: true });

/** Knowledge about every schema of the configuration. */
export const keyInfo = z.registry<KeyInfo>();

/** Names of sites, providers, services, profiles and policies. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

type Issue = { readonly input?: unknown };

type TextOptions = {
  readonly expected?: string;
  readonly fix?: string;
  readonly secret?: true;
  readonly maxChars?: number;
};

/**
 * Text with an optional check.
 * @param check returns what is wrong ("{value} has no host"), or undefined. `{value}` is replaced by the value as it
 * may be printed.
 */
export function text(
  meaning: string,
  options: TextOptions = {},
  check?: (value: string) => string | undefined,
): z.ZodString {
  const expected = options.expected ?? 'text';
  const fix = options.fix ?? 'write it in quotes';
  const maxChars = options.maxChars ?? 2048;
  const error = (issue: Issue) => sayType(issue.input, expected, isBare(issue.input) ? 'write it in quotes' : fix);
  const schema = z.string({ error }).check((context) => {
    const problem = textProblem(context.value, maxChars) ?? check?.(context.value);
    if (problem === undefined) return;
    context.issues.push({ code: 'custom', message: say(problem, expected, fix), input: context.value });
  });
  const info = { meaning, expected, type: 'text' };
  return schema.register(keyInfo, options.secret ? { ...info, secret: true } : info);
}

/** A secret: never printed. */
export function secret(
  meaning: string,
  expected = 'a secret',
  fix = 'write "${NAME}" or "${file:/path}"',
  check?: (value: string) => string | undefined,
): z.ZodString {
  return text(meaning, { expected, fix, secret: true, maxChars: 16_384 }, check);
}

/** A whole number. */
export function integer(meaning: string, min: number, max: number): z.ZodNumber {
  return numeric(meaning, `a whole number from ${min} to ${max}`, min, max, Number.isSafeInteger, 'whole number');
}

/** A number with a fraction. */
export function fraction(meaning: string, min: number, max: number): z.ZodNumber {
  return numeric(meaning, `a number from ${min} to ${max}`, min, max, Number.isFinite, 'number');
}

function numeric(
  meaning: string,
  expected: string,
  min: number,
  max: number,
  isKind: (value: number) => boolean,
  type: string,
): z.ZodNumber {
  const fix = 'write the number without quotes';
  const error = (issue: Issue) => {
    return typeof issue.input === 'string'
      ? say(`{value} is not a ${type}`, expected, fix)
      : sayType(issue.input, expected, fix);
  };
  const schema = z.number({ error }).check((context) => {
    const { value } = context;
    const inRange = value >= min && value <= max;
    const problem = isKind(value) ? (inRange ? undefined : '{value} is out of range') : `{value} is not a ${type}`;
    if (problem === undefined) return;
    context.issues.push({ code: 'custom', message: say(problem, expected, 'correct the number'), input: value });
  });
  return schema.register(keyInfo, { meaning, expected, type });
}

/** true or false. */
export function flag(meaning: string): z.ZodBoolean {
  const expected = 'true or false';
  const error = (issue: Issue) => sayType(issue.input, expected, 'write true or false without quotes');
  return z.boolean({ error }).register(keyInfo, { meaning, expected, type: '`true`, `false`' });
}

/** One of a few words. */
export function choice<const Word extends string>(
  meaning: string,
  words: readonly [Word, ...Word[]],
): z.ZodEnum<{ [Key in Word]: Key }> {
  const expected = words.length === 1 ? `${words[0]}` : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
  const error = (issue: Issue) => {
    return typeof issue.input === 'string'
      ? say('{value} is not a choice', expected, 'choose one')
      : sayType(issue.input, expected, 'choose one');
  };
  const schema = z.enum(words, { error });
  return schema.register(keyInfo, { meaning, expected, type: words.map((word) => `\`${word}\``).join(', ') });
}

/** A duration such as `30s`, kept as text here; `min` and `max` in the same form. */
export function duration(meaning: string, min: string, max: string): z.ZodString {
  const fix = 'write a number and ms, s, m, h or d, such as 30s';
  return unitText(meaning, { type: 'duration', fix, parse: parseDurationMs, min, max });
}

/** A size such as `16KiB`, kept as text here; `min` and `max` in the same form. */
export function size(meaning: string, min: string, max: string): z.ZodString {
  const fix = 'write a number and B, KB, MB, GB, KiB, MiB or GiB, such as 16KiB';
  return unitText(meaning, { type: 'size', fix, parse: parseSizeBytes, min, max });
}

type Unit = {
  readonly type: 'duration' | 'size';
  readonly fix: string;
  readonly parse: (text: string) => number | undefined;
  readonly min: string;
  readonly max: string;
};

function unitText(meaning: string, unit: Unit): z.ZodString {
  const expected = `a ${unit.type} from ${unit.min} to ${unit.max}`;
  const error = (issue: Issue) => {
    return typeof issue.input === 'number'
      ? say('{value} has no unit', expected, unit.fix)
      : sayType(issue.input, expected, unit.fix);
  };
  const schema = z.string({ error }).check((context) => {
    const problem = unitProblem(context.value, unit);
    if (problem === undefined) return;
    context.issues.push({ code: 'custom', message: say(problem, expected, unit.fix), input: context.value });
  });
  return schema.register(keyInfo, { meaning, expected, type: unit.type });
}

function unitProblem(value: string, { type, parse, min, max }: Unit): string | undefined {
  const amount = parse(value);
  if (amount === undefined) return /^\d+(\.\d+)?$/.test(value) ? '{value} has no unit' : `{value} is not a ${type}`;
  return amount < (parse(min) ?? 0) || amount > (parse(max) ?? 0) ? '{value} is out of range' : undefined;
}

type ListOptions = {
  readonly separator?: 'comma' | 'blank';
  readonly min?: number;
  readonly max?: number;
  /** An item that has to be there. */
  readonly must?: string;
};

/** A list; with a separator it may also be one string. Repeated texts are refused. */
export function list<Item extends z.ZodType>(meaning: string, item: Item, options: ListOptions = {}): z.ZodArray<Item> {
  const { separator } = options;
  const type = keyInfo.get(item)?.type ?? 'map';
  const expected = separator === undefined ? 'a list' : `a list, or one text with ${separator}s between`;
  const error = (issue: Issue) => sayType(issue.input, expected, 'begin each item with "- ", or write [a, b]');
  const schema = z.array(item, { error }).check((context) => {
    const message = listProblem(context.value, options);
    if (message !== undefined) context.issues.push({ code: 'custom', message, input: context.value });
  });
  return schema.register(keyInfo, { meaning, expected, type: `list: ${type}`, ...(separator && { separator }) });
}

function listProblem(values: readonly unknown[], { min = 0, max = 1000, must }: ListOptions): string | undefined {
  const bounds = `${min} to ${max} different items`;
  if (values.length < min) return say('the list is empty', bounds, 'add an item, or remove the key');
  if (values.length > max) return say('the list is too long', bounds, 'remove items');
  const texts = values.filter((value) => typeof value === 'string');
  if (new Set(texts).size < texts.length) return say('the list repeats an item', bounds, 'remove items');
  return must === undefined || texts.includes(must)
    ? undefined
    : say(`${must} is missing`, `${must} among them`, 'add it');
}

/** A map with fixed keys. */
export function section<Shape extends z.ZodRawShape>(
  meaning: string,
  shape: Shape,
  more: Partial<KeyInfo> = {},
): z.ZodObject<Shape, z.core.$strict> {
  const schema = z.strictObject(shape, {
    error: (issue) => sayType(issue.input, 'a map', 'write keys with values below it'),
  });
  return schema.register(keyInfo, { meaning, expected: 'a map', type: 'map', ...more });
}

/** A map whose keys are names of the operator's choice. */
export function named<Value extends z.ZodType>(
  meaning: string,
  value: Value,
  names: RegExp = NAME,
  namesExpected = 'letters, digits, - and _, at most 64',
): z.ZodRecord<z.ZodString, Value> {
  const error = (issue: Issue) => sayType(issue.input, 'a map', 'write names with values below it');
  const schema = z.record(z.string(), value, { error });
  return schema.register(keyInfo, {
    meaning,
    expected: 'a map',
    type: 'map by name',
    names: names.source,
    namesExpected,
  });
}

function sayType(input: unknown, expected: string, fix: string): string {
  if (input === undefined) return say('is missing', expected, 'add the line');
  if (input === null) return say('is empty', expected, 'fill it in, or remove the line');
  const kind = Array.isArray(input)
    ? 'a list'
    : typeof input === 'object'
      ? 'a map'
      : typeof input === 'string'
        ? 'text'
        : `a ${typeof input}`;
  const shown = typeof input === 'object' ? `is ${kind}` : `{value} is ${kind}`;
  return say(shown, expected, fix);
}

/** A number or boolean where text belongs: quotes make it text. */
function isBare(input: unknown): boolean {
  return typeof input === 'number' || typeof input === 'boolean';
}

function textProblem(value: string, maxChars: number): string | undefined {
  if (value.length > maxChars) return `the text is longer than ${maxChars} characters`;
  return /[\u0000-\u0008\u000b-\u001f\u007f]/.test(value) ? 'the text has control characters' : undefined;
}
