// Options that do not fit together. Each rule names the options as the person wrote them and says what to do.
import type {
  EvaluateOptions,
  InspectOptions,
  PredictOptions,
  TrainingArguments,
  TrainOptions,
} from '../commands.js';
import { foldsBringRows, oneSource, splitsNeedDataset, validationRows, wholeSplit } from './data.js';
import {
  bestNeedsMatchingSteps,
  bestNeedsMatchingStrategies,
  evaluationsToCompare,
  knownMetric,
  rollbackNeedsCheckpoints,
} from './evaluation.js';
import { distinctLabels, headSize, labelsOfRegression } from './labels.js';
import { lossProblems } from './loss.js';
import { loraNeedsModel, loraNeedsRank, oneModel, tokenizerOfConfig } from './model.js';
import { knownEnding, formatNeedsFile, poolingNeedsWindows } from './prediction.js';
import type { NameOf, Problem, Rule } from './rule.js';
import { schedulerRules } from './scheduler.js';

export { lossProblems } from './loss.js';
export type { NameOf, Problem } from './rule.js';

/** What is wrong with the options of a training run, rule by rule; empty when they fit together. */
export function trainProblems(options: TrainOptions, name: NameOf): Problem[] {
  return apply(trainRules, options, name);
}

/** What is wrong with the options of a Trainer. */
export function trainerProblems(options: TrainingArguments, name: NameOf): Problem[] {
  return apply(trainerRules, options, name);
}

/** What is wrong with the options of an evaluation. */
export function evaluateProblems(options: EvaluateOptions, name: NameOf): Problem[] {
  const rules: Rule<EvaluateOptions>[] = [
    oneSource('validationFile'),
    wholeSplit,
    splitsNeedDataset,
    poolingNeedsWindows,
  ];
  return apply(rules, options, name);
}

/** What is wrong with the options of an inspection. */
export function inspectProblems(options: InspectOptions, name: NameOf): Problem[] {
  return apply<InspectOptions>([oneSource('trainFile'), splitsNeedDataset], options, name);
}

/** What is wrong with the options of a prediction. */
export function predictProblems(options: PredictOptions, name: NameOf): Problem[] {
  const rules: Rule<PredictOptions>[] = [
    oneSource('testFile'),
    splitsNeedDataset,
    poolingNeedsWindows,
    knownEnding,
    formatNeedsFile,
  ];
  return apply(rules, options, name);
}

/** Of the options that a Trainer takes as well. What it calls its metrics is known only to itself. */
const trainerRules: readonly Rule<TrainingArguments>[] = [
  firstLossProblem,
  ...schedulerRules,
  momentumNeedsSgd,
  evaluationsToCompare,
  bestNeedsMatchingStrategies,
  bestNeedsMatchingSteps,
  rollbackNeedsCheckpoints,
];

const trainRules: Rule<TrainOptions>[] = [
  oneModel,
  tokenizerOfConfig,
  oneSource('trainFile'),
  splitsNeedDataset,
  foldsBringRows,
  validationRows,
  headSize,
  distinctLabels,
  labelsOfRegression,
  knownMetric,
  loraNeedsRank,
  loraNeedsModel,
  ...trainerRules,
];

function firstLossProblem(o: TrainingArguments, name: NameOf): Problem | undefined {
  return lossProblems(o, name)[0];
}

function apply<T>(rules: readonly Rule<T>[], options: T, name: NameOf): Problem[] {
  return rules.flatMap((rule) => rule(options, name) ?? []);
}

function momentumNeedsSgd(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (o.momentum === 0 || o.optim === 'sgd') return undefined;
  const message = `${name('momentum')} needs ${name('optim')} sgd; ${o.optim} has none`;
  return { about: 'momentum', message };
}
