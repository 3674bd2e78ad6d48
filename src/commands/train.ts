// `bertune train`: data, model, Trainer, evaluation, and a folder that Hugging Face loads.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { BertForSequenceClassification } from '../bert.js';
import type { TrainOptions } from '../config/index.js';
import type { DatasetDict } from '../dataset.js';
import { withoutUndefined } from '../dataset.js';
import { messageOf, UsageError } from '../errors.js';
import { classify } from '../evaluation/classify.js';
import type { Metrics } from '../evaluation/evaluate.js';
import { modelDirectory } from '../hub/index.js';
import {
  areDefaultLabels,
  parseBertConfig,
  readBertConfig,
  readError,
  type BertConfig,
} from '../model/index.js';
import { BertTokenizer } from '../tokenizer/index.js';
import { writeJson } from '../training/checkpoint.js';
import { formatNumber, Progress } from '../training/progress.js';
import { Trainer } from '../training/trainer.js';
import { openData, shorten } from './data.js';

const EXAMPLES_SHOWN = 3;

/**
 * Trains, evaluates and saves. Progress goes to stderr; the metrics go to stdout as one JSON object.
 *
 * @throws UsageError for options, data or a model that cannot be used; RunError when the run fails
 */
export async function train(options: TrainOptions): Promise<void> {
  const progress = new Progress();
  const source = await modelSource(options, progress);
  const data = await openData(readOptions(options, source.config), 'train', progress);
  let model: BertForSequenceClassification | undefined;
  let trainer: Trainer | undefined;
  try {
    checkTask(options, data);
    model = await source.load(data);
    const tokenizer = await BertTokenizer.fromPretrained(options.tokenizer ?? source.directory ?? '');
    checkVocabulary(tokenizer, model.config);
    const evalDataset = data.splits.validation;
    trainer = new Trainer({
      model,
      args: options,
      tokenizer,
      trainDataset: data.train,
      evalDataset,
      progress,
    });
    await model.open(options);
    announce(model, progress);
    const results = await trainAndEvaluate(trainer, evalDataset !== undefined);
    await save(options, { model, tokenizer, trainer, data, results });
    await showExamples(model, tokenizer, data, progress);
    showNextSteps(options, progress);
    process.stdout.write(`${JSON.stringify({ ...results.train, ...results.evaluation }, null, 2)}\n`);
  } finally {
    await trainer?.close();
    await model?.close();
    await data.close();
  }
}

interface ModelSource {
  config: BertConfig;
  /** The folder of the model; null when it starts from random weights. */
  directory: string | null;
  load(data: DatasetDict): Promise<BertForSequenceClassification>;
}

async function modelSource(options: TrainOptions, progress: Progress): Promise<ModelSource> {
  if (options.model === undefined) return randomModel(options, progress);
  const directory = await modelDirectory(
    options.model,
    withoutUndefined({ revision: options.modelRevision }),
  );
  return {
    config: await readBertConfig(directory),
    directory,
    load: ({ task }) => BertForSequenceClassification.fromPretrained(directory, task),
  };
}

async function randomModel(options: TrainOptions, progress: Progress): Promise<ModelSource> {
  const path = options.config;
  if (path === undefined || options.tokenizer === undefined)
    throw new UsageError(
      'Give --model, a folder or hub id; or --config and --tokenizer to start from random weights',
    );
  const config = parseBertConfig(await readConfigFile(path), path);
  progress.line(
    `Starting from random weights of the shape in ${path}; with pre-trained weights (--model) less data does.`,
  );
  return {
    config,
    directory: null,
    load: ({ task }) => Promise.resolve(BertForSequenceClassification.fromConfig(config, task)),
  };
}

async function readConfigFile(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw readError(error, path);
  });
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UsageError(`${path} is not JSON: ${messageOf(error)}`);
  }
}

function readOptions(options: TrainOptions, config: BertConfig): Parameters<typeof openData>[0] {
  const names = config.id2label;
  const { maxTrainSamples, maxEvalSamples } = options;
  return {
    ...options,
    modelLabels: options.labelList === undefined && !areDefaultLabels(names) ? names : undefined,
    maxSamples: { train: maxTrainSamples, validation: maxEvalSamples },
  };
}

function checkTask({ numLabels }: TrainOptions, { task }: DatasetDict): void {
  if (numLabels !== undefined && numLabels !== task.numLabels)
    throw new UsageError(
      `--num-labels is ${numLabels} but the data have ${task.numLabels} labels (${task.labels.slice(0, 8).join(', ')})`,
    );
}

/** @throws UsageError for a tokenizer whose ids the model has no embeddings for */
export function checkVocabulary(tokenizer: BertTokenizer, config: BertConfig): void {
  if (tokenizer.vocabSize > config.vocabSize)
    throw new UsageError(
      `The tokenizer has ${tokenizer.vocabSize} tokens but the model's vocabulary only ${config.vocabSize}: they do not belong together`,
    );
}

function announce(model: BertForSequenceClassification, progress: Progress): void {
  for (const note of model.notes) progress.line(`note: ${note}`);
  const { newlyInitialised, session } = model;
  if (newlyInitialised.length > 0 && newlyInitialised.length < session.tensors().length)
    progress.line(`Newly initialised, to be trained: ${newlyInitialised.join(', ')}`);
  progress.line(`Training on ${model.placement}`);
}

interface Results {
  train: Metrics;
  evaluation: Metrics;
}

async function trainAndEvaluate(trainer: Trainer, evaluates: boolean): Promise<Results> {
  const metrics = await trainer.train();
  const { epoch } = trainer.state;
  return {
    train: { ...metrics, epoch },
    evaluation: evaluates ? { ...(await trainer.evaluate()), epoch } : {},
  };
}

/** The files that run_classification.py leaves behind. */
async function save(
  options: TrainOptions,
  parts: {
    model: BertForSequenceClassification;
    tokenizer: BertTokenizer;
    trainer: Trainer;
    data: DatasetDict;
    results: Results;
  },
): Promise<void> {
  const { outputDir } = options;
  const { model, tokenizer, trainer, data, results } = parts;
  await model.savePretrained(outputDir);
  await tokenizer.savePretrained(outputDir);
  await writeJson(join(outputDir, 'trainer_state.json'), trainer.state);
  await writeJson(join(outputDir, 'train_results.json'), results.train);
  if (Object.keys(results.evaluation).length > 0)
    await writeJson(join(outputDir, 'eval_results.json'), results.evaluation);
  await writeJson(join(outputDir, 'all_results.json'), { ...results.train, ...results.evaluation });
  await writeJson(join(outputDir, 'training_options.json'), options);
  for (const [name, dataset] of Object.entries(data.splits))
    if (dataset.split.badRows.count > 0)
      await dataset.split.badRows.writeTo(join(outputDir, `bad_rows_${name}.jsonl`));
}

async function showExamples(
  model: BertForSequenceClassification,
  tokenizer: BertTokenizer,
  { splits }: DatasetDict,
  progress: Progress,
): Promise<void> {
  const rows = (await splits.validation?.split.preview(EXAMPLES_SHOWN)) ?? [];
  if (rows.length === 0) return;
  const predictions = await classify(model, tokenizer, rows);
  progress.line('Example predictions:');
  rows.forEach((row, i) => {
    const { label, score } = predictions[i] ?? { label: '', score: 0 };
    const shown = typeof label === 'number' ? formatNumber(label) : [label].flat().join(', ');
    progress.line(`  ${shown} (${formatNumber(score)}), labelled ${row.label}: ${shorten(row.text)}`);
  });
}

function showNextSteps({ outputDir }: TrainOptions, progress: Progress): void {
  progress.line(
    [
      '',
      `The model is in ${outputDir}; BertForSequenceClassification.from_pretrained loads it too.`,
      `  classify a file   npm run predict -- --model ${outputDir} --test-file FILE.csv --output-file predictions.jsonl`,
      '  your own CSV      npm run train -- --model bert-base-uncased --train-file a.csv --validation-file b.csv --output-dir out',
      '  IMDB reviews      npm run train -- configs/imdb.json',
    ].join('\n'),
  );
}
