// Options that do not fit together. Each rule names the options as the person wrote them and says what to do.
import { nearestName } from '../nearest.js';
import { metricNames } from '../evaluation/metrics.js';
import { formatNames, formatOfEnding } from '../predictions/names.js';
import type { EvaluateOptions, PredictOptions, TrainingArguments, TrainOptions } from './commands.js';
import type { OptionName } from './options.js';
import { schedulerRules } from './scheduler-rules.js';

/** An option's name as the person wrote it, e.g. `--eval-steps`. */
export type NameOf = (name: OptionName) => string;

/** What is wrong, and the option at whose place in a file the message is shown. */
export interface Problem {
  readonly about: OptionName;
  readonly message: string;
}

type Rule<T> = (options: T, name: NameOf) => Problem | undefined;

/** What is wrong with the options of a training run, rule by rule; empty when they fit together. */
export function trainProblems(options: TrainOptions, name: NameOf): Problem[] {
  return apply(trainRules, options, name);
}

/** What is wrong with the options of a Trainer. */
export function trainerProblems(options: TrainingArguments, name: NameOf): Problem[] {
  const rules = [...schedulerRules, knownMetric, bestNeedsMatchingStrategies, bestNeedsMatchingSteps];
  return apply<TrainingArguments>(rules, options, name);
}

/** What is wrong with the options of an evaluation. */
export function evaluateProblems(options: EvaluateOptions, name: NameOf): Problem[] {
  const rules: Rule<EvaluateOptions>[] = [
    oneSource('validationFile'),
    splitsNeedDataset,
    poolingNeedsWindows,
  ];
  return apply(rules, options, name);
}

/** What is wrong with the options of a prediction. */
export function predictProblems(options: PredictOptions, name: NameOf): Problem[] {
  const rules: Rule<PredictOptions>[] = [
    oneSource('testFile'),
    splitsNeedDataset,
    poolingNeedsWindows,
    knownEnding,
    parquetNeedsFile,
  ];
  return apply(rules, options, name);
}

const trainRules: Rule<TrainOptions>[] = [
  oneModel,
  tokenizerOfConfig,
  oneSource('trainFile'),
  splitsNeedDataset,
  validationRows,
  headSize,
  distinctLabels,
  labelsOfRegression,
  smoothingNeedsOneLabel,
  ...schedulerRules,
  knownMetric,
  bestNeedsMatchingStrategies,
  bestNeedsMatchingSteps,
];

function apply<T>(rules: readonly Rule<T>[], options: T, name: NameOf): Problem[] {
  return rules.flatMap((rule) => rule(options, name) ?? []);
}

function oneModel(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.model !== undefined && o.config !== undefined) {
    return {
      about: 'config',
      message: `${name('model')} and ${name('config')} exclude each other: the first brings weights, the second starts from random ones`,
    };
  }
  if (o.model !== undefined || o.config !== undefined) return undefined;
  return {
    about: 'model',
    message: `${name('model')} is needed: a model folder or a hub id such as bert-base-uncased`,
  };
}

function tokenizerOfConfig(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.config === undefined || o.model !== undefined || o.tokenizer !== undefined) return undefined;
  return {
    about: 'config',
    message: `${name('config')} needs ${name('tokenizer')}: a config.json brings no vocabulary`,
  };
}

function oneSource<F extends 'trainFile' | 'validationFile' | 'testFile'>(
  files: F,
): Rule<{ dataset?: string } & Readonly<Record<F, readonly string[]>>> {
  return (o, name) => {
    const paths: readonly string[] = o[files];
    if (paths.length > 0 && o.dataset !== undefined) {
      const message = `${name(files)} and ${name('dataset')} exclude each other; keep one of them`;
      return { about: 'dataset', message };
    }
    if (paths.length > 0 || o.dataset !== undefined) return undefined;
    const what = `a csv, tsv, jsonl, json or parquet file (or ${name('dataset')}, a hub dataset)`;
    return { about: files, message: `${name(files)} is needed: ${what}` };
  };
}

function splitsNeedDataset(
  o: { dataset?: string; datasetConfig?: string; validationSplit?: string },
  name: NameOf,
): Problem | undefined {
  if (o.dataset !== undefined) return undefined;
  const about = o.datasetConfig !== undefined ? 'datasetConfig' : 'validationSplit';
  if (o[about] === undefined) return undefined;
  return {
    about,
    message: `${name(about)} needs ${name('dataset')}: files have no configurations or splits`,
  };
}

function poolingNeedsWindows(
  { stride, pooling }: Pick<PredictOptions, 'stride' | 'pooling'>,
  name: NameOf,
): Problem | undefined {
  if (pooling === undefined || stride !== undefined) return undefined;
  const message = `${name('pooling')} needs ${name('stride')}: without windows there is nothing to pool`;
  return { about: 'pooling', message };
}

function knownEnding({ outputFile, outputFormat }: PredictOptions, name: NameOf): Problem | undefined {
  if (outputFile === undefined || outputFormat !== undefined || formatOfEnding(outputFile) !== undefined)
    return undefined;
  const formats = `${formatNames.slice(0, -1).join(', ')} or ${formatNames.at(-1)}`;
  return {
    about: 'outputFile',
    message: `${name('outputFile')} ${outputFile} has an ending that names no format; end it in .jsonl, .csv or .parquet, or give ${name('outputFormat')} ${formats}`,
  };
}

/** The footer of a Parquet file says where its parts lie, so that a reader must be able to go back. */
function parquetNeedsFile({ outputFile, outputFormat }: PredictOptions, name: NameOf): Problem | undefined {
  if (outputFormat !== 'parquet' || outputFile !== undefined) return undefined;
  return {
    about: 'outputFormat',
    message: `${name('outputFormat')} parquet needs ${name('outputFile')}: it cannot be read from a stream`,
  };
}

function validationRows(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.validationFile.length > 0 && o.dataset !== undefined) {
    return {
      about: 'validationFile',
      message: `${name('validationFile')} and ${name('dataset')} exclude each other; choose rows with ${name('validationSplit')}`,
    };
  }
  if (o.evalStrategy === 'no' || o.validationFile.length > 0 || o.dataset !== undefined) return undefined;
  return {
    about: 'evalStrategy',
    message: `${name('evalStrategy')} ${o.evalStrategy} needs ${name('validationFile')}: there are no rows to evaluate on`,
  };
}

function headSize(o: TrainOptions, name: NameOf): Problem | undefined {
  const { numLabels, labelList } = o;
  if (numLabels === undefined || labelList === undefined || labelList.length === numLabels) return undefined;
  return {
    about: 'numLabels',
    message: `${name('numLabels')} is ${numLabels} but ${name('labelList')} has ${labelList.length}; leave ${name('numLabels')} out`,
  };
}

function distinctLabels(o: TrainOptions, name: NameOf): Problem | undefined {
  const twice = o.labelList?.find((label, i, all) => all.indexOf(label) !== i);
  if (twice === undefined) return undefined;
  return { about: 'labelList', message: `${name('labelList')} has ${JSON.stringify(twice)} twice` };
}

function labelsOfRegression(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.problemType !== 'regression' || o.labelList === undefined) return undefined;
  return {
    about: 'labelList',
    message: `${name('labelList')} does not go with ${name('problemType')} regression, which predicts numbers`,
  };
}

function smoothingNeedsOneLabel(o: TrainOptions, name: NameOf): Problem | undefined {
  const isSingle = o.problemType === undefined || o.problemType === 'single_label_classification';
  if (o.labelSmoothingFactor === 0 || isSingle) return undefined;
  return {
    about: 'labelSmoothingFactor',
    message: `${name('labelSmoothingFactor')} works with one label a row, not with ${name('problemType')} ${o.problemType}`,
  };
}

function knownMetric(
  o: TrainingArguments & { problemType?: TrainOptions['problemType'] },
  name: NameOf,
): Problem | undefined {
  const { metricForBestModel: metric, problemType } = o;
  const problems = problemType === undefined ? Object.values(metricNames) : [metricNames[problemType]];
  const known: readonly string[] = [...new Set(problems.flat())];
  if (metric === undefined || known.includes(metric.replace(/^eval_/, ''))) return undefined;
  const nearest = nearestName(metric.replace(/^eval_/, ''), known);
  const hint = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
  return {
    about: 'metricForBestModel',
    message: `Expected one of ${known.join(', ')} for ${name('metricForBestModel')} but received ${JSON.stringify(metric)}${hint}`,
  };
}

/** HF's rule: the best checkpoint can only be loaded if each evaluated state that may be best was saved. */
function bestNeedsMatchingStrategies(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (!o.loadBestModelAtEnd || (o.evalStrategy === o.saveStrategy && o.evalStrategy !== 'no'))
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

/** Of two numbers of steps or two shares; a share and a number cannot be compared before the length is known. */
function isMultiple(n: number, of: number): boolean {
  if (n < 1 !== of < 1) return false;
  const ratio = n / of;
  return Math.abs(ratio - Math.round(ratio)) < 1e-9;
}
