// A model's folder in a repository of the hub: which of its files are the model, under which name its card speaks of it, and what of
// an older model goes there.
import { readdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { onlyCheckpoints } from '../formats/model-folder.js';
import { isAdapterFolder } from '../formats/peft.js';
import { INDEX, OF_WEIGHTS } from '../formats/replace-files.js';
import { isShardName } from '../formats/safetensors.js';
import { TOKENIZER_FILES, VOCABULARIES, type HubOptions } from '../hub/model.js';
import { concealingToken, type DownloadProgress } from '../hub/progress.js';
import { hubSettings } from '../hub/settings.js';
import { addressOf, openTarget, upload, type Target, type Upload, type Uploaded } from '../hub/upload.js';
import { readError, UsageError } from '../util/errors.js';
import { exists, isFolder } from '../util/file-system.js';
import { isObject, readJson, readSmallFile } from '../util/json.js';
import { counted } from '../util/text.js';
import { MODEL_CARD, renamedCard } from './card-file.js';

/** Of an older model they would be taken for the new one's, or be loaded in its place. */
const OF_OLDER_MODEL: ReadonlySet<string> = new Set(OF_WEIGHTS);
const OF_MODEL: ReadonlySet<string> = new Set([
  ...OF_WEIGHTS,
  ...TOKENIZER_FILES,
  ...VOCABULARIES.flat(),
  MODEL_CARD,
]);
const WEIGHTS: ReadonlySet<string> = new Set(['model.safetensors', INDEX, 'adapter_model.safetensors']);
const ONNX = 'onnx';
const OF_ONNX = /^[\w.-]+\.onnx(?:_data(?:_\d+)?)?$/;
/** Where the newest checkpoint is in a repository, as transformers' Trainer has it. */
const LAST_CHECKPOINT = 'last-checkpoint';

/**
 * Where and how a model is pushed.
 *
 * @example
 * ```ts
 * import { pushToHub, type PushOptions } from 'bertune';
 *
 * const options: PushOptions = { repo: 'me/my-model', private: true, commitMessage: 'More data' };
 * await pushToHub('out', options);
 * ```
 */
export interface PushOptions extends HubOptions {
  /** `organization/name`, or `name` for a repository of the token's account. It is made where it is not there. */
  repo: string;
  /** A branch, which is made from `main` where it is not there; default `main`. */
  revision?: string;
  /** Whether a new repository is private; default: as its owner has set. True refuses one that is public already. */
  private?: boolean;
  /** Default `Upload model with bertune`. */
  commitMessage?: string;
}

/** A repository to which one or several states of a model are pushed. */
export interface HubPush {
  /** Of the repository. */
  readonly id: string;
  /**
   * @param options.asCheckpoint all files of the folder, as `last-checkpoint`, from which a training resumes
   * @returns what was done, in one line
   */
  push(directory: string, options: { message: string; asCheckpoint?: boolean }): Promise<string>;
}

/**
 * Uploads a model's folder to a repository of the hub: config, weights, tokenizer, model card and `onnx/`, in one commit, and of them
 * only what the repository has not. Checkpoints, logs and options stay here. Where the folder has weights, those of an older model
 * go. In the code of a card that bertune generated the model has the repository's name. The token is that of HF_TOKEN or the token
 * file.
 *
 * @param directory the folder of a model, an adapter or an export
 * @returns what was done, in one line
 * @throws UsageError without a token that may write, offline, and for a folder without a model; RunError when the hub does not answer
 *
 * @example
 * ```ts
 * import { pushToHub } from 'bertune';
 *
 * console.log(await pushToHub('out', { repo: 'me/my-model', private: true }));
 * ```
 */
export async function pushToHub(directory: string, options: PushOptions): Promise<string> {
  await modelFiles(directory); // before a repository is made
  const hub = await openHubPush(options);
  return hub.push(directory, { message: options.commitMessage ?? 'Upload model with bertune' });
}

/**
 * Finds out whether a model can be pushed, before there is one, and makes the repository.
 *
 * @throws as {@link pushToHub}
 */
export async function openHubPush(
  options: Omit<PushOptions, 'commitMessage'> & { quiet?: boolean },
): Promise<HubPush> {
  const { repo: id, revision: branch, private: isPrivate, progress: sink } = options;
  const given = await hubSettings(options.env ?? process.env);
  const settings = { ...given, quiet: given.quiet || options.quiet === true };
  const concealed = <T>(task: (progress: DownloadProgress) => Promise<T>): Promise<T> =>
    concealingToken(settings, sink, task, 'Uploading');
  const target = await concealed((progress) => openTarget(settings, { id, branch, isPrivate }, progress));
  return {
    id: target.repo.id,
    push: (directory, { message, asCheckpoint = false }) =>
      concealed(async (progress) => {
        const content = await (asCheckpoint ? checkpointIn(directory) : modelIn(directory, target));
        const done = await upload(target, { ...content, message }, settings, progress);
        for (const note of await notesOf(directory, done)) progress.note(note);
        if (done.changed.size === 0 && done.unwanted.length === 0)
          return `${addressOf(target.repo, settings)} has all files already`;
        let bytes = 0;
        for (const { size } of done.changed.values()) bytes += size;
        const removed =
          done.unwanted.length === 0 ? '' : `, ${counted(done.unwanted.length, 'file')} removed`;
        const what = `${counted(done.changed.size, 'file')}, ${(bytes / 1e6).toFixed(1)} MB${removed}`;
        return `Pushed to ${addressOf(target.repo, settings)} (${what}; commit ${done.commit.slice(0, 8)})`;
      }),
  };
}

type Content = Pick<Upload, 'files' | 'removed'>;

async function modelIn(directory: string, { repo }: Target): Promise<Content> {
  const paths = await modelFiles(directory);
  const files = new Map<string, { path: string } | { text: string }>();
  for (const path of paths) files.set(path, { path: join(directory, path) });
  if (files.has(MODEL_CARD)) {
    const card = (await readSmallFile(join(directory, MODEL_CARD))).toString('utf8');
    const renamed = renamedCard(card, repo.id);
    if (renamed !== null) files.set(MODEL_CARD, { text: renamed });
  }
  const hasWeights = paths.some((path) => WEIGHTS.has(path));
  return {
    files,
    removed: (there) =>
      hasWeights ? there.filter((path) => OF_OLDER_MODEL.has(path) || isShardName(path)) : [],
  };
}

/** All of it, in a folder of the repository. */
async function checkpointIn(directory: string): Promise<Content> {
  const names = await filesIn(directory);
  return {
    files: new Map(names.map((name) => [`${LAST_CHECKPOINT}/${name}`, { path: join(directory, name) }])),
    removed: (there) => there.filter((path) => path.startsWith(`${LAST_CHECKPOINT}/`)),
  };
}

/**
 * The files of a folder that are the model, by their paths in it.
 *
 * @throws UsageError for what is no folder of a model
 */
async function modelFiles(directory: string): Promise<string[]> {
  const names = await filesIn(directory);
  const own = names.filter((name) => OF_MODEL.has(name) || isShardName(name));
  const inOnnx = (await isFolder(join(directory, ONNX))) ? await filesIn(join(directory, ONNX)) : [];
  const onnx = inOnnx.filter((name) => OF_ONNX.test(name)).map((name) => `${ONNX}/${name}`);
  const isModel = own.some((name) => name === 'config.json' || name === 'adapter_config.json');
  if (isModel && (onnx.length > 0 || own.some((name) => WEIGHTS.has(name)))) return [...own, ...onnx];
  if (names.every((name) => !name.endsWith('config.json'))) {
    const error = await onlyCheckpoints(directory);
    if (error !== null) throw error;
  }
  throw new UsageError(
    `${directory} has no model to push: config.json with model.safetensors or onnx/model.onnx, or the files of an adapter`,
  );
}

async function filesIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    // Links are followed, as those of the hub's cache have to be.
    return entries
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => name)
      .toSorted();
  } catch (error) {
    throw readError(error, directory);
  }
}

/** What others will not get. */
async function notesOf(directory: string, { changed, others }: Uploaded): Promise<string[]> {
  if (
    [...changed.keys()].some((path) => WEIGHTS.has(path)) &&
    others.some((path) => path.startsWith(`${ONNX}/`))
  )
    return [
      `note: the weights are new, and ${ONNX}/ of the repository is that of an older push; export the model and push that too`,
    ];
  if (!(await isAdapterFolder(directory))) return [];
  const config = await readJson(join(directory, 'adapter_config.json'));
  const base = isObject(config) ? config['base_model_name_or_path'] : undefined;
  if (typeof base !== 'string' || !(isAbsolute(base) || base.startsWith('.') || (await exists(base))))
    return [];
  return [
    `note: the adapter names ${base} as its base, a folder that others do not have; bertune merge makes a whole model of both`,
  ];
}
