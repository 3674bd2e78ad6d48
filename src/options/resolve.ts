// From what people write to the options of a command: names in any case, ours, Hugging Face's and those of other tools;
// and a file below script values below flags, merged into what is in force.
import { nearestName } from '../util/text.js';
import { UsageError, expected } from '../util/errors.js';
import type { Command } from './commands.js';
import { foreignNames, foreignOption, type Foreign } from './hf-arguments.js';
import type { Kind } from './kinds.js';
import { camelCase, kebabCase, snakeCase, type Option } from './option.js';
import { fileEntries, flagEntries, valueEntries, type ConfigFile, type Entry } from './sources.js';
import { options, type OptionName } from './table.js';

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
  const own = otherName[command.name]?.[name] ?? (isOptionName(name) ? name : byHfName.get(name));
  const foreign = foreignOption(name);
  // Of a name that is ours for other commands only, this says what it means here.
  if (own !== undefined && (foreign === undefined || Object.hasOwn(command.options, own)))
    return { own: checkTaken(own, entry, command) };
  if (foreign !== undefined) return { foreign };
  throw new UsageError(`${entry.at}unknown option ${entry.name}${suggestion(entry, command)}`);
}

/**
 * What one entry sets, and a note when it is not simply what was written.
 *
 * @throws UsageError as `understand`, and for a foreign option that cannot be honoured
 */
function resolveEntry(entry: Entry, command: Command): { given?: Given; note?: string } {
  const { own, foreign } = understand(entry, command);
  if (own !== undefined) return { given: { name: own, entry, value: read(entry, kindOf(own)) } };

  const value = read(entry, kindOf(foreign.renames ?? 'resumeFromCheckpoint'));
  const meaning = translate(foreign, value, entry);
  if (!meaning.option)
    return meaning.note ? { note: `${entry.at}${entry.name} ${withNames(meaning.note, entry)}` } : {};
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
      const { hf }: Option = options[name];
      return hf === undefined ? [] : [[camelCase(hf), name] as const];
    }),
);

function kindOf(name: OptionName): Kind<unknown> {
  return options[name].kind;
}

/** Whether the name, in camelCase, is one of the option table. */
export function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(options, name);
}

/** What has the name of an option that means something else to the other commands: transformers.js' dtype is that of a file. */
const otherName: Partial<Record<Command['name'], Partial<Record<string, OptionName>>>> = {
  export: { dtype: 'dtypes' },
};

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
  export: {
    testFile: 'validationFile',
    trainFile: 'validationFile',
    testSplit: 'validationSplit',
    trainSplit: 'validationSplit',
  },
  init: { testFile: 'validationFile', testSplit: 'validationSplit', outputFile: 'configFile' },
  report: { model: 'runs', outputDir: 'runs' },
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
  const inScripts: Partial<Record<Command['name'], string>> = {
    trainer: 'a Trainer',
    scoring: 'evaluate() and predict()',
    classifier: 'createClassifier()',
  };
  return inScripts[name] ?? `\`bertune ${name}\``;
}

/** A flag's text as a value. A foreign flag that is no rename is read as a truth value where it is one. */
function read({ value, isText }: Entry, kind: Kind<unknown>): unknown {
  const readOne = (item: unknown): unknown => (typeof item === 'string' ? kind.fromText(item) : item);
  if (!isText) return value;
  return Array.isArray(value) ? value.map(readOne) : readOne(value);
}

function translate(foreign: Foreign, value: unknown, entry: Entry): ReturnType<Foreign['read']> {
  try {
    return foreign.read(value, entry.name);
  } catch (error) {
    if (error instanceof UsageError)
      throw new UsageError(`${entry.valueAt}${withNames(error.message, entry)}`, { cause: error });
    throw error;
  }
}

/** The table of foreign names writes options as `{learningRate}`. */
function withNames(text: string, entry: Entry): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) =>
    isOptionName(name) ? spelledLike(entry, name) : whole,
  );
}

function suggestion(entry: Pick<Entry, 'written' | 'isText'>, command: Command): string {
  const known = [...Object.keys(command.options), ...foreignNames()];
  const name = camelCase(entry.written);
  // The start of a name is often all that is remembered: --train for --train-file.
  const begun = Object.keys(command.options).filter(
    (own) => own.startsWith(name) && /[A-Z]/.test(own.charAt(name.length)),
  );
  // What another command calls its rows has a name of its own here.
  const rows = `${name}File`;
  const meant = isOptionName(rows) ? takenInstead[command.name]?.[rows] : undefined;
  const nearest = begun.find((own) => own === `${name}File`) ?? meant ?? nearestName(name, known) ?? begun[0];
  if (nearest !== undefined) return ` (did you mean ${spelledLike(entry, nearest)}?)`;
  const isScript = ['trainer', 'scoring', 'classifier'].includes(command.name);
  return isScript ? '' : `; \`bertune ${command.name} --help\` lists the options`;
}

/** What is wrong with a value that its kind rejects, at its place. */
export function valueFaults({ name, entry, value }: Given): string[] {
  const { what, faults } = kindOf(name);
  const parts = faults?.(value, entry.name) ?? [];
  // As of a variable of the shell that is not set.
  const isEmpty = Array.isArray(value) && value.includes('');
  const messages = parts.length > 0 ? parts : [expected(what, entry.name, isEmpty ? '' : value).message];
  return messages.map((message) => entry.valueAt + message);
}

/** Where options come from. Flags win over values, values over the file. */
export interface OptionSources {
  readonly file?: ConfigFile;
  /** By names as written in the file: what takes the place of its values in one trial of a search. */
  readonly trial?: Readonly<Record<string, unknown>>;
  /** Given by a script, as values: `{ learningRate: 2e-5 }`. Names in any case, as everywhere. */
  readonly values?: Readonly<Record<string, unknown>>;
  /** Given on the command line, as text: `{ learningRate: '2e-5', trainFile: ['a.csv'], verbose: true }`. */
  readonly flags?: Readonly<Record<string, unknown>>;
}

/** What is in force of each option, not yet checked, and remarks about single entries. */
export interface Merged {
  readonly given: Map<OptionName, Given>;
  readonly notes: string[];
  /** Collected, so that one run shows them all. */
  readonly problems: string[];
}

/**
 * Merges the layers.
 *
 * @throws UsageError when the file is not JSON or YAML
 */
export function mergeSources(command: Command, sources: OptionSources): Merged {
  const merged: Merged = { given: new Map(), notes: [], problems: [] };
  if (sources.file) addLayer(merged, trialEntries(fileEntries(sources.file), sources.trial), command);
  if (sources.values) addLayer(merged, valueEntries(sources.values), command);
  if (sources.flags) addLayer(merged, flagEntries(sources.flags), command);
  return merged;
}

function trialEntries(entries: readonly Entry[], trial: OptionSources['trial'] = {}): Entry[] {
  return entries.map((entry) =>
    Object.hasOwn(trial, entry.written) ? { ...entry, value: trial[entry.written] } : entry,
  );
}

function addLayer(merged: Merged, entries: readonly Entry[], command: Command): void {
  const layer = new Map<OptionName, Given>();
  for (const entry of entries) {
    try {
      const { given, note } = resolveEntry(entry, command);
      if (note !== undefined) merged.notes.push(note);
      if (!given) continue;
      const other = layer.get(given.name)?.entry.name;
      if (other)
        merged.problems.push(`${entry.at}${other} and ${entry.name} set the same option; keep one of them`);
      layer.set(given.name, given);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      merged.problems.push(error.message);
    }
  }
  merged.notes.push(...dropRivals(merged.given, layer));
  for (const [name, given] of layer) merged.given.set(name, given);
}

/** Options that take the place of others: `--model` on the command line replaces the `config` of the file. */
const rivals: Partial<Record<OptionName, readonly OptionName[]>> = {
  model: ['config', 'tokenizer', 'modelRevision'],
  config: ['model', 'modelRevision'],
  trainFile: ['dataset', 'datasetConfig', 'trainSplit', 'validationSplit'],
  dataset: ['trainFile', 'validationFile', 'datasetConfig', 'trainSplit', 'validationSplit'],
};

function dropRivals(lower: Map<OptionName, Given>, layer: ReadonlyMap<OptionName, Given>): string[] {
  const notes: string[] = [];
  for (const { name, entry } of layer.values()) {
    for (const rival of rivals[name] ?? []) {
      const dropped = lower.get(rival);
      if (!dropped || layer.has(rival)) continue;
      lower.delete(rival);
      notes.push(`${dropped.entry.at}${dropped.entry.name} is left out, since ${entry.name} replaces it`);
    }
  }
  return notes;
}
