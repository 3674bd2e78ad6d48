// The model that a training starts from: a folder or hub id, or random weights of a config's shape.
import { join } from 'node:path';

import { BertForSequenceClassification } from '../models/bert-for-sequence-classification.js';
import type { LoraOptions } from '../models/adapter.js';
import type { TrainOptions } from '../options/index.js';
import type { DatasetDict } from '../data/dataset.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { UsageError } from '../util/errors.js';
import { isFolder } from '../util/make-folder.js';
import { areDefaultLabels } from '../models/labels.js';
import { parseBertConfig, type BertConfig } from '../models/config.js';
import { readJson } from '../util/json.js';
import type { Lora } from '../models/lora.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { Progress } from '../terminal/progress.js';
import type { openData } from './data.js';
import {
  checkVocabulary,
  modelFolder,
  openTokenizer,
  tokenizerSource,
  type TokenizerSource,
} from './trained.js';

type LoraFlags = Partial<Pick<TrainOptions, 'loraRank' | 'loraAlpha' | 'loraDropout' | 'loraTargetModules'>>;
type ModelOptions = Pick<TrainOptions, 'model' | 'modelRevision' | 'config' | 'tokenizer'> &
  Partial<Pick<TrainOptions, 'baseModel'>>;

/** Where the model of a training comes from; it is made when the labels of the data are known. */
export interface ModelSource {
  config: BertConfig;
  /** The adapter that is trained in place of the weights, if there is one. */
  lora?: Lora;
  /** The folder of the model; null when it starts from random weights. */
  directory: string | null;
  /** Where the model's tokenizer is; null when it starts from random weights. */
  tokenizer: TokenizerSource | null;
  load(data: DatasetDict, flags?: LoraFlags): Promise<BertForSequenceClassification>;
}

/** @throws UsageError for a model that cannot be used, before any data are read */
async function modelSource(options: ModelOptions & LoraFlags, progress: Progress): Promise<ModelSource> {
  if (options.model === undefined) return randomModel(options, progress);
  const { model, modelRevision } = options;
  const directory = await modelFolder({ model, ...withoutUndefined({ modelRevision }) });
  // Opened once without the labels, so that a broken model shows before the data are read.
  const named = withoutUndefined({ baseName: options.model, baseRevision: options.modelRevision });
  const base = withoutUndefined({ baseModel: options.baseModel });
  const untouched = await BertForSequenceClassification.fromPretrained(directory, {
    ...base,
    ...loraOf(options, named),
  });
  await untouched.close();
  return {
    config: untouched.config,
    ...(untouched.lora !== undefined && { lora: untouched.lora }),
    directory,
    tokenizer: await tokenizerSource(directory, untouched.lora),
    load: ({ task }, flags = {}) =>
      BertForSequenceClassification.fromPretrained(directory, { ...task, ...base, ...loraOf(flags, named) }),
  };
}

/** The adapter that flags ask for. */
function loraOf(
  flags: LoraFlags,
  base: Pick<LoraOptions, 'baseName' | 'baseRevision'>,
): { lora?: LoraOptions } {
  const { loraRank: rank, loraAlpha: alpha, loraDropout: dropout, loraTargetModules: targetModules } = flags;
  if (rank === undefined) return {};
  return { lora: { rank, ...base, ...withoutUndefined({ alpha, dropout, targetModules }) } };
}

/** The model and its tokenizer. @throws UsageError as `modelSource`, and for a tokenizer of another model */
export async function modelAndTokenizer(
  options: ModelOptions & LoraFlags,
  progress: Progress,
): Promise<{ source: ModelSource; tokenizer: BertTokenizer }> {
  const source = await modelSource(options, progress);
  const tokenizer = await openTokenizer(options, source.tokenizer);
  checkVocabulary(tokenizer, source.config);
  return { source, tokenizer };
}

async function randomModel(options: ModelOptions, progress: Progress): Promise<ModelSource> {
  const path = options.config;
  if (path === undefined || options.tokenizer === undefined)
    throw new UsageError(
      'Give --model, a folder or hub id; or --config and --tokenizer to start from random weights',
    );
  if (await isFolder(path))
    throw new UsageError(
      `--config ${path} is a folder; name the file in it: --config ${join(path, 'config.json')}`,
    );
  const config = parseBertConfig(await readJson(path), path);
  progress.line(
    `Starting from random weights of the shape in ${path}; with pre-trained weights (--model) less data does.`,
  );
  return {
    config,
    directory: null,
    tokenizer: null,
    load: ({ task }) => Promise.resolve(BertForSequenceClassification.fromConfig(config, task)),
  };
}

/** How the data are to be read for that model. */
export function readOptions(
  options: Omit<Parameters<typeof openData>[0], 'maxSamples'> &
    Pick<TrainOptions, 'maxTrainSamples' | 'maxEvalSamples'>,
  { config, directory }: Pick<ModelSource, 'config' | 'directory'>,
): Parameters<typeof openData>[0] {
  const names = config.id2label;
  // Of a config alone only the shape is taken.
  const isTrained = directory !== null && !areDefaultLabels(names);
  const { maxTrainSamples, maxEvalSamples } = options;
  return {
    ...options,
    modelLabels: options.labelList === undefined && isTrained ? names : undefined,
    maxSamples: { train: maxTrainSamples, validation: maxEvalSamples },
  };
}
