// Settings that a resumed run may change on purpose. They decide its bits all the same, so that a change is told.
import { difference } from '../util/difference.js';
import type { EncoderModel } from '../models/encoder-model.js';
import type { TrainingArguments } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import type { ResumePoint } from './checkpoint.js';
import type { RunPlan } from './settings.js';
import { bestMetric, wasEvaluated, type TrainerState } from './state.js';

/** By the name under which a change is told. Values are compared as JSON. */
export type ChangeableSettings = Readonly<Record<string, unknown>>;

/** Of the arguments, what decides what a step does to the weights, or what evaluations decide. */
const NAMES = [
  'learningRate',
  'lrSchedulerType',
  'lrSchedulerKwargs',
  'warmupSteps',
  'weightDecay',
  'adamBeta1',
  'adamBeta2',
  'adamEpsilon',
  'maxGradNorm',
  'nonfiniteGradient',
  'labelSmoothingFactor',
  'classWeights',
  'posWeight',
  'focalGamma',
  'freeze',
  'gradualUnfreezing',
  'layerLrDecay',
  'lrFactors',
  'tf32',
  'evalStrategy',
  'evalDelay',
  'metricForBestModel',
  'greaterIsBetter',
  'earlyStoppingPatience',
  'earlyStoppingThreshold',
] as const satisfies readonly (keyof TrainingArguments)[];

/**
 * What decides the best model as well, where there are evaluations during the training: the size of a batch changes the
 * last digits of a metric, and a state that is not saved cannot be loaded at the end.
 */
const OF_EVALUATIONS = ['perDeviceEvalBatchSize', 'loadBestModelAtEnd', 'saveStrategy', 'saveSteps'] as const;

/** What has a value in every run: where a checkpoint has none, an earlier version did not keep it. */
const ALWAYS_KNOWN: ReadonlySet<string> = new Set(['totalSteps', ...OF_EVALUATIONS]);

/** The settings of a run whose model is open. */
export function changeableSettings(
  args: TrainingArguments,
  { totalSteps, evalSteps, saveSteps }: RunPlan,
  { placement }: EncoderModel,
): ChangeableSettings {
  return {
    totalSteps,
    ...Object.fromEntries(NAMES.map((name) => [name, args[name]])),
    ...(args.evalStrategy === 'steps' && { evalSteps }),
    ...(args.evalStrategy !== 'no' && ofEvaluations(args, saveSteps)),
    placement: placement.replace(/ \(.*/s, ''), // without the reason for it
  };
}

function ofEvaluations(
  { perDeviceEvalBatchSize, loadBestModelAtEnd, saveStrategy }: TrainingArguments,
  saveSteps: number,
): Partial<Record<(typeof OF_EVALUATIONS)[number], unknown>> {
  return {
    perDeviceEvalBatchSize,
    loadBestModelAtEnd,
    saveStrategy,
    ...(saveStrategy === 'steps' && { saveSteps }),
  };
}

/** Each setting that differs, e.g. `learningRate was 0.002 and is now 0.001`. */
export function changesOf(before: ChangeableSettings, now: ChangeableSettings): string[] {
  const isKnown = (name: string): boolean => !ALWAYS_KNOWN.has(name) || (name in before && name in now);
  return [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter(isKnown)
    .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]))
    .map((name) => difference(SHOWN_AS[name] ?? name, before[name], now[name]));
}

/**
 * Of two metrics no value is better than one of the other, but what was best so far, the count of early stopping and a
 * plateau would go on from it.
 *
 * @returns whether the metric has changed, where nothing was decided by it so far
 * @throws UsageError when it has changed and something was
 */
export function hasOtherMetric(
  folder: string,
  { state, resume }: { state: TrainerState; resume: ResumePoint },
  args: TrainingArguments,
): boolean {
  const { settings } = resume;
  if (settings === undefined || !wasEvaluated(state)) return false;
  const { metricForBestModel, greaterIsBetter } = settings;
  const before = bestMetric({
    ...(typeof metricForBestModel === 'string' && { metricForBestModel }),
    ...(typeof greaterIsBetter === 'boolean' && { greaterIsBetter }),
  });
  const now = bestMetric(args);
  if (before.key === now.key && before.greaterIsBetter === now.greaterIsBetter) return false;
  if (resume.learningRate === null && !wasDecidedByMetric(settings)) return true;
  const named = ({ key, greaterIsBetter: greater }: typeof now): string =>
    `the ${greater ? 'greatest' : 'smallest'} ${key}`;
  throw new UsageError(
    `${folder} is of a run whose best model had ${named(before)}, which cannot be compared with ${named(now)}: leave ` +
      `metricForBestModel and greaterIsBetter as they were, or start anew from its weights with --model ${folder}`,
  );
}

function wasDecidedByMetric(settings: ChangeableSettings): boolean {
  const { loadBestModelAtEnd, saveStrategy, earlyStoppingPatience } = settings;
  return loadBestModelAtEnd === true || saveStrategy === 'best' || typeof earlyStoppingPatience === 'number';
}

/** In words, where several options decide it. */
const SHOWN_AS: Readonly<Record<string, string>> = { totalSteps: 'the number of steps' };
