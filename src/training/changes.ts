// Settings that a resumed run may change on purpose. They decide its bits all the same, so that a change is told.
import type { BertForSequenceClassification } from '../bert.js';
import type { TrainingArguments } from '../config/index.js';
import type { RunPlan } from './settings.js';

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

/** The settings of a run whose model is open. */
export function changeableSettings(
  args: TrainingArguments,
  { evalSteps }: RunPlan,
  { placement }: BertForSequenceClassification,
): ChangeableSettings {
  return {
    ...Object.fromEntries(NAMES.map((name) => [name, args[name]])),
    ...(args.evalStrategy === 'steps' && { evalSteps }),
    placement: placement.replace(/ \(.*/s, ''), // without the reason for it
  };
}

/** Each setting that differs, e.g. `learningRate was 0.002 and is now 0.001`. */
export function changesOf(before: ChangeableSettings, now: ChangeableSettings): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]))
    .map((name) => `${name} was ${shown(before[name])} and is now ${shown(now[name])}`);
}

function shown(value: unknown): string {
  return value === undefined ? 'not given' : JSON.stringify(value);
}
