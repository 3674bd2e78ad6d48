// Options that are right one by one but do not fit together. Each rule names the options as the person wrote them and explains
// what to do.
import { formatNames, formatOfEnding, predictionFormats } from '../predictions/formats.js';
import { taskKinds } from '../tasks/index.js';
import type {
  CompleteScoringOptions,
  EvaluateOptions,
  ExportOptions,
  InitOptions,
  InspectOptions,
  PredictOptions,
  TrainingArguments,
  TrainOptions,
} from './commands.js';
import { knownMetric, trainerRules, type NameOf, type Problem, type Rule } from './training-rules.js';

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
    rowsEnding,
  ];
  return apply(rules, options, name);
}

/** What is wrong with the options of an export; rows are its own choice. */
export function exportProblems(options: ExportOptions, name: NameOf): Problem[] {
  const hasRows = options.validationFile.length > 0 || options.dataset !== undefined;
  const rules: Rule<ExportOptions>[] = [
    ...(hasRows ? [oneSource('validationFile')] : [dropNeedsRows]),
    wholeSplit,
    splitsNeedDataset,
  ];
  return apply(rules, options, name);
}

/** What is wrong with the options of an inspection. */
export function inspectProblems(options: InspectOptions, name: NameOf): Problem[] {
  const rules = [
    oneSource('trainFile'),
    splitsNeedDataset,
    partOfLabelErrors,
    labelErrorsNeedModel,
    errorsEnding,
  ];
  return apply<InspectOptions>(rules, options, name);
}

/** What is wrong with the options of a configuration to be written. */
export function initProblems(options: InitOptions, name: NameOf): Problem[] {
  const rules: Rule<InitOptions & { trainFile: readonly string[] }>[] = [
    oneSource('trainFile'),
    splitsNeedDataset,
  ];
  return apply(rules, { ...options, trainFile: options.trainFile ?? [] }, name);
}

/** What is wrong with the options of a prediction. */
export function predictProblems(options: PredictOptions, name: NameOf): Problem[] {
  const rules: Rule<PredictOptions>[] = [textsAlone, splitsNeedDataset, knownEnding, formatNeedsFile];
  return apply(rules, options, name);
}

/** What is wrong with how texts are read, once what the model brings stands beside what was asked for. */
export function scoringProblems(
  options: Pick<CompleteScoringOptions, 'stride' | 'pooling'>,
  name: NameOf,
): Problem[] {
  return apply([poolingNeedsWindows], options, name);
}

const trainRules: Rule<TrainOptions>[] = [
  oneModel,
  tokenizerOfConfig,
  oneSource('trainFile'),
  splitsNeedDataset,
  foldsBringRows,
  portNeedsLive,
  validationRows,
  headSize,
  distinctLabels,
  labelsOfRegression,
  hardLabels,
  maskedLmAlone,
  knownMetric,
  loraNeedsRank,
  loraNeedsModel,
  pushOptions,
  ...trainerRules,
];

function apply<T>(rules: readonly Rule<T>[], options: T, name: NameOf): Problem[] {
  return rules.flatMap((rule) => rule(options, name) ?? []);
}

// Where rows come from, and which of them validate.

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
    const texts = files === 'testFile' ? `, - for standard input, or ${name('text')} for texts` : '';
    return { about: files, message: `${name(files)} is needed: ${what}${texts}` };
  };
}

/** Texts, standard input, files and a data set of the hub exclude each other. */
function textsAlone(o: PredictOptions, name: NameOf): Problem | undefined {
  if (o.text === undefined) {
    if (o.testFile.includes('-') && o.testFile.length > 1)
      return { about: 'testFile', message: `${name('testFile')} -, standard input, goes with no other file` };
    return oneSource('testFile')(o, name);
  }
  if (o.idColumn !== undefined) {
    const message = `${name('idColumn')} names columns, and ${name('text')} has none; give the rows in a file, or as JSON Lines with ${name('testFile')} -`;
    return { about: 'idColumn', message };
  }
  const other = o.dataset === undefined ? 'testFile' : 'dataset';
  if (o[other] === undefined || o[other].length === 0) return undefined;
  return {
    about: 'text',
    message: `${name('text')} and ${name(other)} exclude each other; keep one of them`,
  };
}

function splitsNeedDataset(
  o: { dataset?: string; datasetConfig?: string; validationSplit?: string | number },
  name: NameOf,
): Problem | undefined {
  if (o.dataset !== undefined) return undefined;
  const about = o.datasetConfig !== undefined ? 'datasetConfig' : 'validationSplit';
  if (o[about] === undefined || typeof o[about] === 'number') return undefined;
  return {
    about,
    message: `${name(about)} needs ${name('dataset')}: files have no configurations or splits`,
  };
}

function portNeedsLive(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.livePort === undefined || o.live) return undefined;
  return { about: 'livePort', message: `${name('livePort')} needs ${name('live')}` };
}

function dropNeedsRows({ maxMetricDrop }: ExportOptions, name: NameOf): Problem | undefined {
  if (maxMetricDrop === undefined) return undefined;
  const message = `${name('maxMetricDrop')} needs ${name('validationFile')}: there are no rows to compute a metric on`;
  return { about: 'maxMetricDrop', message };
}

function foldsBringRows(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.crossValidation === undefined) return undefined;
  const rivals = ['validationSplit', 'validationFile', 'resumeFromCheckpoint'] as const;
  const other = rivals.find((option) => {
    const value = o[option];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  });
  const [rival, why] =
    other !== undefined
      ? ([other, 'every row is trained on and evaluated on in turn'] as const)
      : o.loadBestModelAtEnd
        ? (['loadBestModelAtEnd', 'folds save nothing, so that there is no best checkpoint to load'] as const)
        : ([o.live ? 'live' : undefined, 'the live report is of one training'] as const);
  if (rival === undefined) return undefined;
  const message = `${name('crossValidation')} and ${name(rival)} exclude each other: ${why}`;
  return { about: 'crossValidation', message };
}

function partOfLabelErrors(o: InspectOptions, name: NameOf): Problem | undefined {
  if (o.labelErrors) return undefined;
  const about = (['outOfFold', 'crossValidation', 'outputFile'] as const).find(
    (option) => o[option] !== undefined,
  );
  if (about === undefined) return undefined;
  return { about, message: `${name(about)} needs ${name('labelErrors')}` };
}

function labelErrorsNeedModel(o: InspectOptions, name: NameOf): Problem | undefined {
  if (!o.labelErrors) return undefined;
  if (o.outOfFold !== undefined && o.crossValidation !== undefined) {
    const message = `${name('outOfFold')} and ${name('crossValidation')} exclude each other: with predictions nothing is trained`;
    return { about: 'crossValidation', message };
  }
  if (o.outOfFold !== undefined || o.model !== undefined || o.config !== undefined) return undefined;
  return {
    about: 'labelErrors',
    message: `${name('labelErrors')} needs ${name('model')}, which is trained on parts of the rows, or predictions as ${name('outOfFold')}`,
  };
}

function errorsEnding({ outputFile: path }: InspectOptions, name: NameOf): Problem | undefined {
  if (path === undefined || /\.(csv|jsonl)$/i.test(path)) return undefined;
  const message = `${name('outputFile')} ${path} has an ending that names no format; end it in .csv or .jsonl`;
  return { about: 'outputFile', message };
}

/** Which rows a share means, only the training knows that set them aside. */
function wholeSplit(o: Pick<EvaluateOptions, 'validationSplit'>, name: NameOf): Problem | undefined {
  if (typeof o.validationSplit !== 'number') return undefined;
  const message = `${name('validationSplit')} takes the name of a split here; a share is set aside in training only`;
  return { about: 'validationSplit', message };
}

function validationRows(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.validationFile.length > 0 && o.dataset !== undefined) {
    return {
      about: 'validationFile',
      message: `${name('validationFile')} and ${name('dataset')} exclude each other; choose rows with ${name('validationSplit')}`,
    };
  }
  if (o.validationFile.length > 0 && typeof o.validationSplit === 'number') {
    const message = `${name('validationFile')} and a share as ${name('validationSplit')} exclude each other; keep one of them`;
    return { about: 'validationSplit', message };
  }
  const setsAside = typeof o.validationSplit === 'number' || o.crossValidation !== undefined;
  if (o.validationGroupColumn !== undefined && !setsAside) {
    const message = `${name('validationGroupColumn')} needs a share as ${name('validationSplit')}, such as 0.1, or ${name('crossValidation')}`;
    return { about: 'validationGroupColumn', message };
  }
  const hasRows = o.validationFile.length > 0 || o.dataset !== undefined || setsAside;
  if (o.evalStrategy === 'no' || hasRows) return undefined;
  return {
    about: 'evalStrategy',
    message: `${name('evalStrategy')} ${o.evalStrategy} needs ${name('validationFile')} or ${name('validationSplit')}: there are no rows to evaluate on`,
  };
}

// The model, its labels, and LoRA.

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

function loraNeedsRank(o: TrainOptions, name: NameOf): Problem | undefined {
  const others = ['loraAlpha', 'loraDropout', 'loraTargetModules'] as const;
  const about = others.find((option) => o[option] !== undefined);
  if (about === undefined || o.loraRank !== undefined) return undefined;
  return {
    about,
    message: `${name(about)} needs ${name('loraRank')}, such as 8: without it there is no LoRA`,
  };
}

/** An adapter's file names the model that it belongs to. */
function loraNeedsModel(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.config === undefined) return undefined;
  const about = (['loraRank', 'baseModel'] as const).find((option) => o[option] !== undefined);
  if (about === undefined) return undefined;
  return { about, message: `${name(about)} needs ${name('model')}: random weights are nothing to adapt` };
}

/** HF's defaults, which are in every file that TrainingArguments wrote, ask for nothing. */
function pushOptions(o: TrainOptions, name: NameOf): Problem | undefined {
  if (!o.pushToHub) {
    const about = (['hubModelId', 'hubRevision'] as const).find((option) => o[option] !== undefined);
    if (about === undefined) return undefined;
    return { about, message: `${name(about)} needs ${name('pushToHub')}: without it nothing is pushed` };
  }
  if (o.crossValidation !== undefined) {
    const message = `${name('pushToHub')} and ${name('crossValidation')} exclude each other: folds save no model`;
    return { about: 'pushToHub', message };
  }
  if (o.hubStrategy === 'end' || o.saveStrategy !== 'no') return undefined;
  const message = `${name('hubStrategy')} ${o.hubStrategy} pushes checkpoints, but with ${name('saveStrategy')} no there are none`;
  return { about: 'hubStrategy', message };
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
  const { problemType, labelList } = o;
  if (problemType === undefined || taskKinds[problemType].hasClasses || labelList === undefined)
    return undefined;
  return {
    about: 'labelList',
    message: `${name('labelList')} does not go with ${name('problemType')} ${problemType}, which predicts numbers`,
  };
}

/** The labels of rows beside the answers of a teacher. */
function hardLabels(o: TrainOptions, name: NameOf): Problem | undefined {
  const { distillationAlpha: alpha = 1, hardLabelColumn: column } = o;
  if (alpha === 1 && column === undefined) return undefined;
  if (column === undefined)
    return {
      about: 'distillationAlpha',
      message: `${name('distillationAlpha')} needs ${name('hardLabelColumn')}: what counts beside the teacher are the rows' own labels`,
    };
  if (alpha === 1)
    return {
      about: 'hardLabelColumn',
      message: `${name('hardLabelColumn')} needs ${name('distillationAlpha')} below 1: without it the teacher's answers alone count`,
    };
  if (o.softLabels || o.labelFormat === 'probabilities') return undefined;
  return {
    about: 'hardLabelColumn',
    message: `${name('hardLabelColumn')} needs ${name('softLabels')}: without them there are no probabilities of a teacher; ${name('labelColumn')} names the labels`,
  };
}

// Masked language models.

/** Options that there is nothing for without labels. */
const OF_LABELS = [
  'problemType',
  'numLabels',
  'labelList',
  'labelColumn',
  'labelDelimiter',
  'labelFormat',
  'naLabels',
  'foldLabels',
  'softLabels',
  'labelAllTokens',
  'classWeights',
  'posWeight',
  'focalGamma',
  'labelSmoothingFactor',
  'distillationTemperature',
  'distillationAlpha',
  'hardLabelColumn',
  'textPairColumn',
  'crossValidation',
  'loraRank',
] as const;

function maskedLmAlone(o: TrainOptions, name: NameOf): Problem | undefined {
  const task = `${name('task')} masked-lm`;
  if (o.task !== 'masked-lm') {
    const about = (['lineByLine', 'wholeWordMask', 'textUnit', 'mlmProbability'] as const).find(
      (option) => o[option] !== maskedLmDefaults[option],
    );
    return about && { about, message: `${name(about)} needs ${task}: without it no tokens are masked` };
  }
  const about = OF_LABELS.find((option) => o[option] !== undefined && o[option] !== false && o[option] !== 0);
  if (about === 'loraRank')
    return { about, message: `${name(about)} does not go with ${task}: all weights are trained` };
  if (about === 'textPairColumn')
    return { about, message: `${name(about)} does not go with ${task}: single texts are masked` };
  if (about === 'crossValidation')
    return { about, message: `${name(about)} does not go with ${task}: it saves no model` };
  if (about !== undefined)
    return { about, message: `${name(about)} does not go with ${task}: there are no labels` };
  if (o.trainSamplingStrategy !== 'group_by_length' || o.lineByLine) return undefined;
  return {
    about: 'trainSamplingStrategy',
    message: `${name('trainSamplingStrategy')} group_by_length needs ${name('lineByLine')}: texts that are put together make rows of one length`,
  };
}

const maskedLmDefaults = { lineByLine: false, wholeWordMask: false, textUnit: 'line', mlmProbability: 0.15 };

// Predictions.

function poolingNeedsWindows(
  { stride, pooling }: Pick<PredictOptions, 'stride' | 'pooling'>,
  name: NameOf,
): Problem | undefined {
  if (pooling === undefined || (stride !== undefined && stride !== 'none')) return undefined;
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

/** Of the rows of an evaluation. */
function rowsEnding({ predictionsFile: path }: EvaluateOptions, name: NameOf): Problem | undefined {
  if (path === undefined || /\.(csv|jsonl)$/i.test(path)) return undefined;
  const message = `${name('predictionsFile')} ${path} has an ending that names no format; end it in .csv or .jsonl`;
  return { about: 'predictionsFile', message };
}

function formatNeedsFile({ outputFile, outputFormat }: PredictOptions, name: NameOf): Problem | undefined {
  if (outputFormat === undefined || !predictionFormats[outputFormat].needsFile || outputFile !== undefined)
    return undefined;
  return {
    about: 'outputFormat',
    message: `${name('outputFormat')} ${outputFormat} needs ${name('outputFile')}: it cannot be read from a stream`,
  };
}
