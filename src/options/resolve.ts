// From names as people write them to the options of a command: our names, Hugging Face's, and those of other tools.
import { nearestName } from '../util/nearest.js';
import { UsageError, expected } from '../util/errors.js';
import type { Command } from './commands.js';
import type { Entry } from './entries.js';
import { foreignNames, foreignOption, type Foreign } from './foreign.js';
import { camelCase, kebabCase, snakeCase } from './names.js';
import { factsOf, type Facts } from './option.js';
import { options, type OptionName } from './options.js';

/** An option with the value that it was given, and where. */
export interface Given {
  readonly name: OptionName;
  readonly entry: Entry;
  readonly value: unknown;
}

/** What a name stands for: an option of ours, or one of another tool. */
export type Understood =
  | { readonly own: OptionName; readonly foreign?: never }
  | { readonly own?: never; readonly foreign: Foreign };

/**
 * Looks a name up, in any case, among ours, Hugging Face's and other tools'.
 *
 * @throws UsageError for an unknown name, with the nearest known one, and for an option of another command
 */
export function understand(
  entry: Pick<Entry, 'written' | 'name' | 'at' | 'isText'>,
  command: Command,
): Understood {
  const name = camelCase(entry.written);
  const own = isOptionName(name) ? name : byHfName.get(name);
  if (own !== undefined) return { own: checkTaken(own, entry, command) };
  const foreign = foreignOption(name);
  if (foreign !== undefined) return { foreign };
  throw new UsageError(`${entry.at}unknown option ${entry.name}${suggestion(entry, command)}`);
}

/**
 * What one entry sets, and a note when it is not simply what was written.
 *
 * @throws UsageError as `understand`, and for a foreign option that cannot be honoured
 */
export function resolveEntry(entry: Entry, command: Command): { given?: Given; note?: string } {
  const { own, foreign } = understand(entry, command);
  if (own !== undefined) return { given: { name: own, entry, value: read(entry, kindOf(own)) } };

  const value = read(entry, kindOf(foreign.renames ?? 'resumeFromCheckpoint'));
  const meaning = translate(foreign, value, entry);
  if (!meaning.option) return meaning.note ? { note: `${entry.at}${entry.name} ${meaning.note}` } : {};
  const name = spelledLike(entry, checkTaken(meaning.option, entry, command));
  const note =
    meaning.value === value ? `is called ${name} here` : `is written ${name} ${String(meaning.value)} here`;
  return {
    given: { name: meaning.option, entry, value: meaning.value },
    note: `${entry.at}${entry.name} ${note}`,
  };
}

/** An option's name in the style of another one that stands beside it. */
export function spelledLike(entry: Pick<Entry, 'written' | 'isText'>, name: string): string {
  if (entry.isText) return `--${kebabCase(name)}`;
  if (entry.written.includes('_')) return snakeCase(name);
  return entry.written.includes('-') ? kebabCase(name) : name;
}

const byHfName = new Map<string, OptionName>(
  Object.keys(options)
    .filter(isOptionName)
    .flatMap((name) => {
      const { hf } = factsOf(options[name]);
      return hf === undefined ? [] : [[camelCase(hf), name] as const];
    }),
);

function kindOf(name: OptionName): Facts['kind'] {
  return factsOf(options[name]).kind;
}

/** Whether the name, in camelCase, is one of the option table. */
export function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(options, name);
}

/** Each command has one name for the rows that it reads; people try those of the others. */
const takenInstead: Partial<Record<Command['name'], Partial<Record<OptionName, OptionName>>>> = {
  train: { testFile: 'validationFile', testSplit: 'validationSplit' },
  search: {
    testFile: 'validationFile',
    testSplit: 'validationSplit',
    crossValidation: 'validationSplit',
  },
  evaluate: {
    testFile: 'validationFile',
    trainFile: 'validationFile',
    testSplit: 'validationSplit',
    trainSplit: 'validationSplit',
  },
  predict: {
    validationFile: 'testFile',
    trainFile: 'testFile',
    validationSplit: 'testSplit',
    trainSplit: 'testSplit',
    outputDir: 'outputFile',
  },
  inspect: {
    testFile: 'trainFile',
    validationFile: 'trainFile',
    testSplit: 'trainSplit',
    validationSplit: 'trainSplit',
  },
};

function checkTaken(
  own: OptionName,
  entry: Pick<Entry, 'name' | 'at' | 'written' | 'isText'>,
  command: Command,
): OptionName {
  if (Object.hasOwn(command.options, own)) return own;
  const meant = takenInstead[command.name]?.[own];
  const hint = meant === undefined ? '' : `; did you mean ${spelledLike(entry, meant)}?`;
  throw new UsageError(`${entry.at}${entry.name} has no meaning for ${title(command)}${hint}`);
}

function title({ name }: Command): string {
  return name === 'trainer' ? 'a Trainer' : `\`bertune ${name}\``;
}

/** A flag's text as a value. A foreign flag that is no rename is read as a truth value where it is one. */
function read({ value, isText }: Entry, kind: Facts['kind']): unknown {
  const readOne = (item: unknown): unknown => (typeof item === 'string' ? kind.fromText(item) : item);
  if (!isText) return value;
  return Array.isArray(value) ? value.map(readOne) : readOne(value);
}

function translate(foreign: Foreign, value: unknown, entry: Entry): ReturnType<Foreign['read']> {
  try {
    return foreign.read(value, entry.name);
  } catch (error) {
    if (error instanceof UsageError)
      throw new UsageError(`${entry.valueAt}${error.message}`, { cause: error });
    throw error;
  }
}

function suggestion(entry: Pick<Entry, 'written' | 'isText'>, command: Command): string {
  const known = [...Object.keys(command.options), ...foreignNames()];
  const nearest = nearestName(camelCase(entry.written), known);
  if (nearest !== undefined) return ` (did you mean ${spelledLike(entry, nearest)}?)`;
  return command.name === 'trainer' ? '' : `; \`bertune ${command.name} --help\` lists the options`;
}

/** What is wrong with a value that its kind rejects, at its place. */
export function valueFaults({ name, entry, value }: Given): string[] {
  const { what, faults } = kindOf(name);
  const parts = faults?.(value, entry.name) ?? [];
  const messages = parts.length > 0 ? parts : [expected(what, entry.name, value).message];
  return messages.map((message) => entry.valueAt + message);
}
