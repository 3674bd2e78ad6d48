// What is known of a trained model when its card is written, and nothing else: what is not known is left out of the card.
import type { TaskDescription } from '../tasks/index.js';
import { UNPRINTABLE } from '../hub/repo.js';
import { oneLine } from '../util/text.js';

/** What a model was made from: an id of the hub, or a folder, of which the path is nobody's business. */
export type Base = { readonly id: string } | 'folder' | 'random weights';

/** Rows that a model was trained or evaluated on. */
export interface DataSource {
  /** What people call it: the id of a data set, or the names of files. */
  readonly name: string;
  /** Of the hub; null for files. */
  readonly id: string | null;
  readonly config?: string | undefined;
  readonly split?: string | undefined;
  /** The share that was set aside from these rows. */
  readonly share?: number | undefined;
}

/** What a model card is made of. */
export interface ModelFacts {
  /** Of the folder. */
  readonly name: string;
  /** The class of transformers, e.g. `BertForSequenceClassification`. */
  readonly className: string;
  readonly task: TaskDescription;
  readonly base: Base;
  readonly isAdapter: boolean;
  readonly readsPairs: boolean;
  /** Tokens to which inputs were cut. */
  readonly maxLength: number;
  readonly trainedOn: DataSource | null;
  /** The metrics of the saved weights by their names with `eval_`, and on what. */
  readonly evaluation: {
    readonly on: DataSource | null;
    readonly metrics: Readonly<Record<string, number>>;
  } | null;
  /** Options that differ from their defaults, in snake_case; null where the training is not known. */
  readonly settings: Readonly<Record<string, unknown>> | null;
  /** Of programs, by their names. */
  readonly versions: Readonly<Record<string, string>>;
  readonly languages: readonly string[];
  readonly license: string | null;
  /** Whether the folder has an ONNX export. */
  readonly hasOnnx: boolean;
}

/** Figures of an evaluation that say nothing of the model. */
const NOT_OF_THE_MODEL = /^(?:runtime|samples|epoch|step)$|_per_second$/;

/** The metrics of an evaluation by their own names, without `eval_`; what was not defined is NaN. */
export function ownMetrics(metrics: Readonly<Record<string, number>>): [name: string, value: number][] {
  return Object.entries(metrics)
    .map(([name, value]) => [name.replace(/^eval_/, ''), value] as const)
    .filter(([name]) => !NOT_OF_THE_MODEL.test(name))
    .map(([name, value]) => [name, value]);
}

const EVERY_UNPRINTABLE = new RegExp(`${UNPRINTABLE.source}|[\\uFFFE\\uFFFF]`, 'gu');

/** Names of files, folders and labels in one line, without what turns or ends lines, and what no YAML reader takes. */
export function cleaned(text: string, most = 200): string {
  return oneLine(text, most).replaceAll(EVERY_UNPRINTABLE, '?');
}
