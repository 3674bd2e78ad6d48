// What is known of a trained model when its card is written, and the metadata made of it, as huggingface_hub's ModelCardData has
// them and transformers' Trainer.create_model_card writes them. What is not known is left out.
import { taskKinds, type TaskDescription, type TaskName } from '../tasks/index.js';
import { UNPRINTABLE } from '../hub/repo.js';
import type { JsonObject } from '../util/json.js';
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
  /** Of the folder, or an id of the hub. */
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

/** Of an id of the hub the name without that of its owner: what cards have in their title. */
export function titleName(name: string): string {
  return cleaned(name.slice(name.lastIndexOf('/') + 1));
}

/** A metric of the hub (hf.co/metrics), and with which arguments it is ours. */
interface HubMetric {
  readonly type: string;
  readonly args?: JsonObject;
}

const averages = ['macro', 'micro', 'weighted'] as const;
const averaged = ['precision', 'recall', 'f1'] as const;

/** Ours by the hub's names; a metric that the hub has none for is in the body of the card alone. */
const HUB_METRICS: ReadonlyMap<string, HubMetric> = new Map<string, HubMetric>([
  ['accuracy', { type: 'accuracy' }],
  ['subset_accuracy', { type: 'accuracy' }],
  ...averaged.flatMap((type) =>
    averages.map((average): [string, HubMetric] => [`${type}_${average}`, { type, args: { average } }]),
  ),
  ['precision', { type: 'precision' }],
  ['recall', { type: 'recall' }],
  ['f1', { type: 'f1' }],
  ['matthews_correlation', { type: 'matthews_correlation' }],
  ['roc_auc', { type: 'roc_auc' }],
  ['mse', { type: 'mse' }],
  ['rmse', { type: 'mse', args: { squared: false } }],
  ['mae', { type: 'mae' }],
  ['r2', { type: 'r_squared' }],
  ['pearson', { type: 'pearsonr' }],
  ['spearman', { type: 'spearmanr' }],
]);

/** The hub's names of tasks; pairs, several labels and regression are text classification there too. */
const TASKS = {
  'sequence-classification': { type: 'text-classification', name: 'Text Classification' },
  'token-classification': { type: 'token-classification', name: 'Token Classification' },
  'masked-lm': { type: 'fill-mask', name: 'Fill-Mask' },
} as const satisfies Record<TaskName, object>;

/** The task of a model by the hub's name, which is also that of its pipeline. */
function hubTaskOf({ problemType }: TaskDescription): (typeof TASKS)[TaskName] {
  return TASKS[taskKinds[problemType].name];
}

/** The metadata by the hub's names; what is not known has no key. */
export function metadataOf(facts: ModelFacts): JsonObject {
  const { base, isAdapter, languages, license, trainedOn, evaluation } = facts;
  const measured = evaluation === null ? [] : hubMetrics(evaluation.metrics);
  const datasets = [trainedOn?.id, evaluation?.on?.id].filter((id) => typeof id === 'string');
  const task = hubTaskOf(facts.task);
  const results =
    evaluation === null || measured.length === 0 ? [] : [resultOf(task, evaluation.on, measured)];
  const baseId = typeof base === 'object' ? base.id : undefined;
  const entries: Record<string, unknown> = {
    library_name: isAdapter ? 'peft' : 'transformers',
    language: listOf(languages),
    license: license ?? undefined,
    base_model: baseId,
    tags: isAdapter
      ? [...(baseId === undefined ? [] : [`base_model:adapter:${baseId}`]), 'bertune', 'lora', 'transformers']
      : ['bertune'],
    datasets: listOf(datasets),
    metrics: listOf(measured.map(({ type }) => type)),
    pipeline_tag: task.type,
    'model-index': results.length === 0 ? undefined : [{ name: titleName(facts.name), results }],
  };
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined));
}

/** Each once; undefined for none. */
function listOf(values: readonly string[]): string[] | undefined {
  return values.length === 0 ? undefined : [...new Set(values)];
}

function hubMetrics(metrics: Readonly<Record<string, number>>): (JsonObject & { type: string })[] {
  return ownMetrics(metrics).flatMap(([name, value]) => {
    const metric = HUB_METRICS.get(name);
    if (metric === undefined || !Number.isFinite(value)) return [];
    return [{ type: metric.type, value, name: titleOf(name), ...(metric.args && { args: metric.args }) }];
  });
}

/** As Trainer.create_model_card names them: `f1_macro` is F1 Macro. */
function titleOf(metric: string): string {
  return metric
    .split('_')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join(' ');
}

/** One evaluation. The hub wants a type of each data set: rows of files have `unknown`, as in SetFit's cards. */
function resultOf(task: JsonObject, on: DataSource | null, metrics: readonly JsonObject[]): JsonObject {
  const dataset = {
    name: on === null ? 'unknown' : cleaned(on.name),
    type: on?.id ?? 'unknown',
    ...(on?.config !== undefined && { config: cleaned(on.config) }),
    ...(on?.split !== undefined && { split: cleaned(on.split) }),
  };
  return { task, dataset, metrics };
}
