// Loads a model that has been trained, with its tokenizer, for evaluation and prediction.
import { join } from 'node:path';

import { z } from 'zod';

import { maxLengthOf } from '../data/lengths.js';
import { BertForSequenceClassification } from '../models/bert-for-sequence-classification.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { UsageError } from '../util/errors.js';
import { modelDirectory } from '../hub/index.js';
import { exists } from '../util/exists.js';
import { finishReplacing, isBeingReplaced } from '../formats/replace-files.js';
import { readJson } from '../util/json.js';
import type { BertConfig } from '../models/config.js';
import type { Lora } from '../models/lora.js';
import { BertTokenizer } from '../tokenizer/index.js';
import { whileLocked } from '../util/folder-lock.js';
import type { Progress } from '../terminal/progress.js';
import { CommandProgress } from './output.js';

/**
 * The folder of a model. A new model that a killed run left half moved there is moved first.
 *
 * @throws UsageError when there is none, or a living run is moving its model there; RunError when it cannot be moved
 */
export async function modelFolder(options: { model: string; modelRevision?: string }): Promise<string> {
  const hub = withoutUndefined({ revision: options.modelRevision });
  const directory = await modelDirectory(options.model, hub);
  if (!(await isBeingReplaced(directory))) return directory;
  const progress = new CommandProgress();
  const say = (line: string): void => progress.line(line);
  await whileLocked(directory, say, () => finishReplacing(directory));
  say(`${directory} was to get a new model when a run was ended: it has it now`);
  return directory;
}

/** @throws UsageError for a model without a trained head, whose answers would be random */
export async function loadTrained(options: {
  model: string;
  modelRevision?: string;
  baseModel?: string;
  tokenizer?: string;
}): Promise<{
  model: BertForSequenceClassification;
  tokenizer: BertTokenizer;
  /** The `--max-seq-length` that it was trained with; undefined where none was given, or it is not known. */
  trainedLength: number | undefined;
}> {
  const directory = await modelFolder(options);
  const model = await BertForSequenceClassification.fromPretrained(
    directory,
    withoutUndefined({ baseModel: options.baseModel }),
  );
  try {
    if (model.newlyInitialised.length > 0)
      throw new UsageError(
        `${options.model} is not a trained classifier: it lacks ${model.newlyInitialised.join(', ')}. Train it first.`,
      );
    const tokenizer = await openTokenizer(options, await tokenizerSource(directory, model.lora));
    checkVocabulary(tokenizer, model.config);
    return { model, tokenizer, trainedLength: await trainedLength(directory, model.config) };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** What `bertune train` left beside its model. What others put there is not worth an error. */
async function trainedLength(directory: string, config: BertConfig): Promise<number | undefined> {
  const path = join(directory, 'training_options.json');
  if (!(await exists(path))) return undefined;
  const schema = z.object({ maxSeqLength: z.int().min(1).max(config.maxPositionEmbeddings) });
  return schema.safeParse(await readJson(path)).data?.maxSeqLength;
}

/**
 * The tokens that a text may have: what is asked for, or as in the training.
 *
 * @throws UsageError when more is asked for than the model has positions
 */
export function trainedMaxLength(
  { model, tokenizer, trainedLength: trained }: Awaited<ReturnType<typeof loadTrained>>,
  asked: number | undefined,
  progress: Progress,
): number {
  if (asked === undefined && trained !== undefined)
    progress.line(
      `Texts are cut at ${trained} tokens as in the training; --max-seq-length gives another length`,
    );
  return maxLengthOf(model, tokenizer, asked ?? trained);
}

/** Where a tokenizer is, and for a hub id at which revision. */
export interface TokenizerSource {
  name: string;
  revision?: string;
}

/** The folder of a model, or for an adapter that was saved without a tokenizer its base. */
export async function tokenizerSource(directory: string, lora: Lora | undefined): Promise<TokenizerSource> {
  const files = ['tokenizer.json', 'vocab.txt'].map((name) => exists(join(directory, name)));
  const hasTokenizer = (await Promise.all(files)).includes(true);
  if (hasTokenizer || lora === undefined) return { name: directory };
  return { name: lora.base, ...(lora.revision !== null && { revision: lora.revision }) };
}

/** The tokenizer that was named, or else the model's own. The revision of the model is that of its repository alone. */
export function openTokenizer(
  options: { model?: string; modelRevision?: string; tokenizer?: string },
  own: TokenizerSource | null,
): Promise<BertTokenizer> {
  const { model, modelRevision, tokenizer } = options;
  const name = tokenizer ?? own?.name ?? '';
  const revision =
    tokenizer === undefined || tokenizer === model ? (own?.revision ?? modelRevision) : undefined;
  return BertTokenizer.fromPretrained(name, withoutUndefined({ revision }));
}

/** @throws UsageError for a tokenizer whose ids the model has no embeddings for */
export function checkVocabulary(tokenizer: BertTokenizer, config: BertConfig): void {
  if (tokenizer.vocabSize > config.vocabSize)
    throw new UsageError(
      `The tokenizer has ${tokenizer.vocabSize} tokens but the model's vocabulary only ${config.vocabSize}: they do not belong together`,
    );
}
