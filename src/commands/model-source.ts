// The model that a command works with: where a training starts from (a folder, a hub id, or random weights of a config's
// shape), or one that was trained, with its tokenizer.
import { join } from 'node:path';
import type { DatasetDict } from '../data/dataset.js';
import { maxLengthOf } from '../data/batch.js';
import { listCheckpoints } from '../formats/model-folder.js';
import { finishReplacing, isBeingReplaced } from '../formats/replace-files.js';
import { modelDirectory } from '../hub/model.js';
import { areDefaultLabels } from '../models/labels.js';
import { readConfig } from '../models/pretrained.js';
import { anyModelOf, loadAnyModel } from '../models/auto-model.js';
import { encoderOf, otherTaskOf, parseConfig, taskNameOf, type ModelConfig } from '../models/config.js';
import type { EncoderModel } from '../models/encoder-model.js';
import type { Lora, LoraOptions } from '../models/lora.js';
import {
  OptionsError,
  scoringProblems,
  withReading,
  type Command,
  type EvaluateOptions,
  type PredictOptions,
  type ServeOptions,
  type TrainOptions,
} from '../options/index.js';
import { kebabCase } from '../options/option.js';
import type { ProblemType } from '../tasks/index.js';
import type { Progress } from '../terminal/progress.js';
import { AUTO } from '../training/output-folder.js';
import { BertTokenizer, hasTokenizer } from '../tokenizer/index.js';
import { UsageError } from '../util/errors.js';
import { exists, isFolder } from '../util/file-system.js';
import { whileLocked } from '../util/folder-lock.js';
import { readJson } from '../util/json.js';
import { withoutUndefined } from '../util/without-undefined.js';
import type { openData } from './data.js';
import { CommandProgress } from './output.js';

type LoraFlags = Partial<Pick<TrainOptions, 'loraRank' | 'loraAlpha' | 'loraDropout' | 'loraTargetModules'>>;
type ModelOptions = Pick<TrainOptions, 'model' | 'modelRevision' | 'config' | 'tokenizer' | 'task'> &
  Partial<Pick<TrainOptions, 'baseModel' | 'outputDir' | 'resumeFromCheckpoint'>>;

/** Where the model of a training comes from; it is made when the labels of the data are known. */
export interface ModelSource {
  config: ModelConfig;
  /** The adapter that is trained in place of the weights, if there is one. */
  lora?: Lora;
  /** The folder of the model; null when it starts from random weights. */
  directory: string | null;
  /** Where the model's tokenizer is; null when it starts from random weights. */
  tokenizer: TokenizerSource | null;
  load(data: DatasetDict, flags?: LoraFlags): Promise<EncoderModel>;
}

/** @throws UsageError for a model that cannot be used, before any data are read */
async function modelSource(options: ModelOptions & LoraFlags, progress: Progress): Promise<ModelSource> {
  if (options.model === undefined) return randomModel(options, progress);
  const { model, modelRevision } = options;
  const directory = await modelFolder({ model, ...withoutUndefined({ modelRevision }) });
  // Opened once without the labels, so that a broken model shows before the data are read.
  const named = withoutUndefined({ baseName: options.model, baseRevision: options.modelRevision });
  const base = withoutUndefined({ baseModel: options.baseModel });
  const untouched = await loadAnyModel(directory, { ...base, ...loraOf(options, named) }, options.task);
  await untouched.close();
  return {
    config: untouched.config,
    ...(untouched.lora !== undefined && { lora: untouched.lora }),
    directory,
    tokenizer: await tokenizerSource(directory, untouched.lora),
    load: ({ task }, flags = {}) =>
      loadAnyModel(directory, {
        ...task,
        ...base,
        ...loraOf(flags, named),
      }),
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
  const config = parseConfig(await readJson(path), path);
  if (!(await isToResume(options)))
    progress.line(
      `Starting from random weights of the shape in ${path}; pre-trained weights (--model) need less data.`,
    );
  return {
    config,
    directory: null,
    tokenizer: null,
    load: ({ task }) => Promise.resolve(anyModelOf(config, task)),
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
  const isTrained =
    directory !== null && !areDefaultLabels(names) && otherTaskOf(config, taskNameOf(config)) === undefined;
  const { maxTrainSamples, maxEvalSamples } = options;
  return {
    ...options,
    modelLabels: options.labelList === undefined && isTrained ? names : undefined,
    maxSamples: { train: maxTrainSamples, validation: maxEvalSamples },
  };
}

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
  const log = (line: string): void => progress.line(line);
  await whileLocked(directory, log, () => finishReplacing(directory));
  log(`${directory}: a run was ended while it saved its model there; that is complete now`);
  return directory;
}

/**
 * A trained model, and the options of a command on it: where none was given, that of the training, with a note.
 *
 * @throws UsageError as `loadTrained`, for more tokens than the model has positions, and for options that do not go with
 *   those of the training
 */
export async function openTrained<T extends EvaluateOptions | PredictOptions | ServeOptions>(
  command: Command<T>,
  asked: T,
  progress: Progress,
  task?: 'as saved',
): Promise<{ model: EncoderModel; tokenizer: BertTokenizer; options: T; maxLength: number }> {
  const { model, tokenizer, notes } = await loadTrained(asked, task);
  try {
    const { options, notes: ofReading } = withReading(command, asked, model.reading, asked.model);
    for (const note of [...notes, ...ofReading]) progress.line(note);
    const [problem] = scoringProblems(options, (name) => `--${kebabCase(name)}`);
    if (problem !== undefined) throw new OptionsError(problem.message);
    const maxLength = maxLengthOf(model, tokenizer, options.maxSeqLength);
    return { model, tokenizer, options, maxLength };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** One line where a model that was trained on pairs of texts reads single ones, and the other way round. */
export function pairNote({ reading }: EncoderModel, readsPairs: boolean): string[] {
  const trainedOnPairs = reading['textPairColumn'] !== undefined;
  if (reading['textColumn'] === undefined || trainedOnPairs === readsPairs) return [];
  return [
    trainedOnPairs
      ? 'note: the model was trained on pairs of texts, and these are single texts'
      : 'note: the model was trained on single texts, and these are pairs',
  ];
}

/** @throws UsageError for a model without a trained head, whose answers would be random */
export async function loadTrained(
  options: {
    model: string;
    modelRevision?: string;
    baseModel?: string;
    tokenizer?: string;
    problemType?: ProblemType;
  },
  task?: 'as saved',
): Promise<{ model: EncoderModel; tokenizer: BertTokenizer; notes: string[] }> {
  const directory = await modelFolder(options);
  const model = await loadAnyModel(
    directory,
    withoutUndefined({ baseModel: options.baseModel, problemType: options.problemType }),
    options.problemType === undefined ? task : undefined,
  );
  try {
    const other = otherTaskOf(model.config, model.task.kind.name);
    if (other !== undefined)
      throw new UsageError(
        `${options.model} is ${other}, not a ${model.task.kind.unit} classifier; train one from it first`,
      );
    if (model.newlyInitialised.length > 0 && model.config.architectures[0]?.endsWith('ForMaskedLM') === true)
      throw new UsageError(
        `${options.model} is a masked language model, which gives no labels; train a classifier from it first`,
      );
    if (model.newlyInitialised.length > 0)
      throw new UsageError(
        `${options.model} is not a trained classifier: it lacks ${model.newlyInitialised.join(', ')}. ` +
          (model.lora === undefined
            ? 'Train it first.'
            : 'PEFT saves new layers of the head only where modules_to_save names them: train it further, which saves them.'),
      );
    const tokenizer = await openTokenizer(options, await tokenizerSource(directory, model.lora));
    checkVocabulary(tokenizer, model.config);
    return { model, tokenizer, notes: await problemTypeNotes(options, directory, model) };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** PEFT saves no problem type with an adapter: whether several labels may be right is then for the caller to tell. */
async function problemTypeNotes(
  { problemType }: { problemType?: ProblemType },
  directory: string,
  { config, lora, task }: EncoderModel,
): Promise<string[]> {
  const isOwn = await exists(join(directory, 'config.json'));
  if (problemType !== undefined) {
    const saved = isOwn ? (await readConfig(directory)).problemType : null;
    if (saved === null || saved === problemType) return [];
    return [`note: --problem-type is ${problemType} in place of ${saved}, which the model's config.json has`];
  }
  if (lora === undefined || isOwn || config.problemType !== null) return [];
  return [
    `note: neither the adapter nor its base has a problem type: it is taken for ${task.problemType}; --problem-type gives another`,
  ];
}

/** Whether weights will come from a checkpoint. */
async function isToResume({
  outputDir,
  resumeFromCheckpoint: request = false,
}: ModelOptions): Promise<boolean> {
  if (request !== AUTO) return request !== false;
  return outputDir !== undefined && (await listCheckpoints(outputDir)).length > 0;
}

/** Where a tokenizer is, and for a hub id at which revision. */
export interface TokenizerSource {
  name: string;
  revision?: string;
}

/** The folder of a model, or for an adapter that was saved without a tokenizer its base. */
async function tokenizerSource(directory: string, lora: Lora | undefined): Promise<TokenizerSource> {
  if (lora === undefined || (await hasTokenizer(directory))) return { name: directory };
  return { name: lora.base, ...(lora.revision !== null && { revision: lora.revision }) };
}

/** The tokenizer that was named, or else the model's own. The revision of the model is that of its repository alone. */
function openTokenizer(
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
function checkVocabulary(tokenizer: BertTokenizer, config: ModelConfig): void {
  const { vocab } = encoderOf(config).embeddings;
  if (tokenizer.vocabSize > vocab)
    throw new UsageError(
      `The tokenizer has ${tokenizer.vocabSize} tokens but the model's vocabulary only ${vocab}: they do not belong together; give the tokenizer that the model was trained with`,
    );
}
