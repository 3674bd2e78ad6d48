// The rules for the options of a Trainer: the loss, the schedule, and evaluations with what depends on them.
import {
  metricNamesOf,
  taskKinds,
  type LossOption as OptionOfLoss,
  type ProblemType,
} from '../tasks/index.js';
import { counted, nearestName } from '../util/text.js';
import type { TrainingArguments, TrainOptions } from './commands.js';
import {
  adaptiveTypes,
  defaultLrEnd,
  greedyMinLr,
  isAdaptive,
  kwargSpelledLike,
  kwargsOf,
  type SchedulerType,
} from './schedulers.js';
import { options as table, type OptionName } from './table.js';

/** An option's name as the person wrote it, e.g. `--eval-steps`. */
export type NameOf = (name: OptionName) => string;

/** What is wrong, and the option at whose place in a file the message is shown. */
export interface Problem {
  readonly about: OptionName;
  readonly message: string;
}

export type Rule<T> = (options: T, name: NameOf) => Problem | undefined;

// The loss.

type LossArguments = Pick<
  TrainingArguments,
  | 'labelSmoothingFactor'
  | 'focalGamma'
  | 'classWeights'
  | 'posWeight'
  | 'distillationTemperature'
  | 'distillationAlpha'
> & { problemType?: ProblemType; labelList?: readonly string[] };

const lossOptionNames = [
  'labelSmoothingFactor',
  'focalGamma',
  'classWeights',
  'posWeight',
  'distillationTemperature',
  'distillationAlpha',
] as const;
type LossOption = (typeof lossOptionNames)[number];

/** What the loss of a task calls each option, and why other tasks lack it. */
const meant: Readonly<Record<LossOption, { readonly known: OptionOfLoss; readonly why: string }>> = {
  labelSmoothingFactor: { known: 'labelSmoothing', why: 'it smooths classes' },
  focalGamma: { known: 'focalGamma', why: 'it weighs classes' },
  classWeights: { known: 'classWeights', why: 'it weighs classes of which a row has one' },
  posWeight: { known: 'posWeight', why: 'it weighs the labels that a row has against those that it lacks' },
  distillationTemperature: { known: 'temperature', why: 'it softens probabilities' },
  distillationAlpha: { known: 'alpha', why: 'it weighs the probabilities of a teacher against classes' },
};

/** Misfits of the loss's options, among them label weights of the wrong number, which names the labels. */
export function lossProblems(o: LossArguments, name: NameOf): Problem[] {
  const { problemType } = o;
  const misfits = lossOptionsUsed(o).filter(
    (option) =>
      problemType !== undefined && !taskKinds[problemType].lossOptions.includes(meant[option].known),
  );
  return [
    ...misfits.map((about) => ({
      about,
      message: `${name(about)} does not go with ${name('problemType')} ${problemType}: ${meant[about].why}`,
    })),
    ...exclusions(o, name),
    ...wrongCounts(o, name),
  ];
}

function lossOptionsUsed(o: LossArguments): LossOption[] {
  const used: Readonly<Record<LossOption, boolean>> = {
    labelSmoothingFactor: o.labelSmoothingFactor > 0,
    focalGamma: o.focalGamma !== undefined && o.focalGamma > 0,
    classWeights: o.classWeights !== undefined,
    posWeight: o.posWeight !== undefined,
    distillationTemperature: o.distillationTemperature !== undefined && o.distillationTemperature !== 1,
    distillationAlpha: o.distillationAlpha !== undefined && o.distillationAlpha !== 1,
  };
  return lossOptionNames.filter((option) => used[option]);
}

function exclusions(o: LossArguments, name: NameOf): Problem[] {
  const used = lossOptionsUsed(o);
  const pairs: readonly (readonly [LossOption, LossOption, string])[] = [
    ['focalGamma', 'labelSmoothingFactor', 'a focal loss has no smoothed form'],
    ['distillationTemperature', 'labelSmoothingFactor', 'the answers of a teacher are smooth already'],
    ['distillationTemperature', 'focalGamma', 'a focal loss has no softened form'],
    ['distillationAlpha', 'labelSmoothingFactor', 'the answers of a teacher are smooth already'],
    ['distillationAlpha', 'focalGamma', 'a focal loss takes no probabilities'],
    ['posWeight', 'classWeights', 'one is for several labels a row, the other for one label a row'],
  ];
  return pairs
    .filter(([a, b]) => used.includes(a) && used.includes(b))
    .map(([about, other, why]) => ({
      about,
      message: `${name(about)} and ${name(other)} exclude each other: ${why}; keep one of them`,
    }));
}

function wrongCounts({ labelList, ...o }: LossArguments, name: NameOf): Problem[] {
  if (labelList === undefined) return [];
  return (['classWeights', 'posWeight'] as const).flatMap((about) => {
    const given = o[about];
    if (!Array.isArray(given) || given.length === labelList.length) return [];
    const labels = labelList.slice(0, 20).join(', ') + (labelList.length > 20 ? ' ...' : '');
    const message = `${name(about)} has ${counted(given.length, 'value')} but there are ${labelList.length} labels: ${labels}`;
    return [{ about, message }];
  });
}

function firstLossProblem(o: TrainingArguments, name: NameOf): Problem | undefined {
  return lossProblems(o, name)[0];
}

// The schedule and the optimizer.

/** The rules of `lrSchedulerKwargs`, in the order in which their answers help. */
const schedulerRules: readonly Rule<TrainingArguments>[] = [
  ownKwargs,
  decaySteps,
  oneMinimum,
  belowLearningRate,
];

function ownKwargs(o: TrainingArguments, name: NameOf): Problem | undefined {
  const own: readonly string[] = kwargsOf[o.lrSchedulerType];
  const stray = Object.keys(o.lrSchedulerKwargs ?? {}).find((kwarg) => !own.includes(kwarg));
  if (stray === undefined) return undefined;
  const spelled = spelling(name);
  const takes = own.length === 0 ? 'it takes no arguments' : `it takes ${own.map(spelled).join(', ')}`;
  return {
    about: 'lrSchedulerKwargs',
    message: `${name('lrSchedulerType')} ${o.lrSchedulerType} takes no ${spelled(stray)} in ${name('lrSchedulerKwargs')}; ${takes}`,
  };
}

function decaySteps(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (o.lrSchedulerType !== 'warmup_stable_decay' || o.lrSchedulerKwargs?.numDecaySteps !== undefined)
    return undefined;
  return missing(o, name, `${spelling(name)('numDecaySteps')}, the steps of the decay at the end`);
}

function oneMinimum(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (!kwargsOf[o.lrSchedulerType].includes('minLrRate')) return undefined;
  const { minLr, minLrRate } = o.lrSchedulerKwargs ?? {};
  const [absolute, relative] = [spelling(name)('minLr'), spelling(name)('minLrRate')];
  if (minLr === undefined && minLrRate === undefined) {
    return missing(o, name, `${absolute}, the lowest learning rate, or ${relative}, its share of the peak`);
  }
  if (minLr === undefined || minLrRate === undefined) return undefined;
  return {
    about: 'lrSchedulerKwargs',
    message: `${absolute} and ${relative} in ${name('lrSchedulerKwargs')} exclude each other; keep one of them`,
  };
}

/** Of the schedules in which HF has one; the others end at 0 or need it given. */
const defaultEnds: Partial<Record<SchedulerType, number>> = { polynomial: defaultLrEnd, greedy: greedyMinLr };

/**
 * HF raises for `lr_end`; a minimum above the peak would let the rate rise where a decay was requested, and keeps
 * `greedy` from ever lowering it, which HF's default does at any learning rate that suits BERT.
 */
function belowLearningRate(o: TrainingArguments, name: NameOf): Problem | undefined {
  const { learningRate, lrSchedulerKwargs = {} } = o;
  const kwarg = o.lrSchedulerType === 'polynomial' ? 'lrEnd' : 'minLr';
  const end = lrSchedulerKwargs[kwarg] ?? defaultEnds[o.lrSchedulerType];
  if (end === undefined || end < learningRate) return undefined;
  return {
    about: lrSchedulerKwargs[kwarg] === undefined ? 'learningRate' : 'lrSchedulerKwargs',
    message: `${spelling(name)(kwarg)} in ${name('lrSchedulerKwargs')} is ${end}, which must be below ${name('learningRate')} ${learningRate}`,
  };
}

function missing(o: TrainingArguments, name: NameOf, what: string): Problem {
  return {
    about: o.lrSchedulerKwargs === undefined ? 'lrSchedulerType' : 'lrSchedulerKwargs',
    message: `${name('lrSchedulerType')} ${o.lrSchedulerType} needs ${name('lrSchedulerKwargs')} with ${what}`,
  };
}

function spelling(name: NameOf): (kwarg: string) => string {
  return (kwarg) => kwargSpelledLike(name('lrSchedulerKwargs'), kwarg);
}

function momentumNeedsSgd(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (o.momentum === 0 || o.optim === 'sgd') return undefined;
  const message = `${name('momentum')} needs ${name('optim')} sgd; ${o.optim} has none`;
  return { about: 'momentum', message };
}

// Evaluations, and what depends on them.

export function knownMetric(
  o: TrainingArguments & { problemType?: TrainOptions['problemType'] },
  name: NameOf,
): Problem | undefined {
  const { metricForBestModel: metric, problemType } = o;
  const known = metricNamesOf(problemType === undefined ? undefined : [taskKinds[problemType]]);
  if (metric === undefined || known.includes(metric.replace(/^eval_/, ''))) return undefined;
  const bare = metric.replace(/^eval_/, '');
  // HF's tutorials call theirs f1; only their code shows which of several averages it is.
  const averages = known.filter((own) => own.startsWith(`${bare}_`)).join(', ');
  const nearest = averages === '' ? nearestName(bare, known) : averages;
  const hint = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
  return {
    about: 'metricForBestModel',
    message: `Expected one of ${known.join(', ')} for ${name('metricForBestModel')} but received ${JSON.stringify(metric)}${hint}`,
  };
}

/** HF's rules for all that compares evaluations. */
function evaluationsToCompare(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (o.evalStrategy !== 'no') return undefined;
  const cases: [boolean, OptionName, string][] = [
    [o.saveStrategy === 'best', 'saveStrategy', ' best'],
    [o.earlyStoppingPatience !== undefined, 'earlyStoppingPatience', ''],
    [isAdaptive(o.lrSchedulerType), 'lrSchedulerType', ` ${o.lrSchedulerType}`],
  ];
  const [, about, value] = cases.find(([applies]) => applies) ?? [];
  if (about === undefined) return undefined;
  const message = `${name(about)}${value} needs evaluations to compare; set ${name('evalStrategy')} to epoch or steps`;
  return { about, message };
}

/** HF's rule: the best checkpoint can only be loaded if each evaluated state that may be best was saved. */
function bestNeedsMatchingStrategies(o: TrainingArguments, name: NameOf): Problem | undefined {
  const isBest = o.saveStrategy === 'best';
  if (!o.loadBestModelAtEnd || isBest || (o.evalStrategy === o.saveStrategy && o.evalStrategy !== 'no'))
    return undefined;
  const how = `${name('evalStrategy')} is ${o.evalStrategy} and ${name('saveStrategy')} is ${o.saveStrategy}; set both to epoch, or both to steps`;
  return {
    about: 'loadBestModelAtEnd',
    message: `${name('loadBestModelAtEnd')} needs a checkpoint at each evaluation, but ${how}`,
  };
}

function bestNeedsMatchingSteps(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (!o.loadBestModelAtEnd || o.evalStrategy !== 'steps' || o.saveStrategy !== 'steps') return undefined;
  const evalSteps = o.evalSteps ?? o.loggingSteps;
  if (isMultiple(o.saveSteps, evalSteps)) return undefined;
  const how = `${name('saveSteps')} ${o.saveSteps} is not a multiple of ${name('evalSteps')} ${evalSteps}`;
  return {
    about: 'loadBestModelAtEnd',
    message: `${name('loadBestModelAtEnd')} needs an evaluation at each checkpoint, but ${how}`,
  };
}

function rollbackNeedsCheckpoints(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (o.nonfiniteGradient !== 'rollback' || (o.saveStrategy !== 'no' && !o.saveOnlyModel)) return undefined;
  const why = o.saveOnlyModel ? `${name('saveOnlyModel')} is given` : `${name('saveStrategy')} is no`;
  return {
    about: 'nonfiniteGradient',
    message: `${name('nonfiniteGradient')} rollback needs checkpoints to fall back to, but ${why}`,
  };
}

/** Of two numbers of steps or two shares; a share and a number cannot be compared before the length is known. */
function isMultiple(n: number, of: number): boolean {
  if (n < 1 !== of < 1) return false;
  const ratio = n / of;
  return Math.abs(ratio - Math.round(ratio)) < 1e-9;
}

/** Whether something of the run depends on a metric. */
export function comparesMetrics(o: TrainingArguments): boolean {
  return (
    o.loadBestModelAtEnd ||
    o.saveStrategy === 'best' ||
    o.earlyStoppingPatience !== undefined ||
    isAdaptive(o.lrSchedulerType)
  );
}

/** Of the options that a Trainer takes as well. What it calls its metrics is known only to itself. */
export const trainerRules: readonly Rule<TrainingArguments>[] = [
  firstLossProblem,
  ...schedulerRules,
  momentumNeedsSgd,
  evaluationsToCompare,
  bestNeedsMatchingStrategies,
  bestNeedsMatchingSteps,
  rollbackNeedsCheckpoints,
];

/** One note for each option that was changed but that another one makes meaningless. */
export function withoutEffect(o: TrainingArguments, name: NameOf): string[] {
  const is = (option: 'evalStrategy' | 'saveStrategy' | 'lrSchedulerType' | 'maxSteps'): string =>
    `${name(option)} is ${o[option]}`;
  const absent = (option: OptionName): string => `${name(option)} is not given`;
  const isPlain = ['constant', ...adaptiveTypes].includes(o.lrSchedulerType);
  const isSlanted = o.lrSchedulerType === 'slanted_triangular';
  const kwargs = name('lrSchedulerKwargs');
  const cutFrac = `${kwargSpelledLike(kwargs, 'cutFrac')} in ${kwargs}`;
  const comparesNothing = o.metricForBestModel === undefined && !comparesMetrics(o);
  const cases: readonly (readonly [keyof TrainingArguments, boolean, string])[] = [
    ['evalSteps', o.evalStrategy !== 'steps', is('evalStrategy')],
    ['evalDelay', o.evalStrategy === 'no', is('evalStrategy')],
    ['earlyStoppingThreshold', o.earlyStoppingPatience === undefined, absent('earlyStoppingPatience')],
    ['saveTotalLimit', o.saveStrategy === 'no', is('saveStrategy')],
    ['saveOnlyModel', o.saveStrategy === 'no', is('saveStrategy')],
    ['saveSteps', o.saveStrategy !== 'steps', is('saveStrategy')],
    ['warmupSteps', isPlain, `${is('lrSchedulerType')} (constant_with_warmup has a warmup)`],
    ['warmupSteps', isSlanted, `${is('lrSchedulerType')} (${cutFrac} is its warmup)`],
    ['numTrainEpochs', o.maxSteps > 0, is('maxSteps')],
    ['greaterIsBetter', comparesNothing, absent('metricForBestModel')],
  ];
  const isChanged = (option: keyof TrainingArguments): boolean =>
    o[option] !== undefined && o[option] !== table[option].fallback;
  return cases
    .filter(([option, applies]) => applies && isChanged(option))
    .map(([option, , why]) => `${name(option)} has no effect: ${why}`);
}
