// From what the person calls a model to a local folder with its files.
import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { errorCode, UsageError, readError } from '../util/errors.js';
import { concealingToken } from './progress.js';
import { checkedRepo, isSafePath, titleOf } from './repo.js';
import { hubSettings } from './settings.js';
import { openSnapshot, type Snapshot } from './snapshot.js';

/**
 * What every call that may ask the hub takes.
 *
 * @example
 * ```ts
 * import { AutoTokenizer, type HubOptions } from 'bertune';
 *
 * const options: HubOptions = { revision: 'main', progress: () => undefined };
 * const tokenizer = await AutoTokenizer.fromPretrained('bert-base-uncased', options);
 * ```
 */
export interface HubOptions {
  /** Branch, tag, commit or `refs/pr/N`; default `main`. */
  revision?: string;
  /** Receives each line about the progress; default: one line on stderr. */
  progress?: (line: string) => void;
  /** Default `process.env`. */
  env?: NodeJS.ProcessEnv;
}

const WEIGHTS = 'model.safetensors';
const WEIGHTS_INDEX = 'model.safetensors.index.json';
const ADAPTER = ['adapter_config.json', 'adapter_model.safetensors'];
/** What bertune itself writes beside a model: how texts were read in its training, and what was tuned. */
const OWN_FILES = ['bertune_reading.json', 'bertune_calibration.json'];
export const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.txt',
  'special_tokens_map.json',
  'added_tokens.json',
];
/** What older models have in place of a tokenizer.json. */
export const VOCABULARIES = [
  ['vocab.json', 'merges.txt'],
  ['sentencepiece.bpe.model'],
  ['spiece.model'],
  ['spm.model'],
];

/**
 * The folder of a model: `idOrDir` itself where it is one, else the snapshot of that hub repository in the cache,
 * with `config.json`, the safetensors weights (one file or shards) and the tokenizer's files, as far as `files` asks.
 * Of a PEFT adapter, which may lack a `config.json`, its two files take the place of the weights.
 *
 * @throws UsageError for an id the hub has not or does not give out, a repository without safetensors (pickled
 *   weights are never opened) and a wrong revision; RunError when it can neither be downloaded nor found in the cache
 */
export async function modelDirectory(
  idOrDir: string,
  options: HubOptions & { files?: 'all' | 'tokenizer' | 'config' } = {},
): Promise<string> {
  const entry = await stat(idOrDir).catch((error: unknown) => {
    if (errorCode(error) === 'ELOOP') throw readError(error, idOrDir);
    return null; // then it is a hub id
  });
  if (entry?.isDirectory()) return idOrDir;
  if (entry !== null) throw new UsageError(`"${idOrDir}" is a file: give the folder of a model, or a hub id`);
  const settings = await hubSettings(options.env ?? process.env);
  const repo = checkedRepo('model', idOrDir, options.revision);
  return concealingToken(settings, options.progress, async (progress) =>
    fetchModel(await openSnapshot(repo, settings, progress), options.files ?? 'all'),
  );
}

async function fetchModel(snapshot: Snapshot, files: 'all' | 'tokenizer' | 'config'): Promise<string> {
  if (files !== 'tokenizer') await snapshot.fetch(configFiles(snapshot));
  if (files !== 'config') await snapshot.fetch(tokenizerFiles(snapshot, files === 'tokenizer'));
  if (files === 'all') {
    const own = OWN_FILES.filter((path) => snapshot.files.has(path));
    await snapshot.fetch([...own, ...(await weightFiles(snapshot))]);
  }
  await snapshot.keep();
  return snapshot.directory;
}

function required(snapshot: Snapshot, path: string): string {
  if (!snapshot.files.has(path)) throw snapshot.lacks(path);
  return path;
}

/** An adapter beside the weights of a whole model is left alone, as in a folder. */
function isAdapter({ files }: Snapshot): boolean {
  return files.has('adapter_config.json') && !files.has(WEIGHTS) && !files.has(WEIGHTS_INDEX);
}

/** PEFT leaves the config to the base. */
function configFiles(snapshot: Snapshot): string[] {
  if (isAdapter(snapshot) && !snapshot.files.has('config.json')) return [];
  return [required(snapshot, 'config.json')];
}

/** A model may come without a tokenizer (the person can name another); a tokenizer may not. */
function tokenizerFiles(snapshot: Snapshot, needed: boolean): string[] {
  const { files } = snapshot;
  const found = TOKENIZER_FILES.filter((path) => files.has(path));
  const isWhole = found.includes('tokenizer.json') || found.includes('vocab.txt');
  if (!isWhole) found.push(...(VOCABULARIES.find((names) => names.every((path) => files.has(path))) ?? []));
  if (!needed) return found;
  if (!found.some((path) => path === 'tokenizer.json' || /^(vocab|sentencepiece|spiece|spm)\b/.test(path)))
    throw snapshot.lacks('tokenizer.json, vocab.txt, vocab.json with merges.txt or SentencePiece model');
  // It names the tokenizer's class where nothing else does.
  return files.has('config.json') ? [...found, 'config.json'] : found;
}

async function weightFiles(snapshot: Snapshot): Promise<string[]> {
  const { files, repo } = snapshot;
  if (isAdapter(snapshot)) return adapterFiles(snapshot);
  if (files.has(WEIGHTS)) return [WEIGHTS];
  if (files.has(WEIGHTS_INDEX)) return [WEIGHTS_INDEX, ...(await shardNames(snapshot))];
  const pickled = [...files.keys()].find((path) =>
    /^(pytorch_model.*\.bin(\.index\.json)?|.*\.ckpt|.*\.pt)$/.test(path),
  );
  if (pickled === undefined) throw snapshot.lacks(WEIGHTS);
  throw new UsageError(
    `The hub's ${titleOf(repo)} has ${pickled} but no ${WEIGHTS}, and pickled weights are never opened (they can run code)\n` +
      `  - Look for a conversion by SFconvertbot under ${repo.id}/discussions on the hub and ask for it as revision refs/pr/N.\n` +
      `  - Or convert it once with Python: \n` +
      `    AutoModelForSequenceClassification.from_pretrained("${repo.id}").save_pretrained("FOLDER") and\n` +
      `    AutoTokenizer.from_pretrained("${repo.id}").save_pretrained("FOLDER"); then give FOLDER as the model.`,
  );
}

function adapterFiles(snapshot: Snapshot): string[] {
  const { files, repo } = snapshot;
  if (!files.has('adapter_model.safetensors') && files.has('adapter_model.bin'))
    throw new UsageError(
      `The hub's ${titleOf(repo)} has adapter_model.bin but no adapter_model.safetensors, and pickled weights are never opened (they can run code); ` +
        `convert it once with Python's PEFT: AutoPeftModelForSequenceClassification.from_pretrained("${repo.id}").save_pretrained("FOLDER"), and give FOLDER as the model`,
    );
  return ADAPTER.map((name) => required(snapshot, name));
}

async function shardNames(snapshot: Snapshot): Promise<string[]> {
  const text = await snapshot.read(WEIGHTS_INDEX);
  const index = z.object({ weight_map: z.record(z.string(), z.string().refine(isSafePath)) });
  try {
    const names = new Set(Object.values(index.parse(JSON.parse(text)).weight_map));
    return [...names].map((name) => required(snapshot, name));
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof z.ZodError)) throw error;
    throw new UsageError(
      `${WEIGHTS_INDEX} of the hub's ${titleOf(snapshot.repo)} is not an index of weights`,
    );
  }
}
