// What a command knows of the model that it saves, for its model card.
import { basename, isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';

import { maxLengthOf } from '../data/batch.js';
import type { DatasetDict } from '../data/dataset.js';
import type { Metrics } from '../evaluation/evaluate.js';
import { classNameOf } from '../models/config.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { deviceInfo } from '../native/index.js';
import { parseTrainOptions, settingsOf, type MergeOptions, type TrainOptions } from '../options/index.js';
import { MODEL_CARD, modelCardFor, type CardUpdate } from '../publishing/card-file.js';
import type { Base, DataSource, ModelFacts } from '../publishing/facts.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { numberOrNaN } from '../training/state.js';
import { messageOf } from '../util/errors.js';
import { exists, isFolder } from '../util/file-system.js';
import { packageVersion } from '../util/installation.js';
import { readJson } from '../util/json.js';
import { listed } from '../util/text.js';

const NO_CARD: CardUpdate = { text: null, note: null };

interface Parts {
  model: EncoderModel;
  tokenizer: BertTokenizer;
}

/** The card of a model that was trained; none where the options want none. */
export async function cardOfTraining(
  options: TrainOptions,
  parts: Parts & { data: DatasetDict; evaluation: Metrics },
): Promise<CardUpdate> {
  if (!options.modelCard) return NO_CARD;
  return cardOf(options.outputDir, () => factsOfTraining(options, parts));
}

async function factsOfTraining(
  options: TrainOptions,
  { model, tokenizer, data, evaluation }: Parts & { data: DatasetDict; evaluation: Metrics },
): Promise<ModelFacts> {
  const { hubSplits } = data;
  return {
    ...(await commonFacts(options, model)),
    base: await baseOf(model.lora?.base ?? options.model),
    isAdapter: model.lora !== undefined,
    readsPairs: data.train.split.columns.textPair !== null,
    maxLength: maxLengthOf(model, tokenizer, options.maxSeqLength),
    trainedOn: trainedOn(options, hubSplits),
    evaluation:
      Object.keys(evaluation).length === 0
        ? null
        : { on: evaluatedOn(options, hubSplits), metrics: evaluation },
    settings: settingsOf(options),
  };
}

/** The card of an adapter that was folded into its base: of its training what its folder tells. */
export async function cardOfMerge(
  options: MergeOptions,
  parts: Parts & { adapter: string },
): Promise<CardUpdate> {
  if (!options.modelCard) return NO_CARD;
  return cardOf(options.outputDir, () => factsOfMerge(options, parts));
}

async function factsOfMerge(
  options: MergeOptions,
  { model, tokenizer, adapter }: Parts & { adapter: string },
): Promise<ModelFacts> {
  const trained = await optionsIn(adapter);
  const metrics = await metricsIn(adapter);
  const { maxSeqLength } = model.reading;
  return {
    ...(await commonFacts({ ...trained, ...options }, model)),
    base: await baseOf(model.lora?.base),
    isAdapter: false,
    readsPairs: model.reading['textPairColumn'] !== undefined,
    maxLength: maxLengthOf(model, tokenizer, typeof maxSeqLength === 'number' ? maxSeqLength : undefined),
    trainedOn: trained === null ? null : trainedOn(trained, {}),
    evaluation: metrics === null ? null : { on: trained === null ? null : evaluatedOn(trained, {}), metrics },
    settings: trained === null ? null : settingsOf(trained),
  };
}

/** A card that cannot be made is a note: the model is worth more, and is not saved yet. */
async function cardOf(directory: string, facts: () => Promise<ModelFacts>): Promise<CardUpdate> {
  try {
    return await modelCardFor(directory, await facts());
  } catch (error) {
    return { text: null, note: `note: ${join(directory, MODEL_CARD)} was not written: ${messageOf(error)}` };
  }
}

type CardOptions = Pick<TrainOptions, 'outputDir' | 'language' | 'license'>;

async function commonFacts(
  { outputDir, language = [], license }: CardOptions,
  { config, task }: EncoderModel,
): Promise<
  Pick<ModelFacts, 'name' | 'className' | 'task' | 'versions' | 'languages' | 'license' | 'hasOnnx'>
> {
  return {
    name: basename(resolve(outputDir)),
    className: classNameOf(config),
    task,
    versions: { bertune: packageVersion(), LibTorch: deviceInfo().libtorch },
    languages: language,
    license: license ?? null,
    hasOnnx: await exists(join(outputDir, 'onnx', 'model.onnx')),
  };
}

async function baseOf(name: string | undefined): Promise<Base> {
  if (name === undefined) return 'random weights';
  // A folder that is gone since has no id either.
  return (await isFolder(name)) || isAbsolute(name) || name.startsWith('.') ? 'folder' : { id: name };
}

type SourceOptions = Pick<
  TrainOptions,
  'dataset' | 'datasetConfig' | 'trainFile' | 'validationFile' | 'validationSplit' | 'trainSplit'
>;
type HubSplits = DatasetDict['hubSplits'];

function trainedOn(options: SourceOptions, { train }: HubSplits): DataSource {
  return sourceOf(options, options.trainFile, train ?? options.trainSplit);
}

function evaluatedOn(options: SourceOptions, hubSplits: HubSplits): DataSource {
  const { validationSplit: named, validationFile } = options;
  if (typeof named === 'number') return { ...trainedOn(options, hubSplits), share: named };
  return sourceOf(options, validationFile, hubSplits.validation ?? named);
}

function sourceOf(
  { dataset, datasetConfig: config }: SourceOptions,
  files: readonly string[] = [],
  split?: string,
): DataSource {
  if (dataset !== undefined) return { name: dataset, id: dataset, config, split };
  const names = files.map((path) => basename(path));
  return { name: names.length === 1 ? (names[0] ?? '') : listed(names, 3), id: null };
}

/** The options of the training that left its model in a folder; null where there are none that are understood. */
async function optionsIn(directory: string): Promise<TrainOptions | null> {
  const path = join(directory, 'training_options.json');
  try {
    return parseTrainOptions({ file: { path, text: JSON.stringify(await readJson(path)) } }).options;
  } catch {
    return null;
  }
}

const metricsFile = z.record(z.string(), numberOrNaN);

/** The metrics of a model in its folder; null where there are none. */
async function metricsIn(directory: string): Promise<Metrics | null> {
  const found = metricsFile.safeParse(await readJson(join(directory, 'eval_results.json')).catch(() => null));
  return found.success ? found.data : null;
}
