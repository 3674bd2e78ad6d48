// The metadata of a model card, as huggingface_hub's ModelCardData has them and transformers' Trainer.create_model_card writes
// them: what the hub shows and searches for.
import type { JsonObject } from '../util/json.js';
import { cleaned, ownMetrics, type DataSource, type ModelFacts } from './facts.js';

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
  ['matthews_correlation', { type: 'matthews_correlation' }],
  ['roc_auc', { type: 'roc_auc' }],
  ['mse', { type: 'mse' }],
  ['rmse', { type: 'mse', args: { squared: false } }],
  ['mae', { type: 'mae' }],
  ['r2', { type: 'r_squared' }],
  ['pearson', { type: 'pearsonr' }],
  ['spearman', { type: 'spearmanr' }],
]);

/** The task of all that bertune trains, pairs, several labels and regression included. */
const TASK = { type: 'text-classification', name: 'Text Classification' } as const;

/** The metadata by the hub's names; what is not known has no key. */
export function metadataOf(facts: ModelFacts): JsonObject {
  const { base, isAdapter, languages, license, trainedOn, evaluation } = facts;
  const measured = evaluation === null ? [] : hubMetrics(evaluation.metrics);
  const datasets = [trainedOn?.id, evaluation?.on?.id].filter((id) => typeof id === 'string');
  const results = evaluation === null || measured.length === 0 ? [] : [resultOf(evaluation.on, measured)];
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
    pipeline_tag: TASK.type,
    'model-index': results.length === 0 ? undefined : [{ name: cleaned(facts.name), results }],
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
function resultOf(on: DataSource | null, metrics: readonly JsonObject[]): JsonObject {
  const dataset = {
    name: on === null ? 'unknown' : cleaned(on.name),
    type: on?.id ?? 'unknown',
    ...(on?.config !== undefined && { config: cleaned(on.config) }),
    ...(on?.split !== undefined && { split: cleaned(on.split) }),
  };
  return { task: TASK, dataset, metrics };
}
