// What one option is: its kind of value, and all that it states about itself. And how its name is written in each place:
// camelCase in TypeScript, kebab-case as a flag, any of three in a file.
import { UsageError } from '../util/errors.js';
import type { Kind } from './kinds.js';

/** The headings of the help, in its order. */
export const groups = [
  'Model',
  'Data',
  'Training',
  'Evaluation',
  'Saving and logging',
  'Device',
  'Export',
  'Search',
  'Serving',
] as const;
export type Group = (typeof groups)[number];

/**
 * The commands of the command line, and for scripts `trainer` (a Trainer), `scoring` (`evaluate()` and `predict()`) and
 * `classifier` (`createClassifier()`).
 */
export type CommandName =
  | 'train'
  | 'trainer'
  | 'evaluate'
  | 'predict'
  | 'scoring'
  | 'search'
  | 'inspect'
  | 'init'
  | 'merge'
  | 'export'
  | 'push'
  | 'serve'
  | 'classifier'
  | 'report';

/**
 * What an option is to a run that is resumed with another value of it. `must-match`: it decides which batches, masks and
 * weights there are, by itself or through the rows, the labels and the model that it leads to, so that the run is
 * refused. `may-change`: it decides the result too, but people change it on purpose, so that a note names the change.
 * `irrelevant`: the result is the same, or no run can be resumed that has it.
 */
export type ResumeRole = 'must-match' | 'may-change' | 'irrelevant';

/** What each option states about itself beside its kind. */
export interface Meta {
  /** The commands that take it. */
  readonly commands: readonly CommandName[];
  readonly onResume: ResumeRole;
  /**
   * Whether it decides what of the data a model reads: `train` saves its value in the model's folder, and `evaluate` and
   * `predict`, which have no default of it, take it from there (see reading.ts).
   */
  readonly reading?: boolean;
  /** One phrase, no full stop. */
  readonly help: string;
  /** The phrase for commands to which it means something else. */
  readonly helpOf?: Readonly<Partial<Record<CommandName, string>>>;
  /** In the help in place of a default, when that is found at run time. */
  readonly otherwise?: string;
  /** Hugging Face's name, where it is not simply ours in snake_case. */
  readonly hf?: string;
}

/** An option before it is put into a group. */
export interface Ungrouped<T = unknown> extends Meta {
  readonly kind: Kind<T>;
  readonly fallback?: T;
  /** The commands for which it always has a value: all where it has a default, else those that need it. */
  readonly neededBy: readonly CommandName[];
}

/** An option of the table. */
export interface Option<T = unknown> extends Ungrouped<T> {
  readonly group: Group;
}

/** Options under one heading of the help. */
export function inGroup<T extends Record<string, Ungrouped>>(
  group: Group,
  options: T,
): { [K in keyof T]: T[K] & { readonly group: Group } } {
  const entries = Object.entries(options).map(([name, option]) => [name, { ...option, group }]);
  // The compiler does not follow that the names are those of `options`.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return Object.fromEntries(entries) as { [K in keyof T]: T[K] & { readonly group: Group } };
}

/** The commands that work with a trained model. */
export const scoring = ['evaluate', 'predict'] as const;
/** Those whose work several processes share. */
export const together: readonly CommandName[] = ['train', ...scoring];
/** Those that give answers of one. */
export const answering = [...scoring, 'serve'] as const;
/** Those that train, and those that also have a Trainer in a script, which has its model and data already. */
export const training = ['train', 'search'] as const;
export const trainers = [...training, 'trainer'] as const;
/** Those whose rows are for comparing with what a model predicts. */
export const evaluators = ['evaluate', 'export'] as const;
export const readers = [...training, ...scoring, 'inspect', 'export'] as const;
/** Those that load a model or its tokenizer. */
export const loaders = [...readers, 'init', 'merge', 'serve'] as const;
export const everywhere = [...loaders, 'push', 'report'] as const;

/** An option that always has a value; one of `reading` has none where the model's folder is asked first. */
export function withDefault<T>(kind: Kind<T>, fallback: T, meta: Meta): Ungrouped<T> {
  const neededBy = meta.commands.filter((name) => meta.reading !== true || !isScoring(name));
  return { ...meta, kind, fallback, neededBy };
}

function isScoring(name: CommandName): boolean {
  return [...scoring, ...evaluators].some((own) => own === name);
}

/** An option that may be missing, but for the commands that need it. */
export function optional<T>(
  kind: Kind<T>,
  meta: Meta & { readonly neededBy?: readonly CommandName[] },
): Ungrouped<T> {
  return { ...meta, kind, neededBy: meta.neededBy ?? [] };
}

/** What is wrong with options, named as the person wrote them. */
export class OptionsError extends UsageError {}

/** `learning-rate`, `learning_rate`, `learningRate` and `LEARNING_RATE` all become `learningRate`. */
export function camelCase(name: string): string {
  const parts = name.split(/[-_]+/).filter((part) => part !== '');
  const words = parts.map((part) => (part === part.toUpperCase() ? part.toLowerCase() : part));
  return words.map((word, i) => (i === 0 ? lowerFirst(word) : upperFirst(word))).join('');
}

/** The flag without its dashes: `learningRate` becomes `learning-rate`, `adamBeta1` becomes `adam-beta1`. */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** HF's spelling: `learningRate` becomes `learning_rate`. */
export function snakeCase(name: string): string {
  return kebabCase(name).replaceAll('-', '_');
}

function lowerFirst(word: string): string {
  return word.charAt(0).toLowerCase() + word.slice(1);
}

function upperFirst(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
