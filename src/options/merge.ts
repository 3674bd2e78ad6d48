// The layers of options, a file below script values below flags, merged into what is in force.
import { UsageError } from '../util/errors.js';
import type { Command } from './commands.js';
import { flagEntries, valueEntries, type Entry } from './entries.js';
import { fileEntries, type ConfigFile } from './file.js';
import type { OptionName } from './options.js';
import { resolveEntry, type Given } from './resolve.js';

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

/** What is in force of each option, not yet checked, and what there is to say about single entries. */
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
