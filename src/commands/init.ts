// `bertune init FILE`: looks at training data and writes a commented configuration that trains on them.
import { writeFile } from 'node:fs/promises';
import type { DatasetDict } from '../data/dataset.js';
import type { Example } from '../data/index.js';
import { describeLabels, type LabelReport } from '../inspection/dataset.js';
import {
  foreignLetters,
  IMBALANCE,
  suggest,
  tokenLengths,
  type Suggestion,
  type TokenLengths,
} from '../inspection/suggest.js';
import { maxTokensOf } from '../models/config.js';
import { initCommand, yamlTemplate, type InitOptions, type TemplateLine } from '../options/index.js';
import { formatNumber } from '../terminal/progress.js';
import { BertTokenizer } from '../tokenizer/index.js';
import { errorCode, UsageError, writeError } from '../util/errors.js';
import { exists } from '../util/file-system.js';
import { commandLine, shellWord } from '../util/installation.js';
import { counted } from '../util/text.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { type DataOptions, openToDescribe, splitsOf } from './data.js';
import { reportLabelsOtherThan } from './notes.js';
import { modelAndTokenizer, readOptions, type ModelSource } from './model-source.js';
import { CommandProgress } from './output.js';
import { requireLabels } from './masked-lm.js';

/** Rows that are looked at for lengths and letters, spread over all. */
const SAMPLE = 2000;
/** A tenth is enough for many rows; a tenth of few decides nothing. */
const SHARES = { ofFew: 0.2, ofMany: 0.1, many: 1000 };
const LABELS_SHOWN = 12;

/** What was found in the data. */
interface Found {
  data: DatasetDict;
  /** Rows to train on, and how many of all splits were skipped. */
  rows: number;
  badRows: number;
  /** The share of the rows that is to be set aside; undefined where there are rows to validate with. */
  share: number | undefined;
  labels: LabelReport;
  lengths: TokenLengths;
  sample: readonly Example[];
  suggestion: Suggestion;
}

/**
 * Writes the configuration. Notes on the data go to stderr.
 *
 * @throws UsageError for data or a model that cannot be used, and for a file that is there already; RunError when it cannot be
 *   written
 */
export async function init(options: InitOptions): Promise<void> {
  requireLabels(options.task, 'init');
  const progress = new CommandProgress();
  const { configFile, force } = options;
  if (!/\.ya?ml$/i.test(configFile))
    throw new UsageError(`--config-file ${configFile} is written as YAML; give it the ending .yaml`);
  if (!force && (await exists(configFile))) throw isThere(configFile);
  const start =
    options.model === undefined && options.config === undefined
      ? null
      : await modelAndTokenizer(options, progress);
  const read: DataOptions = start === null ? options : readOptions(options, start.source);
  const opened = await openToDescribe({ ...read, modelLabels: undefined }, progress);
  const { data } = opened;
  const own = { ...options, ...withoutUndefined({ encoding: opened.options.encoding }) };
  try {
    reportLabelsOtherThan(read.modelLabels, data, progress);
    const found = await look(data, start?.tokenizer ?? (await tokenizerAlone(options)), start?.source);
    const text = yamlTemplate(headOf(own, found), sectionsOf(own, found));
    await write(configFile, text, force);
  } finally {
    await data.close();
  }
  progress.line(
    `Written: ${configFile}. Read it, then train with it: ${commandLine('train', shellWord(configFile))}`,
  );
}

function isThere(path: string): UsageError {
  return new UsageError(`${path} is there already; --force replaces it, --config-file names another`);
}

/** Not over a file that came since. */
async function write(path: string, text: string, force: boolean): Promise<void> {
  try {
    await writeFile(path, text, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    throw errorCode(error) === 'EEXIST' ? isThere(path) : writeError(error, path);
  }
}

async function tokenizerAlone({ tokenizer }: InitOptions): Promise<BertTokenizer | null> {
  return tokenizer === undefined ? null : BertTokenizer.fromPretrained(tokenizer);
}

async function look(
  data: DatasetDict,
  tokenizer: BertTokenizer | null,
  source: ModelSource | undefined,
): Promise<Found> {
  const { train, task } = data;
  const step = Math.max(1, train.size / SAMPLE);
  const sampled = Array.from({ length: Math.min(train.size, SAMPLE) }, (_, i) => Math.floor(i * step));
  const { examples: sample } = await train.read(sampled);
  const labels = describeLabels(train);
  const lengths = tokenLengths(sample, tokenizer);
  const hasShare = data.splits.validation === undefined || data.splits.validation.split === train.split;
  const share = train.size < SHARES.many ? SHARES.ofFew : SHARES.ofMany;
  const rows = data.splits.validation === undefined ? Math.floor(train.size * (1 - share)) : train.size;
  const positions = source === undefined ? 512 : maxTokensOf(source.config);
  return {
    data,
    rows,
    badRows: [...splitsOf(data)].reduce((sum, { badRows }) => sum + badRows.count, 0),
    share: hasShare ? share : undefined,
    labels,
    lengths,
    sample,
    suggestion: suggest(rows, { task, labels, lengths, positions }),
  };
}

function headOf({ configFile }: InitOptions, { data, badRows }: Found): string[] {
  const { text, textPair, label } = data.train.split.columns;
  const columns = [text, textPair, label].flat().filter((name) => name !== null);
  return [
    `${counted(data.train.split.size, 'row')}${badRows === 0 ? '' : ` and ${counted(badRows, 'bad row')}`}, read from ${columns.map((name) => JSON.stringify(name)).join(', ')}.`,
    `Train with it: ${commandLine('train', shellWord(onOneLine(configFile)))}`,
    'Paths are relative to the folder in which that runs, and flags win over this file. Lines such',
    'as "# name: value" are alternatives; docs/options.md has all options.',
  ];
}

function sectionsOf(options: InitOptions, found: Found): Record<string, TemplateLine[]> {
  return {
    Model: modelLines(options, found),
    Data: dataLines(options, found),
    Training: trainingLines(options, found),
    'Evaluation, and what is kept': evaluationLines(options, found),
  };
}

function modelLines(options: InitOptions, { sample, suggestion, lengths }: Found): TemplateLine[] {
  const isForeign = foreignLetters(sample) > 0.01;
  const [usual, other] = isForeign
    ? ['xlm-roberta-base', 'bert-base-multilingual-cased']
    : ['bert-base-uncased', 'distilbert-base-uncased'];
  const why = isForeign
    ? 'a folder or hub id; of 100 languages, since letters are not only English ones'
    : 'a folder or hub id; for English';
  const { median, p99, longest, isCounted } = lengths;
  const how = isCounted ? 'tokens' : 'tokens, estimated without a tokenizer';
  const own = given(options, ['model', 'modelRevision', 'config', 'tokenizer']);
  return [
    ...(own.length > 0
      ? own
      : [
          line('model', usual, why),
          off('model', other, isForeign ? 'another one' : 'half the layers, half the time'),
        ]),
    line(
      'maxSeqLength',
      options.maxSeqLength ?? suggestion.maxSeqLength,
      `${how}: half of the rows have up to ${median}, 99 % up to ${p99}, the longest ${longest}`,
    ),
    ...(own.some(({ name }) => name === 'config')
      ? []
      : [off('loraRank', 8, 'train small updates in place of all weights: less memory')]),
  ];
}

function dataLines(options: InitOptions, { data, share, badRows, labels }: Found): TemplateLine[] {
  const { columns } = data.train.split;
  const { task } = data;
  const found: TemplateLine[] = [
    line('textColumn', columns.text, ''),
    ...(columns.textPair === null
      ? []
      : [line('textPairColumn', columns.textPair, 'the second text of a pair')]),
    ...(columns.label === null ? [] : [line('labelColumn', columns.label, labelsFound(labels))]),
    task.kind.unit === 'token'
      ? line('task', task.kind.name, 'a label for each token, as entities are found')
      : line('problemType', task.problemType, meaning(task.problemType)),
  ];
  const names = new Set<string>([...found.map(({ name }) => name), 'badRows', 'validationSplit']);
  const others = Object.keys(initCommand.options)
    .filter((name) => initCommand.options[name]?.group === 'Data' || name === 'labelList')
    .filter((name): name is keyof InitOptions & TemplateLine['name'] => !names.has(name));
  return [
    ...given(options, others),
    ...found,
    ...validationLines(options, share),
    line(
      'badRows',
      badRows > 0 ? 'skip' : 'stop',
      badRows > 0
        ? `${badRows} of the rows cannot be used; stop: refuse them`
        : 'a row that cannot be used stops the run; skip: leave it out',
    ),
    ...(task.kind.hasClasses && options.labelList === undefined
      ? [
          off(
            'labelList',
            task.labels.slice(0, LABELS_SHOWN),
            task.labels.length > LABELS_SHOWN
              ? `and ${task.labels.length - LABELS_SHOWN} more; the labels in the order of their ids`
              : 'the labels in the order of their ids; any other is a bad row',
          ),
        ]
      : []),
  ];
}

function validationLines(
  { validationSplit, dataset }: InitOptions,
  share: number | undefined,
): TemplateLine[] {
  if (validationSplit !== undefined) return [line('validationSplit', validationSplit, '')];
  if (share === undefined) return [];
  return [
    line('validationSplit', share, 'a share of the rows is set aside to evaluate on, stratified by label'),
    ...(dataset === undefined
      ? [off('validationFile', ['dev.csv'], 'or rows of their own, in place of the share')]
      : []),
  ];
}

function labelsFound(labels: LabelReport): string {
  if (labels.kind === 'numbers')
    return `numbers from ${formatNumber(labels.lowest)} to ${formatNumber(labels.highest)}, mean ${formatNumber(labels.mean)}`;
  const sorted = Object.entries(labels.counts).toSorted(([, a], [, b]) => b - a);
  const shown = sorted.slice(0, LABELS_SHOWN).map(([name, count]) => `${onOneLine(name)} ${count}`);
  const more = sorted.length > shown.length ? [`${sorted.length - shown.length} more`] : [];
  return [...shown, ...more].join(', ');
}

/** A label may hold anything, and a line break would end the comment. */
function onOneLine(label: string): string {
  return JSON.stringify(label)
    .slice(1, -1)
    .replaceAll(/[\u0085\u2028\u2029]/g, ' ');
}

function meaning(problemType: string): string {
  const meanings: Record<string, string> = {
    single_label_classification: 'one label a row',
    multi_label_classification: 'any number of labels a row',
    regression: 'a number a row',
  };
  return meanings[problemType] ?? '';
}

function trainingLines(options: InitOptions, { suggestion, rows, data }: Found): TemplateLine[] {
  const { batchSize, epochs, learningRate, imbalance } = suggestion;
  const isRandom = options.config !== undefined;
  const { lossOptions } = data.task.kind;
  return [
    line('numTrainEpochs', epochs, `passes over ${counted(rows, 'row')}; more where the loss still falls`),
    line('perDeviceTrainBatchSize', batchSize, 'rows a batch'),
    off('gradientAccumulationSteps', 2, 'batches a step, for larger steps in the same memory'),
    line(
      'learningRate',
      isRandom ? 5e-4 : learningRate,
      isRandom ? 'random weights need more than pre-trained ones' : 'from 2e-5 to 5e-5 as a rule',
    ),
    line('warmupSteps', 0.1, 'of all steps'),
    line('weightDecay', 0.01, ''),
    ...(lossOptions.includes('classWeights') && imbalance > IMBALANCE
      ? [
          off(
            'classWeights',
            'balanced',
            `the most frequent label is ${formatNumber(imbalance)} times as frequent as the rarest`,
          ),
        ]
      : []),
    ...(lossOptions.includes('posWeight') && imbalance > IMBALANCE
      ? [off('posWeight', 'balanced', 'rare labels count more')]
      : []),
    line('seed', 42, ''),
  ];
}

function evaluationLines({ outputDir }: InitOptions, { suggestion }: Found): TemplateLine[] {
  return [
    line('outputDir', outputDir ?? 'out', 'the model, its checkpoints and its metrics'),
    line('evalStrategy', 'epoch', 'evaluate after each epoch'),
    line('saveStrategy', 'epoch', 'and save a checkpoint'),
    line('loggingStrategy', 'epoch', 'log the loss of the training as often'),
    line('saveTotalLimit', 1, 'checkpoints that are kept, beside the best'),
    line('loadBestModelAtEnd', true, 'the weights of the best epoch, not of the last'),
    line('metricForBestModel', suggestion.metric, ''),
    off('earlyStoppingPatience', 2, 'stop after so many epochs without an improvement'),
  ];
}

/** Options that were given on the command line. */
function given(
  options: InitOptions,
  names: readonly (keyof InitOptions & TemplateLine['name'])[],
): TemplateLine[] {
  return names.flatMap((name) => {
    const value = options[name];
    const isDefault = JSON.stringify(value) === JSON.stringify(initCommand.options[name]?.fallback);
    return value === undefined || isDefault ? [] : [line(name, value, '')];
  });
}

function line(name: TemplateLine['name'], value: unknown, comment: string): TemplateLine {
  return { name, value, comment };
}

function off(name: TemplateLine['name'], value: unknown, comment: string): TemplateLine {
  return { name, value, comment, isOff: true };
}
